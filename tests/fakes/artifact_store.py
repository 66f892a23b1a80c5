"""A fake of `gpu_agent.artifacts.store.ArtifactStore` in memory."""

import threading

from gpu_agent.artifacts.store import is_path
from gpu_agent.errors import ArtifactMissingError, ArtifactTooLargeError, StoreError


class FakeArtifactStore:
    """Files in a dict.

    Attributes:
        files: Path to bytes.
        content_types: Path to media type.
        order: Paths in the order in which they were written.
        errors: Path to the error that touching it raises.
        failures: Path to errors that touching it raises, one each time.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}
        self.order: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.failures: dict[str, list[Exception]] = {}
        self._lock = threading.Lock()

    def read(self, path: str, max_bytes: int) -> bytes:
        data = self.read_or_none(path, max_bytes)
        if data is None:
            raise ArtifactMissingError(f"Nothing is at {path}.")
        return data

    def read_or_none(self, path: str, max_bytes: int) -> bytes | None:
        with self._lock:
            self._touch(path)
            data = self.files.get(path)
            if data is not None and len(data) > max_bytes:
                raise ArtifactTooLargeError(f"{path} has {len(data)} bytes.")
            return data

    def write(self, path: str, data: bytes, content_type: str) -> None:
        with self._lock:
            self._touch(path)
            self._put(path, data, content_type)

    def write_if_absent(self, path: str, data: bytes, content_type: str) -> bool:
        with self._lock:
            self._touch(path)
            if path in self.files:
                return False
            self._put(path, data, content_type)
            return True

    def _put(self, path: str, data: bytes, content_type: str) -> None:
        self.files[path] = data
        self.content_types[path] = content_type
        self.order.append(path)

    def _touch(self, path: str) -> None:
        if not is_path(path):
            raise StoreError(f"Not a path: {path!r}")
        if path in self.errors:
            raise self.errors[path]
        if self.failures.get(path):
            raise self.failures[path].pop()

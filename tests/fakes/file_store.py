"""A fake of `orchestrator.domain.ports.FileStore` in memory."""

import threading
from collections.abc import Iterator

CHUNK_BYTES = 4


class FakeFileStore:
    """Files in a dict.

    Attributes:
        files: Path to bytes.
        content_types: Path to media type.
        errors: Path to the error that writing it raises.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.content_types: dict[str, str] = {}
        self.errors: dict[str, Exception] = {}
        self._lock = threading.RLock()

    def write(self, path: str, data: bytes, content_type: str) -> None:
        with self._lock:
            if path in self.errors:
                raise self.errors[path]
            self.files[path] = data
            self.content_types[path] = content_type

    def create(self, path: str, data: bytes, content_type: str) -> bool:
        with self._lock:
            if path in self.files:
                return False
            self.write(path, data, content_type)
            return True

    def delete(self, path: str) -> None:
        with self._lock:
            self.files.pop(path, None)
            self.content_types.pop(path, None)

    def exists(self, path: str) -> bool:
        with self._lock:
            return path in self.files

    def read(self, path: str) -> bytes | None:
        with self._lock:
            return self.files.get(path)

    def chunks(self, path: str) -> Iterator[bytes] | None:
        data = self.read(path)
        if data is None:
            return None
        return (data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES))

    def link(self, path: str, *, valid_s: float, name: str) -> str:
        return f"https://files.invalid/{path}?valid_s={valid_s:.0f}&name={name}"

"""A fake of `orchestrator.domain.ports.KeyTable` in memory."""

import threading


class FakeKeyTable:
    """Keys in a dict, as UTF-8: the table's own are hashes of that."""

    def __init__(self) -> None:
        self._first: dict[bytes, tuple[str, str]] = {}
        self._lock = threading.Lock()

    def find(self, key: str) -> tuple[str, str] | None:
        with self._lock:
            return self._first.get(key.encode())

    def claim(self, key: str, job_id: str, body_hash: str) -> tuple[str, str]:
        with self._lock:
            return self._first.setdefault(key.encode(), (job_id, body_hash))

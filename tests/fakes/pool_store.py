"""A fake of `orchestrator.domain.ports.PoolStore` in memory."""

import threading
from collections.abc import Callable

import orjson

from orchestrator.domain.errors import StoreConflictError
from orchestrator.domain.pool import PoolState


class FakePoolStore:
    """The state as JSON text with a version that counts up.

    Attributes:
        writes: How often it was written.
        before_write: Called before each write is judged: somebody else may write first.
    """

    def __init__(self) -> None:
        self.writes = 0
        self.before_write: Callable[[], None] = lambda: None
        self._text: bytes | None = None
        self._lock = threading.Lock()

    def read(self) -> tuple[PoolState, str | None]:
        with self._lock:
            if self._text is None:
                return PoolState(), None
            return PoolState.from_json(orjson.loads(self._text)), str(self.writes)

    def write(self, state: PoolState, version: str | None) -> str:
        self.before_write()
        with self._lock:
            current = None if self._text is None else str(self.writes)
            if version != current:
                raise StoreConflictError("the pool's state was changed meanwhile")
            self._text = orjson.dumps(state.to_json())
            self.writes += 1
            return str(self.writes)

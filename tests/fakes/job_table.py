"""A fake of `orchestrator.domain.ports.JobTable` in memory."""

import json
import threading
from collections.abc import Callable

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.job import JobRow, is_job_id, row_key

TOKEN = "after:"


class FakeJobTable:
    """Rows as JSON text, sorted by row key when they are listed.

    Attributes:
        history: Every row that was ever stored, in order.
    """

    def __init__(self) -> None:
        self.history: list[JobRow] = []
        self._rows: dict[str, str] = {}
        self._lock = threading.RLock()

    def insert(self, row: JobRow) -> bool:
        with self._lock:
            if row_key(row.job_id) in self._rows:
                return False
            self._store(row)
            return True

    def read(self, job_id: str) -> JobRow | None:
        with self._lock:
            text = self._rows.get(row_key(job_id))
            return None if text is None else JobRow.from_json(json.loads(text))

    def change(self, job_id: str, change: Callable[[JobRow], JobRow | None]) -> JobRow | None:
        with self._lock:
            row = self.read(job_id)
            changed = None if row is None else change(row)
            if changed is not None and changed != row:
                self._store(changed)
            return self.read(job_id)

    def list_page(
        self, *, state: str | None, limit: int, token: str | None
    ) -> tuple[list[JobRow], str | None]:
        prefix, after = ("", "") if token is None else (token[: len(TOKEN)], token[len(TOKEN) :])
        if token is not None and (prefix != TOKEN or not is_job_id(after)):
            raise InvalidRequestError("page is not a token of ours", code="invalid_page")
        with self._lock:
            rows = {
                key: JobRow.from_json(json.loads(text))
                for key, text in sorted(self._rows.items())
                if key > after
            }
        keys = [key for key, row in rows.items() if state in (None, row.state.value)]
        page = keys[:limit]
        is_more = len(keys) > limit
        return [rows[key] for key in page], TOKEN + page[-1] if is_more else None

    def _store(self, row: JobRow) -> None:
        self._rows[row_key(row.job_id)] = json.dumps(row.to_json())
        self.history.append(row)

"""Reads from an agent's log when it began and ended the jobs."""

import json
import time
from datetime import datetime
from pathlib import Path

FIRST_STAGE = "stage fetch"
OVER = "job succeeded"


class AgentLog:
    """The lines that an agent has written since this was made."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._file.seek(0, 2)
        self._rest = b""
        self._moments: dict[tuple[str, str], float] = {}

    def wait_for(self, message: str, job_id: str, *, limit_s: float) -> float:
        """Wait for a line about a job and give its moment.

        Returns:
            Epoch seconds, to the millisecond.

        Raises:
            TimeoutError: There was none within `limit_s`.
        """
        deadline = time.monotonic() + limit_s
        while (moment := self._moments.get((message, job_id))) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the agent did not say '{message}' of job {job_id}")
            if not self._read():
                time.sleep(0.002)
        return moment

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> bool:
        data = self._file.read()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            line = json.loads(text) if text.startswith(b"{") else {}
            if "job_id" in line:
                moment = datetime.fromisoformat(line["at"]).timestamp()
                self._moments.setdefault((line["message"], line["job_id"]), moment)
        return bool(data)

"""A local cloud to be measured, seen as a caller sees it and, where a figure needs it, inside."""

import io
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests  # noqa: TID251 - calls the API from outside, as any backend does
from PIL import Image
from skimage import data

from localcloud.blueprint import ROOT, LocalVm
from localcloud.stack import Stack

LIMIT_S = 180.0
POLL_S = 0.005
VM = "gpu-0"
SETTINGS = {
    "IDLE_WINDOW_S": "3600",
    "READY_POLL_S": "0.3",
    "STORAGE_ACCESS": "private",
    "WAKE_POLL_S": "0.5",
}


class JobFailedError(Exception):
    """A job did not succeed: there is nothing to measure."""


class MeasuredCloud:
    """Azurite, the stand-ins and our app, with one VM that boots at once and stays up.

    Use it in a ``with`` statement.
    """

    def __init__(self, folder: Path, *, agent_command: Sequence[str] | None = None) -> None:
        """Decide everything; start nothing.

        Args:
            folder: For its state and logs; empty.
            agent_command: Program and arguments of the agent; None: ours.
        """
        self._stack = Stack(
            ROOT,
            folder,
            vms=[LocalVm(name=VM, boot_s=0.5, deallocate_s=0.5)],
            app_environ=SETTINGS,
            agent_command=agent_command,
        )
        self._jobs_url = f"{self._stack.urls.app}/api/jobs"
        self._session = requests.Session()
        self._session.trust_env = False
        self._photo = encode_photo()

    @property
    def agent_log(self) -> Path:
        """The agent's log."""
        return self._stack.agent_log[VM]

    @property
    def host_pid(self) -> int:
        """Process id of the Functions host."""
        pid = self._stack.pids["functions_host"]
        if pid is None:
            raise RuntimeError("the Functions host does not run")
        return pid

    def find_agent_pid(self) -> int | None:
        """Give the agent's process id; None while its VM is not up."""
        pid: int | None = self._stack.meter()[VM]["agent_pid"]
        return pid

    def post(self) -> str:
        """Post the photo and give the job's id."""
        answer = self._session.post(
            self._jobs_url, files={"image": ("photo.jpg", self._photo)}, timeout=LIMIT_S
        )
        answer.raise_for_status()
        job_id: str = answer.json()["id"]
        return job_id

    def has_succeeded(self, job_id: str) -> bool:
        """Ask for a job's status once.

        Raises:
            JobFailedError: It has failed or was cancelled.
        """
        job = self._get(job_id).json()
        if job["state"] in ("failed", "cancelled"):
            raise JobFailedError(f"job {job_id} {job['state']}: {job['error']}")
        return bool(job["state"] == "succeeded")

    def await_success(self, job_id: str) -> float:
        """Ask until a job has succeeded; give the moment of that answer, in epoch seconds."""
        deadline = time.monotonic() + LIMIT_S
        while not self.has_succeeded(job_id):
            _pause(deadline, f"job {job_id} did not succeed")
        return time.time()

    def await_workflow_end(self, job_id: str) -> None:
        """Wait for the workflow's last episode, which comes after the job's success."""
        deadline = time.monotonic() + LIMIT_S
        while self._get(f"{job_id}/instance").status_code != requests.codes.ok:
            _pause(deadline, f"the workflow of job {job_id} did not end")

    def read_manifest(self, job_id: str) -> dict[str, Any]:
        """Read a finished job's manifest."""
        manifest: dict[str, Any] = json.loads(
            self._get(f"{job_id}/artifacts/manifest.json").content
        )
        return manifest

    def count_events(self, job_id: str) -> int:
        """Count the stored rows of a workflow's history.

        The management API folds pairs of them together, so that it would count too few.
        """
        path = self._stack.folder / "functions_host" / "durable.sqlite"
        store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = store.execute("SELECT count(*) FROM history WHERE instance_id = ?", (job_id,))
            return int(rows.fetchone()[0])
        finally:
            store.close()

    def _get(self, path: str) -> requests.Response:
        answer = self._session.get(f"{self._jobs_url}/{path}", timeout=LIMIT_S)
        answer.raise_for_status()
        return answer

    def __enter__(self) -> Self:
        self._stack.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()
        self._stack.stop()


def encode_photo() -> bytes:
    """Give a real photograph as JPEG: the coffee cup that comes with scikit-image."""
    buffer = io.BytesIO()
    Image.fromarray(data.coffee()).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _pause(deadline: float, problem: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{problem} within {LIMIT_S:g} s")
    time.sleep(POLL_S)

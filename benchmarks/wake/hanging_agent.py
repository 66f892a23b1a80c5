"""An agent whose jobs never get on: ``python -m benchmarks.wake.hanging_agent``.

It takes what it is given and lets every long-poll hang for as long as it may. ``GET /polls`` tells
how many hang and how many have ended.
"""

import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gpu_agent.wire import AgentStatus, DrainAnswer, JobState, JobView, Readiness, Stage

SLOTS = 4
_JOB = re.compile(r"/v1/jobs/([^/]+)/(\d+)")


@dataclass(slots=True)
class Held:
    """What the agent holds.

    Attributes:
        jobs: Fences by job.
        over: Set when a job was cancelled, by job.
        hanging: Long-polls that hang now.
        polls_ended: Long-polls that have had their answer.
    """

    vm: str
    epoch: int = 0
    jobs: dict[str, int] = field(default_factory=dict)
    over: dict[str, threading.Event] = field(default_factory=dict)
    hanging: int = 0
    polls_ended: int = 0


class HangingAgent(ThreadingHTTPServer):
    """Serves one VM's agent port."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], vm: str) -> None:
        """Listen.

        Args:
            address: Host and port.
            vm: Name of the VM.
        """
        self.held = Held(vm)
        self.lock = threading.Lock()
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HangingAgent

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/polls":
            held = self.server.held
            self._answer({"hanging": held.hanging, "ended": held.polls_ended})
        elif url.path == "/v1/ready":
            self._answer(Readiness(ready=True, phase="ready", percent=100).to_json())
        elif job := _JOB.fullmatch(url.path):
            self._hang(job[1], float(parse_qs(url.query)["wait_s"][0]))
        else:
            self._answer(self._status())

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        job = _JOB.fullmatch(self.path)
        with self.server.lock:
            held = self.server.held
            held.epoch = max(held.epoch, int(body["epoch"]))
            if job:
                held.jobs[job[1]] = int(job[2])
                held.over[job[1]] = threading.Event()
        self._answer(self._view(job[1], JobState.RUNNING) if job else self._status())

    def do_DELETE(self) -> None:
        job = _JOB.fullmatch(self.path)
        job_id = job[1] if job else ""
        with self.server.lock:
            fence = self.server.held.jobs.pop(job_id, 0)
            self.server.held.over.pop(job_id, threading.Event()).set()
        self._answer(self._view(job_id, JobState.CANCELLED, fence))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        jobs = list(self.server.held.jobs)
        answer = DrainAnswer(
            drained=not jobs,
            epoch=body["epoch"],
            drain=body["drain"],
            receipt=None if jobs else "nothing-held",
            jobs=jobs,
        )
        self._answer(answer.to_json())

    def _hang(self, job_id: str, wait_s: float) -> None:
        with self.server.lock:
            self.server.held.hanging += 1
            over = self.server.held.over.get(job_id)
        if over is not None:
            over.wait(wait_s)
        with self.server.lock:
            self.server.held.hanging -= 1
            self.server.held.polls_ended += 1
            is_held = job_id in self.server.held.jobs
        self._answer(self._view(job_id, JobState.RUNNING if is_held else JobState.CANCELLED))

    def _view(self, job_id: str, state: JobState, fence: int = 0) -> dict[str, Any]:
        held = self.server.held
        return JobView(
            job_id=job_id,
            fence=held.jobs.get(job_id, fence),
            epoch=held.epoch,
            state=state,
            seq=1,
            stage=Stage.SHAPE,
            percent=20,
        ).to_json()

    def _status(self) -> dict[str, Any]:
        held = self.server.held
        jobs = [
            {"job_id": job_id, "fence": fence, "epoch": held.epoch, "state": JobState.RUNNING}
            for job_id, fence in list(held.jobs.items())
        ]
        return AgentStatus(
            vm=held.vm, boot_id="hanging", epoch=held.epoch, phase="ready", slots=SLOTS, jobs=jobs
        ).to_json()

    def _answer(self, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def main() -> None:
    """Serve until the process is ended."""
    address = (os.environ["GPU_AGENT_HOST"], int(os.environ["GPU_AGENT_PORT"]))
    HangingAgent(address, os.environ["GPU_AGENT_VM_NAME"]).serve_forever()


if __name__ == "__main__":
    main()

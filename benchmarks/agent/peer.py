"""The other side: hy3dgen's own server, in a process of its own (see `peer_server`)."""

import base64
import time
import uuid
from pathlib import Path
from typing import Any

import requests  # noqa: TID251 - calls the server from outside, as its users do

from benchmarks.agent.process import ServerProcess
from benchmarks.agent.sides import BURST_LIMIT_S, JOB_LIMIT_S, Made, open_session
from benchmarks.agent.tasks import GUIDANCE, MOST_FACES, STEPS, Task
from localcloud.ports import choose_free_ports

_STATUS_EVERY_S = 1.0


class Peer:
    """The server.

    Args:
        folder: For its files; made here.
        weights: Folder of the weights, the same as ours.
        threads: Of torch and ONNX.
        quiet_s: The server says "processing" for ever of a job that it has lost: after so long
            without any model of a burst, the rest of it is given up. In seconds.

    Attributes:
        cleans: Whether ``/generate`` cleans the mesh, as the server does for textured models only.
            ``/send`` never does: part of the clean-up is known to end the process when two threads
            are in it.
    """

    def __init__(self, folder: Path, weights: Path, *, threads: int, quiet_s: float) -> None:
        port = choose_free_ports(1)[0]
        self.address = f"127.0.0.1:{port}"
        # Of a job that never was.
        self.live_path = f"/status/{uuid.UUID(int=0)}"
        self._url = f"http://{self.address}"
        self.cleans = True
        self._quiet_s = quiet_s
        self._last_made_at = time.monotonic()
        environ = {
            "OMP_NUM_THREADS": str(threads),
            "HY3DGEN_MODELS": str(weights),
            "U2NET_HOME": str(weights / "rembg"),
            "HF_HUB_OFFLINE": "1",
        }
        self.server = ServerProcess(
            "benchmarks.agent.peer_server", str(port), folder=folder, environ=environ
        )
        session = open_session()
        self.server.await_up(lambda: self._is_up(session))

    def make(self, session: requests.Session, task: Task, *, is_burst: bool) -> Made:
        """Post to ``/generate``; in a burst to ``/send``, and ask ``/status``."""
        began = time.monotonic()
        try:
            glb = self._send(session, task) if is_burst else self._generate(session, task)
        except (requests.RequestException, TimeoutError) as error:
            return Made(task, time.monotonic() - began, b"", f"{type(error).__name__}: {error}")
        self._last_made_at = time.monotonic()
        return Made(task, time.monotonic() - began, glb)

    def _generate(self, session: requests.Session, task: Task) -> bytes:
        answer = session.post(
            f"{self._url}/generate", json=_body(task, cleans=self.cleans), timeout=JOB_LIMIT_S
        )
        answer.raise_for_status()
        return answer.content

    def _send(self, session: requests.Session, task: Task) -> bytes:
        deadline = time.monotonic() + BURST_LIMIT_S
        self._last_made_at = time.monotonic()
        answer = session.post(
            f"{self._url}/send", json=_body(task, cleans=False), timeout=JOB_LIMIT_S
        )
        answer.raise_for_status()
        uid = answer.json()["uid"]
        while time.monotonic() < min(deadline, self._last_made_at + self._quiet_s):
            told = session.get(f"{self._url}/status/{uid}", timeout=JOB_LIMIT_S).json()
            if told["status"] == "completed":
                return base64.b64decode(told["model_base64"])
            time.sleep(_STATUS_EVERY_S)
        raise TimeoutError("still processing")

    def _is_up(self, session: requests.Session) -> bool:
        try:
            session.get(self._url + self.live_path, timeout=JOB_LIMIT_S)
        except requests.ConnectionError:
            return False
        return True


def _body(task: Task, *, cleans: bool) -> dict[str, Any]:
    return {
        "image": base64.b64encode(task.png).decode(),
        "seed": task.seed,
        "octree_resolution": task.octree,
        "num_inference_steps": STEPS,
        "guidance_scale": GUIDANCE,
        "texture": cleans,
        "face_count": MOST_FACES,
    }

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from localcloud.ports import choose_free_ports

ROOT = Path(__file__).parents[3]
LIMIT_S = 30.0


class AgentProcess:
    """The real program on a folder, started and killed by a test."""

    def __init__(self, folder: Path, port: int, *, module: str = "gpu_agent", **environ: str):
        self.module = module
        self.data = folder / "data"
        self.store = folder / "store"
        self.url = f"http://127.0.0.1:{port}/v1"
        self.log = folder / "agent.log"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer token"
        self.process: subprocess.Popen[bytes] | None = None
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "GPU_AGENT_TOKEN": "token",
            "GPU_AGENT_PORT": str(port),
            "GPU_AGENT_DATA_DIR": str(folder / "data"),
            "GPU_AGENT_VM_NAME": "gpu-1",
            "GPU_AGENT_ENGINE": "preview",
            "GPU_AGENT_STORE_DIR": str(self.store),
            **environ,
        }

    def start(
        self, *, awaited_status: int = 200, limit_s: float = LIMIT_S, **environ: str
    ) -> None:
        """Start the program and wait until ``/ready`` says so, or 503 when closed."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env={**self._environ, **environ},
                stderr=log,
            )
        self.await_true(lambda: self._is_up(awaited_status), limit_s)

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(LIMIT_S)

    def terminate(self) -> int:
        """End it as systemd does; give its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=LIMIT_S, **more)

    def submit(self, job_id: str, fence: int = 1, epoch: int = 1, **more: Any):
        """Put an image in the store and ask for its model."""
        image = self.store / f"jobs/jobs/{job_id}/input.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(draw_subject())
        body = {
            "epoch": epoch,
            "input_path": f"jobs/jobs/{job_id}/input.png",
            "output_prefix": f"jobs/jobs/{job_id}/{fence}/",
            "manifest_path": f"jobs/jobs/{job_id}/manifest.json",
            **more,
        }
        return self.call("PUT", f"/jobs/{job_id}/{fence}", json=body)

    def view(self, job_id: str, fence: int = 1) -> dict[str, Any]:
        return self.call("GET", f"/jobs/{job_id}/{fence}").json()

    def await_over(self, job_id: str, fence: int = 1) -> list[dict[str, Any]]:
        """Follow a job by long-poll; give every view of it."""
        views = [self.view(job_id, fence)]
        while views[-1]["state"] in ("queued", "running"):
            path = f"/jobs/{job_id}/{fence}?after={views[-1]['seq']}&wait_s=10"
            views.append(self.call("GET", path).json())
            assert len(views) < 60
        return views

    def metric(self, name: str) -> float:
        text = self.call("GET", "/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found is not None, text
        return float(found[1])

    def await_true(self, holds: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
        end = time.monotonic() + limit_s
        while not holds():
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)

    def _is_up(self, awaited_status: int) -> bool:
        try:
            answer = self.call("GET", "/ready")
        except requests.ConnectionError:
            return False
        is_set_up = answer.json()["phase"] not in ("setting_up", "warming_up")
        return answer.status_code == awaited_status and is_set_up


def draw_subject() -> bytes:
    """Draw a red disc on grey, as PNG."""
    y, x = np.mgrid[0:96, 0:96]
    image = np.full((96, 96, 3), 200, np.uint8)
    image[(x - 48) ** 2 + (y - 48) ** 2 < 30**2] = (180, 40, 30)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """Give the agent's program, not yet started."""
    agent = AgentProcess(tmp_path, choose_free_ports(1)[0])
    yield agent
    agent.session.close()
    if agent.process is not None and agent.process.poll() is None:
        agent.kill()

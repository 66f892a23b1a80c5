"""Our side: the agent as it is run on a VM, its store a folder, on tiny weights and a CPU."""

import itertools
import re
import time
from pathlib import Path
from typing import Any

import requests  # noqa: TID251 - calls the agent from outside, as the control plane does

from benchmarks.agent.process import ServerProcess
from benchmarks.agent.sides import BURST_LIMIT_S, JOB_LIMIT_S, Made, open_session
from benchmarks.agent.tasks import GUIDANCE, MOST_FACES, STEPS, Task
from gpu_agent.wire import MAX_WAIT_S, JobState, JobView, Submission
from localcloud.blueprint import ROOT
from localcloud.ports import choose_free_ports

TOKEN = "of-the-benchmark"

_REQUEST_LIMIT_S = 60.0
_UNIT = ROOT / "vm_image/root/etc/systemd/system/gpu-agent.service"


def _read_malloc_settings() -> dict[str, str]:
    """Give what the unit of a VM tells glibc."""
    return dict(re.findall(r"\b(MALLOC_\w+)=(\d+)", _UNIT.read_text("utf-8")))


class Ours:
    """The agent.

    Args:
        folder: For its files; made here.
        weights: Folder of the weights.
        slots: Most live jobs.
        threads: Of torch, and of ONNX for each picture.
    """

    def __init__(self, folder: Path, weights: Path, *, slots: int, threads: int) -> None:
        port = choose_free_ports(1)[0]
        self.address, self.live_path = f"127.0.0.1:{port}", "/v1/live"
        self._url = f"http://{self.address}/v1"
        self._store = folder / "store"
        self._data = folder / "home" / "data"
        self._numbers = itertools.count(1)
        environ = {
            "OMP_NUM_THREADS": str(threads),
            **_read_malloc_settings(),
            "GPU_AGENT_TOKEN": TOKEN,
            "GPU_AGENT_PORT": str(port),
            "GPU_AGENT_DATA_DIR": str(self._data),
            "GPU_AGENT_VM_NAME": "bench",
            "GPU_AGENT_STORE_DIR": str(self._store),
            "GPU_AGENT_SLOTS": str(slots),
            "GPU_AGENT_ENGINE": "hunyuan3d",
            "GPU_ENGINE_WEIGHTS_DIR": str(weights),
            "GPU_ENGINE_PRESETS": "draft",
            "GPU_ENGINE_DEVICE": "cpu",
            "GPU_ENGINE_TEXTURE": "false",
            "GPU_ENGINE_TORCH_THREADS": str(threads),
            "GPU_ENGINE_PICTURE_PX": "0",
        }
        self.server = ServerProcess("gpu_agent", folder=folder, environ=environ)
        session = open_session(TOKEN)
        self.server.await_up(lambda: self._is_ready(session))

    def make(self, session: requests.Session, task: Task, *, is_burst: bool) -> Made:
        """Put the picture into the store, submit, follow by long-poll, fetch from the store."""
        began = time.monotonic()
        deadline = began + (BURST_LIMIT_S if is_burst else JOB_LIMIT_S)
        key = f"job-{next(self._numbers)}"
        picture = self._store / f"jobs/jobs/{key}/input.png"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(task.png)
        session.headers["Authorization"] = f"Bearer {TOKEN}"
        view, refusals = self._submit(session, key, task, deadline)
        while not JobState(view.state).is_over and time.monotonic() < deadline:
            view = self._ask(
                session, "GET", f"/jobs/{key}/1", params={"after": view.seq, "wait_s": MAX_WAIT_S}
            )
        if view.manifest is None:
            problem = f"{view.state}: {view.error}"
            return Made(task, time.monotonic() - began, b"", problem, refusals)
        glb = (self._store / view.manifest["artifacts"][0]["path"]).read_bytes()
        return Made(task, time.monotonic() - began, glb, "", refusals)

    def _submit(
        self, session: requests.Session, key: str, task: Task, deadline: float
    ) -> tuple[JobView, int]:
        body = Submission(
            epoch=1,
            input_path=f"jobs/jobs/{key}/input.png",
            output_prefix=f"jobs/jobs/{key}/1/",
            manifest_path=f"jobs/jobs/{key}/manifest.json",
            options={
                "preset": "draft",
                "steps": STEPS,
                "guidance_scale": GUIDANCE,
                "octree_resolution": task.octree,
                "flash_vdm": False,
                "face_count": MOST_FACES,
                "texture": False,
                "seed": task.seed,
            },
        )
        refusals = 0
        while True:
            answer = session.put(
                f"{self._url}/jobs/{key}/1", json=body.to_json(), timeout=_REQUEST_LIMIT_S
            )
            if answer.status_code != requests.codes.too_many or time.monotonic() > deadline:
                answer.raise_for_status()
                return JobView.from_json(answer.json()), refusals
            refusals += 1
            time.sleep(float(answer.headers["Retry-After"]))

    def _ask(self, session: requests.Session, method: str, path: str, **more: Any) -> JobView:
        answer = session.request(method, self._url + path, timeout=_REQUEST_LIMIT_S, **more)
        answer.raise_for_status()
        return JobView.from_json(answer.json())

    def _is_ready(self, session: requests.Session) -> bool:
        try:
            answer = session.get(f"{self._url}/ready", timeout=_REQUEST_LIMIT_S)
        except requests.ConnectionError:
            return False
        return bool(answer.status_code == requests.codes.ok)

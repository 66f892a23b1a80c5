"""A local cloud whose ten VMs have every slot taken by a job that never gets on."""

import base64
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import requests  # noqa: TID251 - calls the API from outside, as any backend does
from PIL import Image

from localcloud.blueprint import ROOT, LocalVm
from localcloud.stack import Stack

T = TypeVar("T")

BUSY_VMS = 10
SLOTS_PER_VM = 4
LIMIT_S = 120.0
PAUSE_S = 0.02
AGENT = (sys.executable, "-m", "benchmarks.wake.hanging_agent")
SETTINGS = {
    "IDLE_WINDOW_S": "3600",
    "READY_POLL_S": "0.2",
    "SLOTS_PER_VM": str(SLOTS_PER_VM),
    "STORAGE_ACCESS": "private",
    "WAKE_POLL_S": "0.2",
}


class HangingCloud:
    """Azurite, the stand-ins, our app, and VMs with agents whose long-polls hang.

    Use it in a ``with`` statement.
    """

    def __init__(self, folder: Path, *, spare_vms: int) -> None:
        """Decide everything; start nothing.

        Args:
            folder: For its state and logs; empty.
            spare_vms: VMs to be woken, besides the busy ones.
        """
        self._names = [f"gpu-{number}" for number in range(BUSY_VMS + spare_vms)]
        self._stack = Stack(
            ROOT,
            folder,
            vms=[LocalVm(name=name, boot_s=0.2, deallocate_s=0.2) for name in self._names],
            app_environ=SETTINGS,
            agent_command=AGENT,
        )
        self._api = f"{self._stack.urls.app}/api"
        self._session = requests.Session()
        self._session.trust_env = False
        self._jobs: list[str] = []
        self._awake = 0

    def wake(self, count: int) -> float:
        """Wake the next VMs in order of preference.

        Returns:
            Seconds until all of them were ready.
        """
        self._awake += count
        began_at = time.perf_counter()
        self._send("POST", "pool/prewarm", {"vms": self._awake, "for_s": 3600})
        self._wait_for(self._are_ready)
        return time.perf_counter() - began_at

    def fill(self) -> None:
        """Take every slot of the VMs that are ready, and wait until all are polled at once."""
        count = self._awake * SLOTS_PER_VM
        body = {"images": [{"image_base64": encode_dot()} for _ in range(count)]}
        items = self._send("POST", "batches", body)["items"]
        self._jobs = [item["job_id"] for item in items]
        self._wait_for(lambda: self.polls()["hanging"] == count)

    def empty(self) -> None:
        """Cancel all jobs, and wait until nothing is polled and every slot is free."""
        for job_id in self._jobs:
            self._send("DELETE", f"jobs/{job_id}")
        self._wait_for(lambda: self.polls()["hanging"] == 0)
        self._wait_for(lambda: not any(vm["slots"] for vm in self._vms()))

    def polls(self) -> dict[str, int]:
        """Count the long-polls that hang and those that have ended, over all agents."""
        urls = [self._stack.urls.agents[name] for name in self._names[: self._awake]]
        counts = [self._session.get(f"{url}/polls", timeout=LIMIT_S).json() for url in urls]
        return {what: sum(one[what] for one in counts) for what in ("hanging", "ended")}

    def _are_ready(self) -> bool:
        return all(vm["phase"] == "ready" for vm in self._vms()[: self._awake])

    def _vms(self) -> list[dict[str, Any]]:
        vms: list[dict[str, Any]] = self._send("GET", "pool")["vms"]
        return vms

    def _wait_for(self, condition: Callable[[], T]) -> T:
        deadline = time.monotonic() + LIMIT_S
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited in vain; logs in {self._stack.folder}")
            time.sleep(PAUSE_S)
        return value

    def _send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = self._session.request(method, f"{self._api}/{path}", json=body, timeout=LIMIT_S)
        answer.raise_for_status()
        sent: dict[str, Any] = answer.json()
        return sent

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


def encode_dot() -> str:
    """Give a small photo that passes every rule, as base64."""
    file = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()

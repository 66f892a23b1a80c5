"""Eight clients that send what is costly to read, and what else the app does meanwhile.

Each prober is a thread that only waits: what it notes is what a caller, an operator and an agent
would see. Beside it, an honest photo is read by our processes and, for comparison, the way that
an app without them would: in a thread of its own.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests  # noqa: TID251 - calls the API from outside, as any backend does

from benchmarks.cloud import encode_photo
from benchmarks.hostile.inputs import (
    broken_base64,
    canvas_webp,
    crowded_form,
    huge_png,
    looping_png,
    nested_json,
    scanned_jpeg,
)
from localcloud.blueprint import ROOT, LocalVm
from localcloud.stack import Stack
from orchestrator.intake.decoders import Decoders
from orchestrator.intake.images import normalise_image

CLIENTS = 8
VM = "gpu-0"
LIMIT_S = 120.0
PROBE_S = 0.1
REST_S = 60.0
SETTINGS = {
    "IDLE_WINDOW_S": "3600",
    "LEASE_S": "15",
    "LOOK_AWAKE_S": "5",
    "READY_POLL_S": "0.3",
    "STORAGE_ACCESS": "private",
    "WAKE_POLL_S": "0.5",
}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@dataclass(slots=True)
class Siege:
    """What was seen while the clients were at it.

    Attributes:
        seconds: How long they were.
        hostile: Answers to them, by status.
        honest: Answers to honest photos, by status.
        honest_s: Seconds that each honest photo took which was taken.
        health_s: Seconds that each ``GET /api/health`` took.
        command_s: Seconds that each command to the pool took.
        lease_left_s: What the agent's lease had left, each time that it was asked.
        peak_mb: Most resident memory of the app and its children together.
        rested_mb: The same, `REST_S` after the last client.
    """

    seconds: float
    hostile: Counter[int] = field(default_factory=Counter)
    honest: Counter[int] = field(default_factory=Counter)
    honest_s: list[float] = field(default_factory=list)
    health_s: list[float] = field(default_factory=list)
    command_s: list[float] = field(default_factory=list)
    lease_left_s: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    rested_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds that reading one honest photo took, taken in turns.

    Attributes:
        ours_s: In a process of ours, from the app's bytes to the app's bytes.
        threads_s: In a thread of the app.
    """

    ours_s: list[float]
    threads_s: list[float]


def lay_siege(folder: Path, *, seconds: float, rest_s: float = REST_S) -> Siege:
    """Bring a local cloud up, wake its VM, let the clients at it, and take it down.

    Args:
        folder: For its state and logs; empty.
        seconds: How long the clients send.
        rest_s: How long afterwards memory is looked at again.
    """
    siege = Siege(seconds)
    stack = Stack(
        ROOT,
        folder,
        vms=[LocalVm(name=VM, boot_s=0.5, deallocate_s=0.5)],
        app_environ=SETTINGS,
    )
    with stack:
        api = f"{stack.urls.app}/api"
        _wake(api)
        over = threading.Event()
        costly = _costly_requests()
        probers = [
            *(_Prober(_attacker(api, costly, n, siege.hostile), 0.0) for n in range(CLIENTS)),
            _Prober(_honest(api, siege), 0.5),
            _Prober(_timed(lambda: _get(f"{api}/health"), siege.health_s), PROBE_S),
            _Prober(_timed(lambda: _command(api), siege.command_s), 1.0),
            _Prober(lambda: siege.lease_left_s.append(_lease_left_s(stack)), 1.0),
            _Prober(lambda: _note_memory(stack, siege), PROBE_S),
        ]
        for prober in probers:
            prober.start(over)
        time.sleep(seconds)
        over.set()
        for prober in probers:
            prober.join()
        time.sleep(rest_s)
        siege.rested_mb = _memory_mb(stack)
    return siege


def weigh_posts(*, rounds: int) -> Costs:
    """Read one photo again and again, our way and the other, each going first in turn."""
    photo = encode_photo()
    decoders = Decoders()
    ours_s: list[float] = []
    threads_s: list[float] = []

    async def run() -> None:
        async def in_process() -> None:
            began_at = time.perf_counter()
            await decoders.normalise(photo)
            ours_s.append(time.perf_counter() - began_at)

        async def in_thread() -> None:
            began_at = time.perf_counter()
            await asyncio.to_thread(normalise_image, photo)
            threads_s.append(time.perf_counter() - began_at)

        await in_process()
        await in_thread()
        ours_s.clear()
        threads_s.clear()
        for number in range(rounds):
            pair = (in_process, in_thread) if number % 2 else (in_thread, in_process)
            for one in pair:
                await one()

    try:
        asyncio.run(run())
    finally:
        decoders.close()
    return Costs(ours_s, threads_s)


class _Prober:
    """Does something again and again until all is over; an error in it is raised by `join`."""

    def __init__(self, act: Callable[[], None], pause_s: float) -> None:
        self._act = act
        self._pause_s = pause_s
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def start(self, over: threading.Event) -> None:
        def run() -> None:
            try:
                self._act()
                while not over.wait(self._pause_s):
                    self._act()
            except Exception as error:  # noqa: BLE001 - it is raised in the thread that joins
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error


def _costly_requests() -> list[dict[str, Any]]:
    files = [looping_png(), huge_png(), canvas_webp(), scanned_jpeg()]
    return [
        *({"files": {"image": ("photo", file)}} for file in files),
        {"data": nested_json(), "headers": JSON},
        {"data": broken_base64(), "headers": JSON},
        {"data": crowded_form("x"), "headers": FORM},
        {"data": json.dumps({"image_url": "https://192.0.2.1/photo.jpg"}), "headers": JSON},
    ]


def _attacker(
    api: str, costly: list[dict[str, Any]], number: int, answers: Counter[int]
) -> Callable[[], None]:
    sent = [number]

    def attack() -> None:
        arguments = costly[sent[0] % len(costly)]
        sent[0] += 1
        with requests.Session() as session:
            session.trust_env = False
            answers[session.post(f"{api}/jobs", timeout=LIMIT_S, **arguments).status_code] += 1

    return attack


def _honest(api: str, siege: Siege) -> Callable[[], None]:
    photo = encode_photo()

    def post() -> None:
        began_at = time.perf_counter()
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{api}/jobs", files={"image": ("photo.jpg", photo)}, timeout=LIMIT_S
            )
        siege.honest[answer.status_code] += 1
        if answer.status_code == requests.codes.accepted:
            siege.honest_s.append(time.perf_counter() - began_at)

    return post


def _timed(act: Callable[[], object], seconds: list[float]) -> Callable[[], None]:
    def timed() -> None:
        began_at = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began_at)

    return timed


def _get(url: str, **more: Any) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=LIMIT_S, **more)
    answer.raise_for_status()
    return answer


def _command(api: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(
            f"{api}/pool/prewarm", json={"vms": 1, "for_s": 3600}, timeout=LIMIT_S
        )
    answer.raise_for_status()


def _wake(api: str) -> None:
    _command(api)
    deadline = time.monotonic() + LIMIT_S
    while _get(f"{api}/pool").json()["vms"][0]["phase"] != "ready":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the VM was not ready within {LIMIT_S:g} s")
        time.sleep(PROBE_S)


def _lease_left_s(stack: Stack) -> float:
    headers = {"Authorization": f"Bearer {stack.agent_token}"}
    status = _get(f"{stack.urls.agents[VM]}/v1/status", headers=headers).json()
    return float(status["lease_left_s"] or 0.0)


def _note_memory(stack: Stack, siege: Siege) -> None:
    siege.peak_mb = max(siege.peak_mb, _memory_mb(stack))


def _memory_mb(stack: Stack) -> float:
    host = psutil.Process(stack.pids["functions_host"])
    total = 0
    for process in (host, *host.children(recursive=True)):
        # One may end between the list and the look.
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6

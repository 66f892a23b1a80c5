"""An agent on a VM: the real core of the agent, with simulated work behind it.

The core blocks where it has to wait. Here its conditions refuse to, and whoever called comes back
when something has changed.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable
from random import Random
from typing import Any, cast

from gpu_agent.errors import JobError, StoreUnavailableError
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.core import AgentCore
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.run import Run, SetUp
from gpu_agent.jobs.vm_service import AgentIdentity
from gpu_agent.wire import JobView, Stage
from localcloud.rehearsal.storage import SeenFiles
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import VirtualLoop

SET_UP_S = (15.0, 60.0)
STAGE_S: dict[Stage, tuple[float, float]] = {
    Stage.FETCH: (0.2, 1.0),
    Stage.BACKGROUND: (1.0, 3.0),
    Stage.SHAPE: (8.0, 25.0),
    Stage.TEXTURE: (6.0, 20.0),
    Stage.FINISH: (1.0, 3.0),
    Stage.EXPORT: (0.5, 2.0),
    Stage.UPLOAD: (0.5, 2.0),
}


class WouldWaitError(Exception):
    """The core would wait here.

    Attributes:
        limit_s: How long at most; None for until something changes.
    """

    def __init__(self, limit_s: float | None) -> None:
        super().__init__("the core would wait")
        self.limit_s = limit_s


class _NoWait:
    """Stands in for the core's conditions: its one thread must not wait."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.notify_all = on_change

    def wait(self, timeout: float | None = None) -> None:
        """Refuse."""
        raise WouldWaitError(timeout)


class MemoryJobStore:
    """Keeps in memory what `JobStore` keeps on disk; outlives the process, knows of power cuts."""

    def __init__(self) -> None:
        self._state = AgentState()
        self._durable = AgentState()

    def load(self) -> AgentState:
        """Read the state as the last process left it."""
        return self._state

    def save(self, state: AgentState, *, is_durable: bool) -> None:
        """Keep the state."""
        self._state = state
        if is_durable:
            self._durable = state

    def lose_power(self) -> None:
        """Forget what was not waited for."""
        self._state = self._durable

    def close(self) -> None:
        """Let go of nothing."""


class SimulatedAgent:
    """The agent of one VM over all its boots.

    Attributes:
        core: The core of the running process, or None.
        booted_at: Virtual second at which its machine booted last.
        max_uptime_s: Its machine's hard cap, in seconds from boot.
        hangs_until: Virtual second until which the process does nothing at all.
        idle_from: Virtual second at which it got ready or last had a job; None before.
    """

    def __init__(
        self,
        vm: str,
        *,
        slots: int,
        max_uptime_s: float,
        loop: VirtualLoop,
        chance: Random,
        files: SeenFiles,
        timeline: Timeline,
    ) -> None:
        self.vm = vm
        self.core: AgentCore | None = None
        self.booted_at = 0.0
        self.hangs_until = 0.0
        self.idle_from: float | None = None
        self.max_uptime_s = max_uptime_s
        self._slots = slots
        self._loop = loop
        self._chance = chance
        self._files = files
        self._timeline = timeline
        self._store = MemoryJobStore()
        # A dict, for the order in which they are cut off must repeat.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._changed: asyncio.Future[None] = loop.create_future()
        self._no_wait = _NoWait(self._note_change)
        self._gone: asyncio.Future[None] = loop.create_future()
        self._gpu = asyncio.Lock()
        self._boots = self._machine_boots = 0
        self._has_booted = True

    def start(self) -> None:
        """Begin a process."""
        self._boots += 1
        if self._has_booted:
            self._has_booted = False
            self.booted_at = self._loop.time()
        self.hangs_until = 0.0
        self._gpu = asyncio.Lock()
        self._gone = self._loop.create_future()
        core = AgentCore(
            store=cast(JobStore, self._store),
            identity=AgentIdentity(
                vm_name=self.vm,
                token="rehearsal",  # noqa: S106 - signs receipts that nobody else can see
                engine={"name": "rehearsal", "version": "1", "description": "Makes nothing."},
                machine_boot=str(self._machine_boots),
                max_uptime_s=self.max_uptime_s,
                booted_at=self.booted_at,
                boot_id=f"{self.vm}-{self._boots}",
            ),
            slots=self._slots,
            clock=self._loop.time,
            condition=lambda _lock: cast(Any, self._no_wait),
        )
        self.core = core
        self._timeline.note(self.vm, "agent begins")
        self._spawn(self._set_up(core))

    def end(self, *, is_power_lost: bool) -> None:
        """End the process at once, as a kill does or as the loss of power."""
        self._machine_boots += is_power_lost
        self._has_booted |= is_power_lost
        if self.core is None:
            return
        self._timeline.note(self.vm, "agent ends")
        self.core = None
        for task in list(self._tasks):
            task.cancel()
        self._tasks.clear()
        if is_power_lost:
            self.idle_from = None
            self._store.lose_power()
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def gone(self) -> "asyncio.Future[None]":
        """Done when the process that runs now has ended."""
        return self._gone

    @property
    def live(self) -> list[tuple[str, int]]:
        """The jobs that wait or run, as (job id, fence)."""
        if self.core is None:
            return []
        return [
            (job["job_id"], job["fence"])
            for job in self.core.vm.status().jobs
            if job["state"] in ("queued", "running")
        ]

    async def follow(self, key: JobKey, *, after: int, wait_s: float) -> JobView:
        """Answer a long-poll as the core would.

        Raises:
            RequestError: As the core says no.
        """
        end = self._loop.time() + wait_s
        while True:
            core = self.core
            if core is None:
                raise ConnectionResetError("the agent ended")
            left_s = max(0.0, end - self._loop.time())
            try:
                return core.polls.follow(key, after=after, wait_s=left_s if left_s > 1e-6 else 0.0)
            except WouldWaitError:
                await asyncio.wait([self._changed], timeout=left_s)

    def _note_change(self) -> None:
        if not self._changed.done():
            self._changed.set_result(None)
            self._changed = self._loop.create_future()
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        """Take every job that waits, and keep the deadlines."""
        core = self.core
        if core is None:
            return
        if core.vm.status().phase == "setting_up":
            return
        try:
            while (run := core.runs.take()) is not None:
                self._spawn(self._work(core, run))
        except WouldWaitError:
            pass
        try:
            # None of the faults here lasts until a thread counts as stuck.
            while True:
                core.runs.expire_overdue()
        except WouldWaitError as wait:
            if wait.limit_s is not None:
                self._loop.call_later(wait.limit_s + 1e-6, self._serve)

    def _spawn(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _set_up(self, core: AgentCore) -> None:
        await self._pass(self._chance.uniform(*SET_UP_S))
        core.lifecycle.report_set_up(SetUp(phase="ready", percent=100, detail="Takes jobs."))
        self.idle_from = self._loop.time()
        self._timeline.note(self.vm, "agent is ready")

    async def _pass(self, seconds: float) -> None:
        """Let time pass in which the process works; while it hangs it does not."""
        await asyncio.sleep(seconds)
        while (hangs_s := self.hangs_until - self._loop.time()) > 0:
            await asyncio.sleep(hangs_s)

    async def _work(self, core: AgentCore, run: Run) -> None:
        try:
            manifest = await self._make(core, run)
            if manifest is not None:
                core.jobs.succeed(run.key, manifest)
        except JobError as error:
            core.jobs.fail(run.key, error)
        finally:
            core.runs.leave(run)
            self.idle_from = self._loop.time()
        view = core.jobs.look(run.key)
        self._timeline.note(run.key.job_id, f"{view.state} on {self.vm}, fence {run.key.fence}")

    async def _make(self, core: AgentCore, run: Run) -> dict[str, Any] | None:
        """Pass through the stages; None once nobody wants the job any more."""
        found = self._read(run.submission.manifest_path)
        if found is not None:
            return cast(dict[str, Any], json.loads(found))
        self._timeline.note(run.key.job_id, f"runs on {self.vm}, fence {run.key.fence}")
        for stage in (Stage.FETCH, Stage.BACKGROUND):
            await self._do(core, run, stage)
        async with self._gpu:
            for stage in (Stage.SHAPE, Stage.TEXTURE):
                await self._do(core, run, stage)
        for stage in (Stage.FINISH, Stage.EXPORT, Stage.UPLOAD):
            await self._do(core, run, stage)
        if run.stopped.is_set():
            return None
        return self._put(core, run)

    async def _do(self, core: AgentCore, run: Run, stage: Stage) -> None:
        if not run.stopped.is_set():
            core.jobs.advance(run.key, stage, 0.0)
            await self._pass(self._chance.uniform(*STAGE_S[stage]))

    def _put(self, core: AgentCore, run: Run) -> dict[str, Any]:
        """Write the artifacts and, last of all, the manifest; the first one wins."""
        key, asked = run.key, run.submission
        model = f"model of {key.job_id} by {key.fence} on {core.vm.identity.boot_id}".encode()
        path = asked.output_prefix + "model.glb"
        manifest = {
            "job_id": key.job_id,
            "fence": key.fence,
            "epoch": run.epoch,
            "engine": {"name": "rehearsal", "version": "1", "description": "Makes nothing."},
            "options": asked.options,
            "seed": 0,
            "stage_seconds": dict(core.jobs.look(key).stage_seconds),
            "mesh": {"faces": 0, "vertices": 0, "watertight": True},
            "artifacts": [
                {
                    "name": "model.glb",
                    "path": path,
                    "content_type": "model/gltf-binary",
                    "size_bytes": len(model),
                    "sha256": hashlib.sha256(model).hexdigest(),
                }
            ],
            "created_at": round(self._loop.wall(), 3),
            "notice": "",
        }
        try:
            self._files.write(path, model, "model/gltf-binary")
            if self._files.write_if_absent(asked.manifest_path, json.dumps(manifest).encode()):
                return manifest
        except OSError as error:
            raise StoreUnavailableError("The store does not answer.") from error
        found = self._read(asked.manifest_path)
        return manifest if found is None else cast(dict[str, Any], json.loads(found))

    def _read(self, path: str) -> bytes | None:
        try:
            return self._files.read(path)
        except OSError as error:
            raise StoreUnavailableError("The store does not answer.") from error

"""A world that does what the pool asks for, with a clock of its own and a meter of its own.

Jobs ask, run and release as the workflow `run_job` does; VMs start and stop; the reconciler ticks
when the pool said it should. Whatever happened before, the world starts from the pool's belief.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.domain.pool import (
    Acquire,
    Command,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Effect,
    Enqueue,
    GrantSlot,
    Look,
    RecordInterval,
    Release,
    RetireVm,
    StartAccepted,
    StartFailed,
    StartReconciler,
    StopJob,
    Tick,
    VmPhase,
    VmReady,
    VmRunning,
    VmSeen,
    WakeVm,
)
from orchestrator.domain.pool.effects import effect_to_json
from tests.unit.orchestrator.domain.pool.bench import Bench

ASK_S = 30.0
BOOT_S = 40.0
JOB_S = 25.0
OFF_PHASES = (VmPhase.DEALLOCATED, VmPhase.NO_CAPACITY, VmPhase.BROKEN)


@dataclass
class Machine:
    """A VM as it really is.

    Attributes:
        billed_s: What the world itself has metered, in seconds.
        jobs: Attempts that run on it.
    """

    power: str = "deallocated"
    on_since: float | None = None
    billed_s: float = 0.0
    jobs: set[tuple[str, int]] = field(default_factory=set)

    def switch_on(self, at: float) -> None:
        self.power = "running"
        self.on_since = at if self.on_since is None else self.on_since

    def switch_off(self, at: float) -> None:
        self.power = "deallocated"
        self.jobs.clear()
        if self.on_since is not None:
            self.billed_s += at - self.on_since
            self.on_since = None


class World:
    """What is outside the pool.

    Args:
        agents: ``up``; ``stubborn`` (up, but never stops a job); ``mute`` (nobody answers).
        plan_start: How the next start of a VM turns out: ``ok``, ``no_capacity``, ``fails``.
        cap_s: Seconds from boot after which a VM's switch takes it; None for an older agent.
        plan_job: How long the next job takes, in seconds.

    Attributes:
        cut_off: Jobs that a cap has ended, in order.
    """

    def __init__(
        self,
        bench: Bench,
        *,
        agents: str = "up",
        plan_start: Callable[[], str] = lambda: "ok",
        cap_s: float | None = None,
        plan_job: Callable[[], float] = lambda: JOB_S,
    ) -> None:
        self.bench = bench
        self.agents = agents
        self.machines = {name: Machine() for name in bench.state.vms}
        for name, vm in bench.state.vms.items():
            if vm.phase not in OFF_PHASES:
                self.machines[name].switch_on(bench.now)
            self.machines[name].jobs = {
                (s.job_id, s.fence) for s in vm.slots.values() if s.claimed
            }
        self.finished: list[str] = []
        self.cut_off: list[str] = []
        self._cap_s = cap_s
        self._plan_job = plan_job
        self._plan_start = plan_start
        self._alive: dict[str, int] = {}
        self._rounds = itertools.count(1000)
        self._done: set[Effect] = set()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._plan = 0
        self._tick_soon()

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.bench.now + delay_s, next(self._numbers), act))

    def run(self, for_s: float) -> None:
        end = self.bench.now + for_s
        while self._agenda and self._agenda[0][0] <= end:
            at, _, act = heapq.heappop(self._agenda)
            self.bench.now = max(self.bench.now, at)
            act()
        self.bench.now = end

    def bring_job(self, job_id: str, fence: int) -> None:
        """Let a job's workflow live."""
        self._alive[job_id] = fence
        self._ask(job_id, Enqueue)

    def tell(self, command: Command) -> dict:
        reply = self.bench.tell(command)
        for effect in list(self.bench.last.effects):
            self._perform(effect)
        return reply

    def _ask(self, job_id: str, kind: type[Enqueue] = Acquire) -> None:
        fence = self._alive.get(job_id)
        if fence is None:
            return
        round_number = next(self._rounds)
        reply = self.tell(kind(job_id=job_id, fence=fence, round=round_number))
        if reply["answer"] == "slot":
            self.machines[reply["vm"]].jobs.add((job_id, fence))
            self.later(self._plan_job(), lambda: self._finish(job_id, fence, reply["vm"]))
        elif reply["answer"] == "wait":
            self.later(ASK_S, lambda: self._ask(job_id) if self._alive.get(job_id) else None)
        elif reply["answer"] == "over":
            self._alive[job_id] = fence + 1
            self.later(1.0, lambda: self._ask(job_id, Enqueue))
        else:
            del self._alive[job_id]

    def _finish(self, job_id: str, fence: int, vm: str) -> None:
        if self._alive.get(job_id) != fence:
            return
        if (job_id, fence) in self.machines[vm].jobs:
            self.machines[vm].jobs.discard((job_id, fence))
            del self._alive[job_id]
            self.finished.append(job_id)
            self.tell(Release(job_id=job_id, fence=fence, ran=True))
        else:
            self.tell(Release(job_id=job_id, fence=fence))
            self._alive[job_id] = fence + 1
            self._ask(job_id, Enqueue)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case GrantSlot():
                if effect.job_id in self._alive:
                    self.later(0.1, lambda: self._ask(effect.job_id))
            case StopJob():
                if self.agents == "up":
                    self.later(0.1, lambda: self._stop(effect))
            case Look():
                self._tick_soon()
            case StartReconciler():
                self._confirm(effect)
                self._tick_soon()
            case RecordInterval():
                self._confirm(effect)
            case WakeVm() | RetireVm():
                self._confirm(effect)
                if effect not in self._done:
                    self._done.add(effect)
                    start = self._wake if isinstance(effect, WakeVm) else self._retire
                    self.later(0.1, lambda: start(effect))

    def _confirm(self, effect) -> None:
        self.later(0.0, lambda: self.tell(Confirm(effects=[effect_to_json(effect)])))

    def _stop(self, effect: StopJob) -> None:
        self.machines[effect.vm].jobs.discard((effect.job_id, effect.fence))
        self.tell(Release(job_id=effect.job_id, fence=effect.fence))

    def _wake(self, effect: WakeVm) -> None:
        vm, epoch = effect.vm, effect.epoch
        outcome = self._plan_start()
        believed = self.bench.vm(vm)
        if (believed.epoch, believed.phase) != (epoch, VmPhase.STARTING):
            return
        if outcome == "fails":
            self.tell(StartFailed(vm=vm, epoch=epoch, code="Refused"))
            return
        self.tell(StartAccepted(vm=vm, epoch=epoch, at=self.bench.now))
        if outcome == "no_capacity":
            failed = StartFailed(vm=vm, epoch=epoch, code="AllocationFailed", is_capacity=True)
            self.later(BOOT_S, lambda: self.tell(failed))
            return
        self.machines[vm].switch_on(self.bench.now)
        booted_at = self.machines[vm].on_since
        if self._cap_s is not None:
            self.later(self._cap_s, lambda: self._reach_cap(vm, booted_at))
        self.later(BOOT_S / 2, lambda: self.tell(VmRunning(vm=vm, epoch=epoch)))
        if self.agents != "mute":
            self.later(BOOT_S, lambda: self.tell(VmReady(vm=vm, epoch=epoch, **self._cap_of(vm))))

    def _cap_of(self, vm: str) -> dict[str, float]:
        """Tell what an agent says of its cap."""
        booted_at = self.machines[vm].on_since
        if self._cap_s is None or booted_at is None:
            return {}
        return {"off_by": booted_at + self._cap_s, "max_uptime_s": self._cap_s}

    def _reach_cap(self, vm: str, booted_at: float | None) -> None:
        machine = self.machines[vm]
        if machine.on_since == booted_at:
            self.cut_off += sorted(job_id for job_id, _ in machine.jobs)
            machine.switch_off(self.bench.now)

    def _retire(self, effect: RetireVm) -> None:
        vm, epoch, drain = effect.vm, effect.epoch, effect.drain
        believed = self.bench.vm(vm)
        if (believed.epoch, believed.drain) != (epoch, drain):
            return
        if not effect.lost:
            if self.agents == "mute":
                return
            if self.machines[vm].jobs:
                self.tell(DrainRefused(vm=vm, epoch=epoch, drain=drain))
                return
            reply = self.tell(Drained(vm=vm, epoch=epoch, drain=drain, receipt="receipt"))
            if reply["answer"] != "deallocate":
                return
        if self.bench.vm(vm).phase is VmPhase.DEALLOCATING:
            self.machines[vm].switch_off(self.bench.now)
            self.tell(DeallocationAccepted(vm=vm, epoch=epoch, at=self.bench.now))
            self.later(5.0, lambda: self.tell(Deallocated(vm=vm, epoch=epoch)))

    def _tick_soon(self, delay_s: float = 0.5) -> None:
        self._plan += 1
        plan = self._plan
        self.later(delay_s, lambda: self._tick() if plan == self._plan else None)

    def _tick(self) -> None:
        seen = [self._see(name) for name in self.bench.state.vms]
        reply = self.tell(Tick(generation=self.bench.state.generation, seen=seen))
        self._tick_soon(max(0.0, reply["until"] - self.bench.now))

    def _see(self, name: str) -> VmSeen:
        vm, machine = self.bench.vm(name), self.machines[name]
        seen = self.bench.see(name, power=machine.power)
        limit_s = self.bench.policy.job_timeout_s + self.bench.policy.slot_grace_s
        slots = vm.slots.values()
        only_overdue = slots and all(self.bench.now - s.granted_at >= limit_s for s in slots)
        if vm.phase is not VmPhase.READY or machine.power == "deallocated" or only_overdue:
            return seen
        if self.agents == "mute":
            return self.bench.see(name, power=machine.power, agent="unreachable")
        jobs = [list(job) for job in sorted(machine.jobs)]
        return self.bench.see(
            name, power=machine.power, agent="up", jobs=jobs, **self._cap_of(name)
        )

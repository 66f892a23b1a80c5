"""How often each legal command meets each phase, over random walks that repeat by their seed.

Commands are drawn from those legal in the state; every fifth comes late, twice, never, or after
the next one. Each decision is held against the invariants.
"""

import os
import random
import sys
from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.domain.fence import fence_ending_all_before, fence_of
from orchestrator.domain.pool import (
    Acquire,
    Cancel,
    Command,
    Confirm,
    Deallocated,
    DeallocationAccepted,
    Drained,
    DrainRefused,
    Enqueue,
    JobSeen,
    PoolState,
    PowerAsked,
    PowerRefused,
    Prewarm,
    Release,
    ResetVm,
    StartAccepted,
    StartFailed,
    Tick,
    Vm,
    VmLost,
    VmPhase,
    VmReady,
    VmRunning,
    VmSeen,
    vm_lifecycle,
)
from orchestrator.domain.pool.effects import effect_to_json
from orchestrator.domain.pool.transitions import TRANSITIONS, check_transition
from tests.unit.orchestrator.domain.pool.bench import POWERS, Bench
from tests.unit.orchestrator.domain.pool.checks import check_staleness, check_step, places

THOROUGHNESS = int(os.environ.get("POOL_TEST_THOROUGHNESS", "1"))
SEEDS = range(100 * THOROUGHNESS)
STEPS = 250
LEAST = 50
"""Deliveries of every legal pair, over all seeds."""

VMS = ("gpu-1", "gpu-2", "gpu-3")
MOST_JOBS = 6
STEPS_S = {0.0: 8, 0.5: 8, 5.0: 4, 31.0: 3, 61.0: 2, 301.0: 1, 1201.0: 0.2}
"""How much time passes between two commands, with weights."""
DISORDERED = 0.2
LATEST = 40
"""Steps that a late command is held back at most."""

ANY = tuple(VmPhase)
ON_THE_WAY_UP = (VmPhase.STARTING, VmPhase.WARMING)
ON_THE_WAY = (VmPhase.STARTING, VmPhase.DEALLOCATING)
LEGAL: dict[type[Command], tuple[VmPhase, ...]] = {
    PowerAsked: ON_THE_WAY,
    PowerRefused: ON_THE_WAY,
    StartAccepted: ON_THE_WAY_UP,
    VmRunning: (VmPhase.STARTING,),
    VmReady: ON_THE_WAY_UP,
    StartFailed: ON_THE_WAY_UP,
    VmLost: (*ON_THE_WAY_UP, VmPhase.READY, VmPhase.DRAINING),
    Drained: (VmPhase.DRAINING, VmPhase.DEALLOCATING),
    DrainRefused: (VmPhase.DRAINING,),
    DeallocationAccepted: (VmPhase.DEALLOCATING,),
    Deallocated: (VmPhase.DEALLOCATING,),
    ResetVm: (VmPhase.NO_CAPACITY, VmPhase.BROKEN),
    Enqueue: ANY,
    Acquire: ANY,
    Release: ANY,
    Cancel: ANY,
    Prewarm: ANY,
    Confirm: ANY,
    Tick: ANY,
}
"""Phases in which a command is legal: of its VM or, when it names none, of any VM."""

WEIGHTS: dict[type[Command], float] = {
    VmLost: 0.4,
    StartFailed: 0.5,
    Drained: 0.25,
    DrainRefused: 0.25,
    ResetVm: 0.3,
    Cancel: 1.2,
    Prewarm: 0.5,
    Enqueue: 0.5,
    Acquire: 1.5,
    Release: 1.5,
}
"""Less of what ends a phase soon, more of what is legal only for a while; 1 for the others."""

TRUE_POWER = {
    VmPhase.DEALLOCATED: "deallocated",
    VmPhase.NO_CAPACITY: "deallocated",
    VmPhase.BROKEN: "deallocated",
    VmPhase.STARTING: "starting",
    VmPhase.DEALLOCATING: "deallocating",
}
AGENTS = (None, "up", "closed", "unreachable")

Pair = tuple[VmPhase, str]


class Walk:
    """One pool, told commands that are legal, and some of them at the wrong time.

    Attributes:
        counts: Deliveries by phase and command of those legal when they came.
        disorders: What was done to commands, by name.
    """

    def __init__(self, seed: int) -> None:
        self.counts: Counter[Pair] = Counter()
        self.disorders: Counter[str] = Counter()
        self._random = random.Random(seed)
        names = VMS[: self._random.choice([1, 2, 3, 3])]
        self._bench = Bench(*names, idle_window_s=31.0)
        self._fences: dict[str, int] = {}
        self._held: list[tuple[int, Command]] = []
        self._jobs = 0

    def run(self) -> None:
        self._deliver(Tick(generation=1))
        for step in range(STEPS):
            (seconds,) = self._random.choices(list(STEPS_S), list(STEPS_S.values()))
            self._bench.now += seconds
            self._post(self._draw(), step)
            due = [command for at, command in self._held if at <= step]
            self._held = [(at, command) for at, command in self._held if at > step]
            for command in due:
                self._deliver(command)

    def _post(self, command: Command, step: int) -> None:
        """Deliver a command, or let one of the four things happen to it."""
        if self._random.random() >= DISORDERED:
            self.disorders["in order"] += 1
            self._deliver(command)
            return
        disorder = self._random.choice(["late", "doubled", "lost", "reordered"])
        self.disorders[disorder] += 1
        if disorder == "late":
            self._held.append((step + self._random.randint(2, LATEST), command))
        elif disorder == "doubled":
            self._deliver(command)
            self._held.append((step + self._random.randint(0, LATEST), command))
        elif disorder == "reordered":
            self._held.append((step + 1, command))

    def _deliver(self, command: Command) -> None:
        before, now, policy = self._bench.state, self._bench.now, self._bench.policy
        self.counts.update(legal_pairs(before, command))
        self._bench.tell(command)
        check_step(before, command, self._bench.last, now, policy)
        check_staleness(before, command, self._bench.last, now, policy)

    def _draw(self) -> Command:
        """Draw a kind of those that are legal now, then the command."""
        legal = [kind for kind in LEGAL if self._is_possible(kind)]
        (kind,) = self._random.choices(legal, [WEIGHTS.get(kind, 1.0) for kind in legal])
        if kind in (Enqueue, Acquire, Release, Cancel):
            return self._draw_for_job(kind)
        if kind in (Prewarm, Confirm, Tick):
            return self._draw_for_pool(kind)
        return self._draw_for_vm(kind)

    def _is_possible(self, kind: type[Command]) -> bool:
        if kind is Enqueue:
            return len(self._fences) < MOST_JOBS or bool(self._open_jobs())
        if kind in (Acquire, Release, Cancel):
            return bool(self._open_jobs())
        if kind is Confirm:
            return bool(self._bench.state.outbox)
        return bool(self._vms_for(kind))

    def _open_jobs(self) -> list[str]:
        return sorted(place.job_id for place in places(self._bench.state))

    def _vms_for(self, kind: type[Command]) -> list[Vm]:
        vms = [vm for vm in self._bench.state.vms.values() if vm.phase in LEGAL[kind]]
        # A VM that is lost, or whose start went wrong in the end, was never drained.
        return [vm for vm in vms if vm.drain or kind not in (Drained, DrainRefused)]

    def _draw_for_job(self, kind: type[Command]) -> Command:
        jobs, now = self._open_jobs(), self._bench.now
        if kind is Enqueue and len(self._fences) < MOST_JOBS:
            job = f"job-{self._jobs}"
            self._jobs += 1
            self._fences[job] = fence_of(int(now * 1000), 1)
        else:
            job = self._random.choice(jobs)
        place = next((p for p in places(self._bench.state) if p.job_id == job), None)
        fence = self._fences.setdefault(job, place.fence if place else 1)
        if kind is Cancel:
            self._fences.pop(job)
            return Cancel(job_id=job, fence=fence_ending_all_before(now))
        if kind is Release:
            self._fences.pop(job)
            unreachable = self._random.random() < 0.1
            return Release(job_id=job, fence=fence, ran=True, vm_unreachable=unreachable)
        if kind is Acquire:
            return Acquire(job_id=job, fence=fence, round=self._random.randint(1, 4))
        priority = self._random.choice([0, 0, 0, 1, -1])
        return Enqueue(job_id=job, fence=fence, round=1, priority=priority)

    def _draw_for_pool(self, kind: type[Command]) -> Command:
        state, chance = self._bench.state, self._random
        if kind is Prewarm:
            until = self._bench.now + chance.choice([0.0, 60.0, 600.0])
            return Prewarm(vms=chance.randint(0, len(state.vms)), until=until)
        if kind is Confirm:
            pending = chance.choice(list(state.outbox.values()))
            return Confirm(effects=[effect_to_json(pending.effect)])
        generation = chance.choice([state.generation, state.generation, None])
        seen = [self._see(vm) for vm in state.vms.values()]
        over = [job for job in self._open_jobs() if chance.random() < 0.05]
        ended = [
            JobSeen(job_id=job, fence=self._fences[job]) for job in over if job in self._fences
        ]
        return Tick(generation=generation, seen=seen, ended=ended)

    def _see(self, vm: Vm) -> VmSeen:
        """Observe a VM: mostly what is believed, now and then anything."""
        chance = self._random
        jobs = [[slot.job_id, slot.fence] for slot in vm.slots.values() if slot.claimed]
        if chance.random() < 0.1:
            agent = chance.choice(AGENTS)
            jobs = jobs[chance.randint(0, 1) :]
            return self._bench.see(
                vm.name,
                power=chance.choice(POWERS),
                agent=agent,
                jobs=jobs if agent == "up" else None,
            )
        power = TRUE_POWER.get(vm.phase, "running")
        if vm.phase is not VmPhase.READY:
            return self._bench.see(vm.name, power=power)
        return self._bench.see(vm.name, power=power, agent="up", jobs=jobs)

    def _draw_for_vm(self, kind: type[Command]) -> Command:
        vm = self._random.choice(self._vms_for(kind))
        if kind is ResetVm:
            return ResetVm(vm=vm.name)
        more: dict[str, object] = {"vm": vm.name, "epoch": vm.epoch}
        if kind in (PowerAsked, PowerRefused, StartAccepted, DeallocationAccepted):
            more["at"] = self._bench.now
            more |= {"drain": vm.drain} if kind is PowerAsked else {}
        elif kind is VmLost:
            more["reason"] = "lost"
        elif kind in (Drained, DrainRefused):
            more["drain"] = vm.drain
            more |= {"receipt": "r"} if kind is Drained else {}
        elif kind is StartFailed:
            why = self._random.choice(
                ["is_capacity", "is_capacity", "is_configuration", "may_be_on"]
            )
            more |= {"code": "Failed", why: True}
        return kind(**more)


def legal_pairs(state: PoolState, command: Command) -> set[Pair]:
    """Give each phase in which a command meets a VM, if it is legal in this state."""
    kind = type(command)
    name = getattr(command, "vm", None)
    if name is None:
        job_id = getattr(command, "job_id", None)
        is_open = any(
            place.job_id == job_id and place.fence <= command.fence
            for place in places(state)
            if job_id is not None
        )
        is_new = kind is Enqueue and command.fence > state.over.get(job_id, -1)
        is_legal = job_id is None or is_open or is_new
        return {(vm.phase, kind.__name__) for vm in state.vms.values() if is_legal}
    vm = state.vms[name]
    is_now = getattr(command, "epoch", vm.epoch) == vm.epoch
    is_asked = getattr(command, "drain", vm.drain) == vm.drain
    is_legal = is_now and is_asked and vm.phase in LEGAL[kind]
    return {(vm.phase, kind.__name__)} if is_legal else set()


def render(counts: Counter[Pair]) -> str:
    """Lay the counts out, a line for each command; a dot where it is not legal."""
    width = max(len(phase) for phase in VmPhase) + 2
    lines = [" " * 22 + "".join(f"{phase:>{width}}" for phase in VmPhase)]
    for kind, phases in LEGAL.items():
        cells = [counts[phase, kind.__name__] if phase in phases else "·" for phase in VmPhase]
        lines.append(f"{kind.__name__:22}" + "".join(f"{cell:>{width}}" for cell in cells))
    return "\n".join(lines)


Transition = tuple[VmPhase, str, VmPhase]


@pytest.fixture(scope="module", name="walked")
def _walked() -> tuple[Counter[Pair], Counter[str], set[Transition]]:
    """Walk all seeds: what was told in which phase, in what disorder, what VMs went through."""
    counts: Counter[Pair] = Counter()
    disorders: Counter[str] = Counter()
    taken: set[Transition] = set()

    def note(phase: VmPhase, cause: str, following: VmPhase) -> None:
        check_transition(phase, cause, following)
        taken.add((phase, str(cause), following))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vm_lifecycle, "check_transition", note)
        for seed in SEEDS:
            walk = Walk(seed)
            try:
                walk.run()
            except Exception as error:
                error.add_note(f"in the walk of seed {seed}")
                raise
            counts += walk.counts
            disorders += walk.disorders
        for go in (find_an_old_boot, cool_down_and_start_from_outside, fail_and_be_found_off):
            go()
    return counts, disorders, taken


def find_an_old_boot() -> None:
    """Wake a VM that had been on for almost as long as its switch allows."""
    for is_seen_running in (False, True):
        pool = Bench()
        pool.enqueue("a")
        epoch = pool.vm().epoch
        if is_seen_running:
            pool.tell(VmRunning(vm="gpu-1", epoch=epoch))
        off_by = pool.now + 600
        pool.tell(VmReady(vm="gpu-1", epoch=epoch, off_by=off_by, max_uptime_s=43200.0))


def cool_down_and_start_from_outside() -> None:
    """Start a VM by hand that cools down, and stop it again before that is over."""
    for is_seen_running in (False, True):
        pool = Bench()
        for _ in range(2):
            pool.enqueue("a")
            fail = StartFailed(
                vm="gpu-1", epoch=pool.vm().epoch, code="AllocationFailed", is_capacity=True
            )
            pool.tell(fail)
            pool.now = pool.vm().retry_at
            pool.tick()
        pool.tell(Cancel(job_id="a", fence=2))
        pool.tell(replace(fail, epoch=pool.vm().epoch))
        pool.tick(pool.see(power="running"))
        if is_seen_running:
            pool.tell(VmRunning(vm="gpu-1", epoch=pool.vm().epoch))
        pool.now += 61
        pool.tick(pool.see(power="deallocated"))


def fail_and_be_found_off() -> None:
    """Fail a start that may have left the VM on; it is off when the next look comes."""
    pool = Bench()
    pool.enqueue("a")
    why = {"code": "AllocationFailed", "is_capacity": True, "may_be_on": True}
    pool.tell(StartFailed(vm="gpu-1", epoch=pool.vm().epoch, **why))
    pool.tick(pool.see(power="deallocated"))


class TestTransitions:
    def test_are_all_taken(self, walked):
        """An entry that nothing takes would be a wish, and not the truth."""
        _, _, taken = walked
        named = {
            (phase, str(cause), following)
            for phase, causes in TRANSITIONS.items()
            for cause, phases in causes.items()
            for following in phases
        }

        assert named - taken == set()


class TestCoverageOfCommands:
    def test_every_legal_command_meets_every_phase(
        self, walked, capsys: pytest.CaptureFixture[str]
    ):
        counts, disorders, _ = walked

        summary = ", ".join(f"{count} {name}" for name, count in disorders.most_common())
        with capsys.disabled():
            # Standard error, which test processes that run side by side share.
            sys.stderr.write(f"\nlegal commands by phase, {summary}\n{render(counts)}\n")

        legal = [(phase, kind.__name__) for kind, phases in LEGAL.items() for phase in phases]
        rare = {f"{name} in {phase}": counts[phase, name] for phase, name in legal}
        assert {pair: count for pair, count in rare.items() if count < LEAST} == {}
        in_order = disorders.pop("in order")
        assert disorders.total() / (disorders.total() + in_order) == pytest.approx(0.2, abs=0.02)
        assert min(disorders.values()) > LEAST
        assert len(disorders) == 4

"""Who makes things go wrong: draws moments and spans, and lets the faults fall."""

import asyncio
from random import Random

from localcloud.functions_host.store import OVER
from localcloud.rehearsal.faults import PACES, FaultName, Faults
from localcloud.rehearsal.host import POOL_WORKFLOWS, Host, vm_of
from localcloud.rehearsal.judge import Judge
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import HostClock, VirtualLoop
from orchestrator.domain.pool import PoolPolicy, VmPhase

DOWN_S = (1.0, 120.0)
HANG_S = (20.0, 240.0)
JUMP_S = (-90.0, 240.0)
INTENSITIES = (0.5, 1.0, 1.0, 2.0)


class Chaos:
    """Draws the faults of a rehearsal.

    Args:
        names: Which may happen.
    """

    def __init__(
        self,
        names: frozenset[FaultName],
        *,
        loop: VirtualLoop,
        clock: HostClock,
        host: Host,
        region: Region,
        faults: Faults,
        judge: Judge,
        timeline: Timeline,
        policy: PoolPolicy,
        chance: Random,
    ) -> None:
        self._policy = policy
        self._names = sorted(names)
        self._loop = loop
        self._clock = clock
        self._host = host
        self._region = region
        self._faults = faults
        self._judge = judge
        self._timeline = timeline
        self._chance = chance
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Begin to make things go wrong."""
        for name in self._names:
            gap_s = PACES[name].gap_s / self._chance.choice(INTENSITIES)
            self._tasks.append(self._loop.create_task(self._go_on(name, gap_s)))

    def end(self) -> None:
        """Let everything be well again, but for what has already been broken."""
        for task in self._tasks:
            task.cancel()
        self._faults.end_all()

    async def _go_on(self, name: FaultName, gap_s: float) -> None:
        pace = PACES[name]
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / gap_s))
            vm = self._chance.choice(self._region.names)
            if pace.lasts_s is not None:
                lasts_s = self._chance.uniform(*pace.lasts_s)
                if name is FaultName.AGENT_HANG:
                    self._hang(vm, lasts_s)
                else:
                    self._faults.begin(name, vm if pace.hits_one else None, lasts_s)
            else:
                # A blow that finds nothing to hit is tried again soon.
                while not self._strike(name, self._chance.choice(self._region.names)):
                    await asyncio.sleep(self._chance.uniform(5, 60))

    def _hang(self, vm: str, lasts_s: float) -> None:
        agent = self._region.agents[vm]
        if agent.desk is not None:
            agent.hangs_until = self._loop.time() + lasts_s
            self._faults.strike(FaultName.AGENT_HANG, vm, f"for {lasts_s:.0f} s")

    def _strike(self, name: FaultName, vm: str) -> bool:
        match name:
            case FaultName.AGENT_CRASH:
                was_hit = self._region.crash_agent(vm)
            case FaultName.HOST_CRASH:
                return self._crash_host()
            case FaultName.CLOCK_JUMP:
                step_s = self._chance.uniform(*JUMP_S)
                self._clock.jump(step_s)
                self._faults.strike(name, None, f"by {step_s:.0f} s", costs_s=abs(step_s))
                return True
            case FaultName.TERMINATED:
                return self._terminate()
            case FaultName.STARTED_BY_HAND:
                was_hit = not self._is_being_started(vm) and self._region.start_by_hand(vm)
            case FaultName.STOPPED_BY_HAND:
                was_hit = self._region.stop_by_hand(vm)
            case _:
                was_hit = self._region.deallocate_by_hand(vm)
        if was_hit:
            self._faults.strike(name, vm)
        return was_hit

    def _is_being_started(self, vm: str) -> bool:
        """Tell whether the pool has asked for a start: nobody could tell a second one from it."""
        believed = self._judge.pool.vms.get(vm)
        return believed is not None and believed.phase is VmPhase.STARTING

    def _crash_host(self) -> bool:
        if self._host.life is None:
            return False
        moment = self._chance.choice(("before", "after"))
        self._host.kill_at_commit(self._chance.randint(1, 40), moment)
        return True

    def _terminate(self) -> bool:
        life = self._host.life
        if life is None:
            return False
        rows = [row for row in life.store.list_instances(limit=100_000) if row.status not in OVER]
        # By age: ids are drawn, and their order does not repeat.
        live = [row.instance_id for row in sorted(rows, key=lambda row: row.created_at)]
        workflows = [one for one in live if one.partition("-")[0] in POOL_WORKFLOWS]
        # Jobs are many, and most of them hold nothing: every second blow is kept for one with a
        # slot, or waits for one.
        held = {job for vm in self._judge.pool.vms.values() for job in vm.slots}
        is_for_a_job = self._faults.fired[FaultName.TERMINATED] % 2 == 0
        chosen = [one for one in live if one in held] if is_for_a_job else workflows
        if not chosen:
            return False
        instance_id = self._chance.choice(chosen)
        self._judge.note_end(instance_id)
        life.guard(lambda: life.engine.terminate(instance_id, "from outside"))
        vm, costs_s = self._cost_of_end(instance_id)
        name = self._timeline.name_of(instance_id)
        self._faults.strike(FaultName.TERMINATED, vm, name, costs_s=costs_s)
        return True

    def _cost_of_end(self, instance_id: str) -> tuple[str | None, float]:
        """Tell whose things the end of a workflow puts off, and until which deadline at most."""
        policy = self._policy
        workflow, _, rest = instance_id.partition("-")
        if workflow == "pool":
            return None, self._judge.next_reconciler_s
        vm = self._judge.pool.vms.get(vm_of(rest)) if workflow == "retire" else None
        if vm is not None and vm.phase is VmPhase.DRAINING:
            return vm.name, policy.draining_s + policy.look_awake_s
        if vm is not None and vm.phase is VmPhase.DEALLOCATING and vm.billed_since is not None:
            return vm.name, policy.deallocating_s + policy.look_awake_s
        # A wake has a deadline that is judged as it is; a job holds up no VM but by its slot.
        return None, 0.0

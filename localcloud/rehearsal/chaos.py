"""Who makes things go wrong: draws moments and spans, and lets the faults fall."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from localcloud.functions_host.errors import InstanceStateError
from localcloud.functions_host.store import OVER
from localcloud.rehearsal.faults import PACES, RESTART_S, FaultName, Faults
from localcloud.rehearsal.host import POOL_WORKFLOWS, Host, Life, vm_of
from localcloud.rehearsal.judge import Judge
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import HostClock, VirtualLoop
from orchestrator.domain.instances import SUSPENDED
from orchestrator.domain.pool import PoolPolicy, Vm, VmPhase

DOWN_S = (1.0, 120.0)
HANG_S = (20.0, 240.0)
JUMP_S = (-90.0, 240.0)
SUSPENDED_S = (60.0, 1500.0)
UNLISTED_S = (300.0, 1500.0)
LOOK_S = 5.0
INTENSITIES = (0.5, 1.0, 1.0, 2.0)


class Chaos:
    """Draws the faults of a rehearsal.

    Args:
        names: Which may happen.
        unlisted: VMs that are not configured now; the next life of the host reads it.
        draw: Gives each fault a source of chance of its own: one fault more moves no other.
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
        unlisted: set[str],
        draw: Callable[[str], Random],
    ) -> None:
        self._policy = policy
        self._unlisted = unlisted
        self._names = sorted(names)
        self._loop = loop
        self._clock = clock
        self._host = host
        self._region = region
        self._faults = faults
        self._judge = judge
        self._timeline = timeline
        self._chances = {name: draw(f"chaos/{name}") for name in self._names}
        self._tasks: list[asyncio.Task[None]] = []
        self._repairs: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Begin to make things go wrong."""
        for name in self._names:
            gap_s = PACES[name].gap_s / self._chances[name].choice(INTENSITIES)
            self._tasks.append(self._loop.create_task(self._go_on(name, gap_s)))

    def end(self) -> None:
        """Let everything be well again, but for what has already been broken."""
        for task in self._tasks:
            task.cancel()
        self._faults.end_all()

    def stop(self) -> list[asyncio.Task[None]]:
        """Stop for good, repairs included; give the tasks that were cancelled."""
        tasks = [*self._tasks, *self._repairs]
        for task in tasks:
            task.cancel()
        return tasks

    def _repair(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something mended in a while, also after the end of all faults."""
        self._repairs.append(self._loop.create_task(work))

    async def _go_on(self, name: FaultName, gap_s: float) -> None:
        pace, chance = PACES[name], self._chances[name]
        while True:
            await asyncio.sleep(chance.expovariate(1 / gap_s))
            vm = chance.choice(self._region.names)
            if pace.lasts_s is not None:
                lasts_s = chance.uniform(*pace.lasts_s)
                if name is FaultName.AGENT_HANG:
                    self._hang(vm, lasts_s)
                else:
                    self._faults.begin(name, vm if pace.hits_one else None, lasts_s)
            else:
                # A blow that finds nothing to hit is tried again soon.
                while not self._strike(name, chance.choice(self._region.names)):
                    await asyncio.sleep(chance.uniform(5, 60))

    def _hang(self, vm: str, lasts_s: float) -> None:
        agent = self._region.agents[vm]
        if agent.core is not None:
            agent.hangs_until = self._loop.time() + lasts_s
            self._faults.strike(FaultName.AGENT_HANG, vm, f"for {lasts_s:.0f} s")

    def _strike(self, name: FaultName, vm: str) -> bool:
        match name:
            case FaultName.AGENT_CRASH:
                was_hit = self._region.crash_agent(vm)
            case FaultName.HOST_CRASH:
                return self._crash_host()
            case FaultName.CLOCK_JUMP:
                step_s = self._chances[name].uniform(*JUMP_S)
                self._clock.jump(step_s)
                self._faults.strike(name, None, f"by {step_s:.0f} s", costs_s=abs(step_s))
                return True
            case FaultName.TERMINATED:
                return self._terminate()
            case FaultName.SUSPENDED:
                return self._suspend()
            case FaultName.STORE_LOST:
                return self._lose_store()
            case FaultName.VM_UNLISTED:
                return self._unlist(vm)
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
        chance = self._chances[FaultName.HOST_CRASH]
        moment = chance.choice(("before", "after"))
        self._host.kill_at_commit(chance.randint(1, 40), moment)
        return True

    def _terminate(self) -> bool:
        life = self._host.life
        if life is None:
            return False
        live = _live_instances(life)
        workflows = [one for one in live if one.partition("-")[0] in POOL_WORKFLOWS]
        # Jobs are many, and most of them hold nothing: every second blow is kept for one with a
        # slot, or waits for one.
        is_for_a_job = self._faults.fired[FaultName.TERMINATED] % 2 == 0
        chosen = [one for one in live if one in self._held()] if is_for_a_job else workflows
        if not chosen:
            return False
        instance_id = self._chances[FaultName.TERMINATED].choice(chosen)
        self._judge.note_end(instance_id)
        life.guard(lambda: life.engine.terminate(instance_id, "from outside"))
        vm, costs_s = self._cost_of_end(instance_id)
        name = self._timeline.name_of(instance_id)
        self._faults.strike(FaultName.TERMINATED, vm, name, costs_s=costs_s)
        return True

    def _cost_of_end(self, instance_id: str) -> tuple[str | None, float]:
        """Tell whose things the end of a workflow puts off, and until which deadline at most."""
        workflow, _, rest = instance_id.partition("-")
        if workflow == "pool":
            return None, self._judge.next_reconciler_s
        vm = self._judge.pool.vms.get(vm_of(rest)) if workflow == "retire" else None
        # A wake has a deadline that is judged as it is; a job holds up no VM but by its slot.
        return (None, 0.0) if vm is None else (vm.name, self._cost_of_lost_retirement(vm))

    def _cost_of_lost_retirement(self, vm: Vm) -> float:
        policy = self._policy
        if vm.phase is VmPhase.DRAINING:
            return policy.draining_s + policy.look_awake_s
        if vm.phase is VmPhase.DEALLOCATING and vm.interval.began_at is not None:
            return policy.deallocating_s + policy.look_awake_s
        return 0.0

    def _held(self) -> set[str]:
        """Give the jobs that have a slot."""
        return {job_id for vm in self._judge.pool.vms.values() for job_id in vm.slots}

    def _suspend(self) -> bool:
        """Suspend a job: every second blow is kept for one with a slot, or waits for one."""
        life = self._host.life
        if life is None:
            return False
        name, chance = FaultName.SUSPENDED, self._chances[FaultName.SUSPENDED]
        wanted = self._held() if self._faults.fired[name] % 2 == 0 else set(self._judge.rows)
        chosen = [one for one in _live_instances(life) if one in wanted]
        if not chosen:
            return False
        instance_id, lasts_s = chance.choice(chosen), chance.uniform(*SUSPENDED_S)
        try:
            life.guard(partial(life.engine.suspend, instance_id, "from outside"))
        except InstanceStateError:
            return False
        what = f"{self._timeline.name_of(instance_id)} for {lasts_s:.0f} s"
        self._faults.strike(name, None, what)
        self._repair(self._resume(instance_id, lasts_s))
        return True

    async def _resume(self, instance_id: str, after_s: float) -> None:
        """Resume an instance, again if need be: the host may end at any commit of it."""
        await asyncio.sleep(after_s)
        looks = 0
        while looks < 2:
            await asyncio.sleep(LOOK_S)
            life, status = self._host.life, self._host.status_of(instance_id)
            looks = 0 if status in (None, SUSPENDED) else looks + 1
            if life is not None and status == SUSPENDED:
                life.guard(partial(life.engine.resume, instance_id, "from outside"))

    def _lose_store(self) -> bool:
        """Empty Durable's store under running jobs; all else stays as it is."""
        if not self._held() or not self._host.lose_store():
            return False
        self._judge.note_store_lost()
        self._faults.strike(FaultName.STORE_LOST, None)
        # As if the reconciler and every retirement had been terminated.
        excuse = self._faults.excuse
        excuse(FaultName.TERMINATED, None, self._judge.next_reconciler_s)
        for vm in self._judge.pool.vms.values():
            excuse(FaultName.TERMINATED, vm.name, self._cost_of_lost_retirement(vm))
        return True

    def _unlist(self, vm: str) -> bool:
        """Take a VM out of the settings while it works; one at a time, so that others are left."""
        believed = self._judge.pool.vms.get(vm)
        works = believed is not None and any(
            slot.claimed and not slot.releasing for slot in believed.slots.values()
        )
        if self._unlisted or not works or not self._host.kill():
            return False
        self._unlisted.add(vm)
        lasts_s = self._chances[FaultName.VM_UNLISTED].uniform(*UNLISTED_S)
        self._faults.strike(FaultName.VM_UNLISTED, None, f"{vm} for {lasts_s:.0f} s")
        self._repair(self._list_again(vm, lasts_s))
        return True

    async def _list_again(self, vm: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._unlisted.discard(vm)
        self._host.kill()
        self._faults.excuse(FaultName.VM_UNLISTED, None, RESTART_S)
        self._timeline.note("fault", f"{vm} is listed again")


def _live_instances(life: Life) -> list[str]:
    """List the instances that are not over by age: ids are drawn, and their order varies."""
    rows = [row for row in life.store.list_instances(limit=100_000) if row.status not in OVER]
    return [row.instance_id for row in sorted(rows, key=lambda row: row.created_at)]

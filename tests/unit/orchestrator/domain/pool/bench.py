"""A pool that tests tell commands to, in the words that tests need."""

import copy
import json
from typing import Any

import orjson

from orchestrator.domain.pool import (
    Acquire,
    Candidate,
    Command,
    Decision,
    Effect,
    Enqueue,
    PoolPolicy,
    PoolState,
    RetireVm,
    StartAccepted,
    Tick,
    Vm,
    VmReady,
    VmRunning,
    VmSeen,
    WakeVm,
    command_from_json,
    command_to_json,
    decide,
)

BEGIN = 1_700_000_000.0
PRICE_USD = 3.6
"""Per hour: a thousandth of a dollar a second."""


def make_candidate(name: str) -> Candidate:
    return Candidate(
        name=name,
        resource_group="rg",
        size="Standard_NC24ads_A100_v4",
        region="eastus",
        zone="1",
        price_per_hour_usd=PRICE_USD,
        agent_url=f"http://{name}:8470",
    )


def make_policy(*names: str, **numbers: Any) -> PoolPolicy:
    candidates = tuple(make_candidate(name) for name in names or ("gpu-1",))
    return PoolPolicy(candidates=candidates, **{"slots_per_vm": 2, **numbers})


POWERS = (
    None,
    "running",
    "deallocated",
    "starting",
    "deallocating",
    "stopping",
    "stopped",
    "gone",
)
"""What the reconciler may be told of a VM; None when it could not be told."""


class Bench:
    """A pool, its clock, and everything that it was told and has asked for.

    Attributes:
        last: The latest decision.
        effects: Everything ever issued, in order.
    """

    def __init__(self, *names: str, **numbers: Any) -> None:
        self.policy = make_policy(*names, **numbers)
        self.state = PoolState()
        self.now = BEGIN
        self.effects: list[Effect] = []
        self.last = Decision(self.state, [], {})

    def tell(self, command: Command) -> dict[str, Any]:
        """Tell a command as an activity would: through JSON, both it and the state."""
        command = command_from_json(json.loads(json.dumps(command_to_json(command))))
        self.last = decide(self.state, command, self.now, self.policy)
        self.state = PoolState.from_json(orjson.loads(orjson.dumps(self.last.state.to_json())))
        self.effects.extend(self.last.effects)
        return self.last.reply

    def issued(self, kind: type[Effect]) -> list[Any]:
        """Give the effects of one kind out of the latest decision."""
        return [effect for effect in self.last.effects if isinstance(effect, kind)]

    def enqueue(self, job_id: str, fence: int = 1, **more: Any) -> dict[str, Any]:
        return self.tell(Enqueue(job_id=job_id, fence=fence, round=1, **more))

    def acquire(self, job_id: str, fence: int = 1, **more: Any) -> dict[str, Any]:
        return self.tell(Acquire(job_id=job_id, fence=fence, round=2, **more))

    def tick(self, *seen: VmSeen, **more: Any) -> dict[str, Any]:
        return self.tell(Tick(generation=self.state.generation, seen=list(seen), **more))

    def see(self, vm: str = "gpu-1", **what: Any) -> VmSeen:
        """Observe a VM under the pool's present belief."""
        belief = self.vm(vm)
        return VmSeen(
            vm=vm,
            epoch=belief.epoch,
            phase_since=belief.phase_since,
            seen_at=self.now,
            **what,
        )

    def vm(self, name: str = "gpu-1") -> Vm:
        return self.state.vms[name]

    def phase(self, name: str = "gpu-1") -> str:
        return self.state.vms[name].phase.value

    def queued(self) -> list[str]:
        return [ticket.job_id for ticket in self.state.queue]

    def bring_up(self, name: str = "gpu-1", **more: Any) -> int:
        """Answer a VM's wake until it is ready; give the epoch."""
        epoch = self.vm(name).epoch
        self.tell(StartAccepted(vm=name, epoch=epoch, at=self.now))
        self.tell(VmRunning(vm=name, epoch=epoch))
        self.tell(VmReady(vm=name, epoch=epoch, **more))
        return epoch

    def run(self, job_id: str, fence: int = 1) -> dict[str, Any]:
        """Queue a job, bring the first VM up if need be, and claim the slot."""
        self.enqueue(job_id, fence)
        if self.phase() == "starting":
            self.bring_up()
        return self.acquire(job_id, fence)

    def idle_out(self, name: str = "gpu-1") -> RetireVm:
        """Let the idle window pass, and give the drain that follows."""
        self.now = self.vm(name).last_busy_at + self.policy.idle_window_s
        self.tick()
        (retire,) = [e for e in self.issued(RetireVm) if e.vm == name]
        return retire

    def woken(self) -> list[str]:
        """Name every VM that was woken, once for each epoch, in order."""
        wakes = [effect for effect in self.effects if isinstance(effect, WakeVm)]
        return [wake.vm for wake in dict.fromkeys(wakes)]


def frozen(state: PoolState) -> PoolState:
    """Copy a state deeply, to see later that it was not changed."""
    return copy.deepcopy(state)

"""A pool as a busy day leaves it: ten VMs with every slot taken, and a queue behind them."""

import secrets
from collections.abc import Iterator

from orchestrator.domain.fence import fence_of
from orchestrator.domain.job import new_id
from orchestrator.domain.pool import (
    Acquire,
    Candidate,
    Command,
    Confirm,
    Enqueue,
    PoolPolicy,
    PoolState,
    Release,
    StartAccepted,
    Tick,
    VmReady,
    decide,
)
from orchestrator.domain.pool.effects import effect_to_json

VMS = 10
PAST_JOBS = 2_000
"""Ended jobs: the pool remembers no more than these of any past."""
BETWEEN_S = 0.0123457
"""Between two arrivals; no round number, so that moments are as long as a clock's."""
JOB_TIMEOUT_S = 1e7
"""No slot's time is over while the measurement lasts."""


def make_policy() -> PoolPolicy:
    """Give the defaults, with ten candidates."""
    candidates = tuple(
        Candidate(
            name=f"gpu-a100-{number}",
            resource_group="coldforge-production",
            size="Standard_NC24ads_A100_v4",
            region="eastus",
            zone="1",
            price_per_hour_usd=3.673,
            agent_url=f"http://10.0.1.{number + 4}:8470",
        )
        for number in range(VMS)
    )
    return PoolPolicy(candidates=candidates, job_timeout_s=JOB_TIMEOUT_S, ticket_s=JOB_TIMEOUT_S)


class Crowd:
    """A pool's state, and commands that leave it as crowded as it is.

    Attributes:
        state: All that the pool knows.
        now: The moment of its last command, epoch seconds.
    """

    def __init__(self, policy: PoolPolicy, *, waiting: int, now: float) -> None:
        """Bring a pool there by its own commands.

        Args:
            policy: See `make_policy`.
            waiting: Jobs without a slot.
            now: Begin of the day, epoch seconds.
        """
        self._policy = policy
        self.state = PoolState()
        self.now = now
        self._bring_up()
        self._run_past_jobs()
        places = len(policy.candidates) * policy.slots_per_vm
        for _ in range(places + waiting):
            self._tell(self._enter())
        self._confirm_all()

    def commands(self) -> Iterator[Command]:
        """Give, without end, what a busy pool is told: a job asks, one comes, that one goes."""
        while True:
            for ticket in self.state.queue[-1:]:
                yield Acquire(job_id=ticket.job_id, fence=ticket.fence, round=2)
            newcomer = self._enter()
            yield newcomer
            yield Release(job_id=newcomer.job_id, fence=newcomer.fence)

    def _bring_up(self) -> None:
        # One job each is waiting for it while a VM is woken.
        jobs = [self._enter() for _ in range(1_000)]
        for job in jobs:
            self._tell(job)
        for vm in list(self.state.vms.values()):
            self._tell(StartAccepted(vm=vm.name, epoch=self.state.vms[vm.name].epoch, at=self.now))
            self._tell(VmReady(vm=vm.name, epoch=self.state.vms[vm.name].epoch))
        for job in jobs:
            self._tell(Release(job_id=job.job_id, fence=job.fence))

    def _run_past_jobs(self) -> None:
        for _ in range(PAST_JOBS):
            job = self._enter()
            self._tell(job)
            self._tell(Release(job_id=job.job_id, fence=job.fence, ran=True))

    def _enter(self) -> Enqueue:
        self.now += BETWEEN_S
        started_ms = int(self.now * 1000)
        return Enqueue(
            job_id=new_id(started_ms, secrets.randbits(80)),
            fence=fence_of(started_ms, 1),
            round=1,
        )

    def _confirm_all(self) -> None:
        self._tell(Tick(generation=self.state.generation))
        effects = [effect_to_json(pending.effect) for pending in self.state.outbox.values()]
        self._tell(Confirm(effects=effects))

    def _tell(self, command: Command) -> None:
        self.state = decide(self.state, command, self.now, self._policy).state

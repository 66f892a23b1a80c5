"""What an operator chose, and the deadlines that follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A VM that the pool may wake.

    Attributes:
        price_per_hour_usd: Pay-as-you-go price while it is billed.
        agent_url: Base URL of the agent on it.
    """

    name: str
    resource_group: str
    size: str
    region: str
    zone: str | None
    price_per_hour_usd: float
    agent_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmWindow:
    """A time of day in which some VMs stay warm.

    Attributes:
        days: Days on which it begins, 0 for Monday.
        begins: Local time of its begin.
        lasts: How long, at most a day; it may reach into the next day.
        zone: Time zone of `begins`; over a change of the clocks the window keeps its local times.
        vms: How many VMs.
    """

    days: frozenset[int]
    begins: time
    lasts: timedelta
    zone: ZoneInfo
    vms: int

    def span_around(self, now: float) -> tuple[float, float] | None:
        """Give begin and end (epoch seconds) of the occurrence that `now` is in, if any."""
        return next((s for s in self._spans(now) if s[0] <= now < s[1]), None)

    def next_begin(self, now: float) -> float | None:
        """Give the next begin within two days, epoch seconds."""
        return min((begin for begin, _ in self._spans(now) if begin > now), default=None)

    def _spans(self, now: float) -> list[tuple[float, float]]:
        today = datetime.fromtimestamp(now, UTC).astimezone(self.zone).date()
        spans = []
        for shift in (-1, 0, 1, 2):
            day = today + timedelta(days=shift)
            if day.weekday() in self.days:
                begin = datetime.combine(day, self.begins, self.zone)
                # Wall-clock arithmetic: adding to an aware datetime keeps the local time.
                spans.append((begin.timestamp(), (begin + self.lasts).timestamp()))
        return spans


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """The rules' numbers, all durations in seconds.

    Attributes:
        candidates: In order of preference.
        offer_s: An offer that nobody claims for so long goes back to the queue.
        missed_offers: After so many unclaimed offers a ticket is dropped: its workflow is gone. A
            job that is alive asks again and joins the queue anew.
        ticket_s: A ticket whose job has not asked for so long is dropped, likewise.
        releasing_s: A VM on which nothing is left but jobs that ended so long ago and that its
            agent has not confirmed to have stopped is lost.
        slot_grace_s: Added to `job_timeout_s`, the deadline of a slot.
        max_failures: Failed wakes in a row that open a VM's circuit.
        cool_down_s: Waits before a candidate without capacity is tried again, by failures so far.
        unseen_s: An agent that does not answer for so long is lost.
        adrift_s: A claimed slot is freed if at two looks, so far apart, no workflow or no agent
            worked on its job.
        warm_windows: Times of day in which VMs stay warm.
        default_job_s: What a job is taken to last before this deployment has seen any.
        default_wake_s: The same for a cold start.
        look_awake_s: Longest sleep of the reconciler while anything is awake.
        look_asleep_s: Longest sleep while all is off.
        reconciler_overdue_s: A tick so much later than planned starts the next generation.
        lease_s: Time a lease gives a VM; it outlasts a redeployment of the app.
        reissue_s: An effect not confirmed for so long is issued again by the next command.
    """

    candidates: tuple[Candidate, ...]
    slots_per_vm: int = 4
    idle_window_s: float = 300.0
    offer_s: float = 90.0
    missed_offers: int = 3
    ticket_s: float = 1800.0
    job_timeout_s: float = 1800.0
    slot_grace_s: float = 600.0
    releasing_s: float = 300.0
    starting_s: float = 1200.0
    draining_s: float = 300.0
    drain_answer_s: float = 60.0
    deallocating_s: float = 900.0
    warm_windows: tuple[WarmWindow, ...] = ()
    default_job_s: float = 60.0
    default_wake_s: float = 240.0
    max_failures: int = 3
    cool_down_s: tuple[float, ...] = (60.0, 120.0, 300.0, 600.0)
    unseen_s: float = 60.0
    adrift_s: float = 60.0
    look_awake_s: float = 60.0
    look_asleep_s: float = 900.0
    reconciler_overdue_s: float = 300.0
    reissue_s: float = 10.0
    lease_s: float = 900.0

    @property
    def longest_slot_s(self) -> float:
        """Give how long a slot may last from its offer until its job is stopped, in seconds."""
        return self.offer_s + self.job_timeout_s + self.slot_grace_s

    def candidate(self, name: str) -> Candidate | None:
        """Find a candidate by name."""
        return next((c for c in self.candidates if c.name == name), None)

    def reach(self, name: str, home: Mapping[str, Any] | None) -> Candidate | None:
        """Find a candidate by name or, once it is no longer configured, by its last `home`."""
        return self.candidate(name) or (Candidate(**home) if home else None)

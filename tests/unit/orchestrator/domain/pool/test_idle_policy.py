from dataclasses import replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from orchestrator.domain.pool import (
    Candidate,
    Enqueue,
    PoolPolicy,
    PoolState,
    Prewarm,
    ResetVm,
    StartFailed,
    Tick,
    VmPhase,
    VmReady,
    WakeVm,
    WarmWindow,
    decide,
)
from orchestrator.domain.pool.view import view_pool
from orchestrator.settings import parse_warm_windows

NEW_YORK = ZoneInfo("America/New_York")
OFFICE = WarmWindow(
    days=frozenset(range(5)), begins=time(8), lasts=timedelta(hours=10), zone=NEW_YORK, vms=1
)


def moment(text: str) -> float:
    """Give epoch seconds of a local time in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp()


def policy(*, vms: int = 2, **values) -> PoolPolicy:
    candidates = tuple(
        Candidate(
            name=f"gpu-{n}",
            resource_group="r",
            size="s",
            region="e",
            zone=None,
            price_per_hour_usd=3.6,
            agent_url=f"http://gpu-{n}",
        )
        for n in range(vms)
    )
    return PoolPolicy(candidates=candidates, **values)


class Pool:
    """A pool at a moment, told one command after the other."""

    def __init__(self, rules: PoolPolicy, now: float) -> None:
        self.rules, self.now, self.state, self.effects = rules, now, PoolState(), []

    def tell(self, command, *, after_s: float = 1.0):
        self.now += after_s
        decision = decide(self.state, command, self.now, self.rules)
        self.state, self.effects = decision.state, decision.effects
        return decision.reply

    def woken(self) -> list[str]:
        return [effect.vm for effect in self.effects if isinstance(effect, WakeVm)]

    def make_ready(self, name: str) -> None:
        self.tell(VmReady(vm=name, epoch=self.state.vms[name].epoch))

    def view(self, name: str) -> dict:
        vms = view_pool(self.state, self.now, self.rules)["vms"]
        return next(vm for vm in vms if vm["name"] == name)


class TestWarmWindow:
    @pytest.mark.parametrize(
        ("at", "is_in"),
        [
            ("2026-11-20T07:59", False),
            ("2026-11-20T08:00", True),
            ("2026-11-20T17:59", True),
            ("2026-11-20T18:00", False),
            ("2026-11-21T12:00", False),
        ],
    )
    def test_holds_on_its_days_in_its_time_zone(self, at, is_in):
        assert (OFFICE.span_around(moment(at)) is not None) == is_in

    def test_that_begins_in_the_evening_reaches_into_the_next_day(self):
        night = replace(OFFICE, begins=time(22), lasts=timedelta(hours=8))

        assert night.span_around(moment("2026-11-21T05:59"))
        assert not night.span_around(moment("2026-11-22T05:59"))

    def test_keeps_its_local_times_over_a_change_of_the_clocks(self):
        begin, end = OFFICE.span_around(moment("2026-03-09T12:00"))

        assert (begin, end) == (moment("2026-03-09T08:00"), moment("2026-03-09T18:00"))
        winter = OFFICE.span_around(moment("2026-03-06T12:00"))
        assert (begin - winter[0]) % 86400 == 23 * 3600


class TestParseWarmWindows:
    def test_reads_days_times_and_zone(self):
        (window,) = parse_warm_windows(
            '[{"days": "fri-mon", "from": "22:30", "to": "06:00", "time_zone": "UTC", "vms": 2}]'
        )

        assert window.days == {4, 5, 6, 0}
        assert window.lasts == timedelta(hours=7, minutes=30)
        assert window.vms == 2

    @pytest.mark.parametrize(
        "text",
        [
            '[{"days": "funday", "from": "08:00", "to": "09:00", "time_zone": "UTC"}]',
            '[{"from": "08:00", "to": "09:00", "time_zone": "Mars/Olympus"}]',
            '[{"from": "8", "to": "09:00", "time_zone": "UTC"}]',
            "{}",
        ],
    )
    def test_says_what_is_wrong(self, text):
        with pytest.raises(ValueError):
            parse_warm_windows(text)


class TestWarmth:
    def test_wakes_a_vm_when_its_window_begins_and_stops_it_after(self):
        pool = Pool(policy(warm_windows=(OFFICE,)), moment("2026-11-20T07:50"))
        reply = pool.tell(Tick(generation=1))
        assert pool.woken() == []
        assert reply["until"] == moment("2026-11-20T08:00")

        pool.tell(Tick(generation=1), after_s=reply["until"] - pool.now)

        assert pool.woken() == ["gpu-0"]
        pool.make_ready("gpu-0")
        pool.tell(Tick(generation=1), after_s=3600)
        assert pool.state.vms["gpu-0"].phase is VmPhase.READY
        assert pool.view("gpu-0")["stops_at"] == moment("2026-11-20T18:00")
        assert pool.view("gpu-0")["why"] == "warm window until 18:00 EST"
        pool.tell(Tick(generation=1), after_s=moment("2026-11-20T18:00") - pool.now)
        assert pool.state.vms["gpu-0"].phase is VmPhase.DRAINING

    def test_of_a_prewarm_wakes_as_many_and_lets_them_go(self):
        pool = Pool(policy(vms=3), 1.8e9)

        reply = pool.tell(Prewarm(vms=2, until=1.8e9 + 1000))
        first = pool.woken()
        pool.tell(Tick(generation=1))

        assert reply["vms"] == 2
        assert first + pool.woken() == ["gpu-0", "gpu-1"]
        for name in ("gpu-0", "gpu-1"):
            pool.make_ready(name)
        pool.tell(Tick(generation=1), after_s=900)
        assert pool.state.vms["gpu-1"].phase is VmPhase.READY
        pool.tell(Tick(generation=1), after_s=200)
        assert pool.state.vms["gpu-0"].phase is VmPhase.DRAINING
        assert pool.state.vms["gpu-1"].phase is VmPhase.DRAINING


class TestScaling:
    def test_wakes_a_second_vm_once_the_wait_is_longer_than_a_cold_start(self):
        rules = policy(default_job_s=100.0, default_wake_s=240.0)
        pool = Pool(rules, 1.8e9)
        woken = []
        for number in range(12):
            pool.tell(Enqueue(job_id=f"j{number}", fence=101))
            woken.append(pool.woken())

        # Ten waiting, four at a time, 100 s each: 250 s is more than 240.
        assert woken[0] == ["gpu-0"]
        assert woken[1:9] == [[]] * 8
        assert woken[9] == ["gpu-1"]

    def test_lets_the_last_candidate_go_first(self):
        pool = Pool(policy(vms=2), 1.8e9)
        pool.tell(Prewarm(vms=2, until=1.8e9 + 1000))
        pool.tell(Tick(generation=1))
        for name in ("gpu-0", "gpu-1"):
            pool.make_ready(name)

        pool.tell(Prewarm(vms=1, until=1.8e9 + 86_400))
        pool.tell(Tick(generation=1), after_s=2000)

        assert pool.state.vms["gpu-0"].phase is VmPhase.READY
        assert pool.state.vms["gpu-1"].phase is VmPhase.DRAINING

    def test_learns_from_its_own_history(self):
        pool = Pool(policy(default_wake_s=240.0), 1.8e9)
        pool.state.learned = {"job_s": [1.0] * 5, "wake_s": [300.0] * 5}
        for number in range(100):
            pool.tell(Enqueue(job_id=f"j{number}", fence=101), after_s=0.01)

        assert pool.state.vms["gpu-1"].phase is VmPhase.DEALLOCATED


class TestCircuit:
    def test_opens_at_once_for_what_only_a_person_can_mend(self):
        pool = Pool(policy(), 1.8e9)
        pool.tell(Enqueue(job_id="a", fence=101))
        epoch = pool.state.vms["gpu-0"].epoch

        pool.tell(
            StartFailed(vm="gpu-0", epoch=epoch, code="QuotaExceeded", is_configuration=True)
        )

        assert pool.state.vms["gpu-0"].phase is VmPhase.BROKEN
        assert pool.view("gpu-0")["reason"] == "QuotaExceeded"
        assert pool.woken() == ["gpu-1"]

    def test_is_closed_by_a_reset(self):
        pool = Pool(policy(vms=1), 1.8e9)
        pool.tell(Enqueue(job_id="a", fence=101))
        epoch = pool.state.vms["gpu-0"].epoch
        pool.tell(
            StartFailed(vm="gpu-0", epoch=epoch, code="QuotaExceeded", is_configuration=True)
        )
        assert pool.tell(Tick(generation=1), after_s=86400)["answer"] == "sleep"
        assert pool.state.vms["gpu-0"].phase is VmPhase.BROKEN

        reply = pool.tell(ResetVm(vm="gpu-0"))
        again = pool.tell(ResetVm(vm="gpu-0"))

        assert reply["answer"] == "done"
        assert again["answer"] == "stale"

    def test_cool_downs_of_candidates_end_apart(self):
        """So that not all of them ask Azure in the same second."""
        pool = Pool(policy(vms=3), 1.8e9)
        pool.tell(Enqueue(job_id="a", fence=101))
        for name in ("gpu-0", "gpu-1", "gpu-2"):
            epoch = pool.state.vms[name].epoch
            pool.tell(StartFailed(vm=name, epoch=epoch, code="AllocationFailed", is_capacity=True))

        ends = [vm.retry_at - vm.phase_since for vm in pool.state.vms.values()]

        assert all(60 <= end <= 72 for end in ends)
        assert len(set(ends)) == len(ends)

    def test_goes_to_the_next_candidate_at_once_on_a_stock_out(self):
        pool = Pool(policy(), 1.8e9)
        pool.tell(Enqueue(job_id="a", fence=101))
        epoch = pool.state.vms["gpu-0"].epoch

        pool.tell(StartFailed(vm="gpu-0", epoch=epoch, code="AllocationFailed", is_capacity=True))

        assert pool.state.vms["gpu-0"].phase is VmPhase.NO_CAPACITY
        assert pool.woken() == ["gpu-1"]

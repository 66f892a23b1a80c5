import hashlib
import hmac
import threading

import pytest

from gpu_agent.errors import (
    ClosedError,
    DrainingError,
    StaleEpochError,
)
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import DrainRequest, JobState, LeaseRequest

KEY = JobKey("a", 1)


class TestCap:
    """The clock stands still here; what it reads is the seconds since the machine booted."""

    @pytest.mark.parametrize(
        ("now", "left_s"), [(100.0, 43200.0), (43000.0, 300.0), (50_000.0, 0.0)]
    )
    def test_is_told_as_what_is_left_of_it(self, make_bench, now, left_s):
        cap = {"max_uptime_s": 43200.0, "booted_at": 100.0}

        status = make_bench(cap=cap, clock=lambda: now).core.vm.status()

        assert (status.cap_left_s, status.max_uptime_s) == (left_s, 43200.0)

    def test_is_told_with_a_lease(self, make_bench):
        cap = {"max_uptime_s": 43200.0}

        status = make_bench(cap=cap, clock=lambda: 3200.0).core.vm.renew_lease(
            LeaseRequest(epoch=1, ttl_s=60.0)
        )

        assert status.cap_left_s == 40_000.0

    def test_is_unknown_where_none_is_set(self, make_bench):
        status = make_bench().core.vm.status()

        assert (status.cap_left_s, status.max_uptime_s) == (None, None)


class TestLease:
    def test_counts_down_from_now(self, bench):
        assert bench.core.vm.status().lease_left_s is None

        left = bench.core.vm.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0)).lease_left_s

        assert 50.0 < left <= 60.0

    def test_cancels_the_jobs_of_an_older_epoch(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a", epoch=1)

        status = bench.core.vm.renew_lease(LeaseRequest(epoch=2, ttl_s=60.0))

        assert status.epoch == 2
        assert [job["state"] for job in status.jobs] == [JobState.CANCELLED]

    def test_refuses_an_older_epoch(self, bench):
        bench.core.vm.renew_lease(LeaseRequest(epoch=2, ttl_s=60.0))

        with pytest.raises(StaleEpochError):
            bench.core.vm.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))

    def test_is_refused_once_closed(self, bench):
        bench.core.vm.drain(DrainRequest(epoch=1, drain=1, final=True))

        with pytest.raises(ClosedError):
            bench.core.vm.renew_lease(LeaseRequest(epoch=9, ttl_s=60.0))
        assert bench.core.lifecycle.readiness().phase == "closed"


class TestDrain:
    def test_does_not_close_for_good_what_has_just_got_a_lease(self, bench):
        bench.core.vm.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))

        answer = bench.core.vm.drain(DrainRequest(epoch=1, drain=1, final=True))

        assert not answer.drained
        assert bench.core.lifecycle.readiness().phase != "closed"

    def test_signs_for_this_vm_boot_epoch_and_drain(self, bench):
        answer = bench.core.vm.drain(DrainRequest(epoch=5, drain=2))

        text = f"gpu-1\n{bench.core.vm.identity.boot_id}\n5\n2".encode()
        assert answer.receipt == hmac.new(b"token", text, hashlib.sha256).hexdigest()

    def test_gives_the_same_answer_after_a_restart(self, make_bench):
        first = make_bench()
        answer = first.core.vm.drain(DrainRequest(epoch=5, drain=2))
        first.core.lifecycle.close()

        second = make_bench()

        assert second.core.vm.drain(DrainRequest(epoch=5, drain=2)) == answer

    def test_does_not_make_the_next_process_unready_but_still_refuses_its_epoch(self, make_bench):
        first = make_bench()
        first.start()
        first.core.vm.drain(DrainRequest(epoch=5, drain=1))
        unready = first.core.lifecycle.readiness()
        first.core.lifecycle.close()

        second = make_bench()
        second.start()

        assert (unready.ready, unready.phase) == (False, "draining")
        assert second.core.lifecycle.readiness().ready
        with pytest.raises(DrainingError):
            second.submit("a", epoch=5)
        assert second.submit("a", epoch=6).state == JobState.QUEUED

    def test_is_one_step_with_submissions(self, make_bench):
        bench = make_bench(slots=1)
        bench.start()
        bench.engine.may_finish.clear()
        barrier = threading.Barrier(2)
        taken: set[int] = set()

        def ask(epoch: int) -> None:
            barrier.wait(5.0)
            try:
                bench.submit(f"job-{epoch}", epoch=epoch)
            except DrainingError:
                return
            taken.add(epoch)

        for epoch in range(1, 30):
            thread = threading.Thread(target=ask, args=(epoch,))
            thread.start()
            barrier.wait(5.0)
            drained = bench.core.vm.drain(DrainRequest(epoch=epoch, drain=1)).drained
            thread.join()

            assert drained == (epoch not in taken)

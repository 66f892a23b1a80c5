import pytest

from gpu_agent.errors import (
    JobStoreError,
)
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import JobState, LeaseRequest, Stage

KEY = JobKey("a", 1)


class TestRestart:
    def test_finds_its_jobs_interrupted(self, make_bench):
        first = make_bench()
        first.start()
        first.engine.may_finish.clear()
        first.submit("a")
        first.core.jobs.cancel(JobKey("tomb", 4))
        first.core.lifecycle.close()

        second = make_bench()

        assert second.core.jobs.look(KEY).state == JobState.INTERRUPTED
        assert second.core.jobs.look(JobKey("tomb", 4)).state == JobState.CANCELLED
        assert second.core.vm.identity.boot_id != first.core.vm.identity.boot_id

    def test_remembers_the_stage_and_counts_on_from_what_was_told(self, make_bench):
        first = make_bench()
        first.start()
        first.engine.may_finish.clear()
        first.submit("a")
        assert first.engine.entered.acquire(timeout=10)
        first.core.jobs.advance(KEY, Stage.TEXTURE, 0.0)
        for percent in range(100):
            first.core.jobs.advance(KEY, Stage.TEXTURE, percent)
        told = first.core.jobs.look(KEY)
        first.core.lifecycle.close()

        found = make_bench().core.jobs.look(KEY)

        assert found.stage is Stage.TEXTURE
        assert found.seq > told.seq
        # Percents are shown, not written: no disk is asked for them.
        assert found.percent < told.percent

    def test_promises_nothing_that_the_disk_does_not_have(self, bench):
        bench.core.vm.renew_lease(LeaseRequest(epoch=1, ttl_s=60.0))
        bench.core.lifecycle.close()

        with pytest.raises(JobStoreError):
            bench.submit("a")

        assert bench.core.vm.status().jobs == []

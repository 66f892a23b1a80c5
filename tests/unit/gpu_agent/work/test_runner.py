import json
import threading
from dataclasses import replace

import pytest

from gpu_agent.artifacts.store import CONNECT_S, READ_S, RETRIES
from gpu_agent.engines import EngineError
from gpu_agent.errors import FullError, NotReadyError, StoreUnavailableError
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.run_queue import STUCK_S
from gpu_agent.wire import JobState

MANIFEST = "jobs/jobs/a/manifest.json"
MODEL = "jobs/jobs/a/1/model.glb"


class TestMaking:
    def test_writes_the_manifest_last_and_reports_it(self, bench):
        bench.submit("a", options={"detail": "high"})

        view = bench.await_over("a")

        assert view.state == JobState.SUCCEEDED
        assert bench.store.order == [MODEL, MANIFEST]
        assert json.loads(bench.store.files[MANIFEST]) == view.manifest
        assert view.manifest["artifacts"] == [
            {
                "name": "model.glb",
                "path": MODEL,
                "content_type": "model/gltf-binary",
                "size_bytes": 3,
                "sha256": "8bc31540bd104a36b11b1061925e19e4bd8be22607025a5bb131d389a3cdbc40",
            }
        ]
        assert view.manifest["options"] == {"detail": "high"}
        assert view.manifest["seed"] == 7
        assert list(view.manifest["stage_seconds"]) == [
            "fetch",
            "background",
            "shape",
            "texture",
            "finish",
            "export",
            "upload",
        ]

    def test_reports_a_manifest_that_is_there_and_makes_nothing(self, bench):
        bench.store.files[MANIFEST] = b'{"fence": 0}'

        bench.submit("a")

        assert bench.await_over("a").manifest == {"fence": 0}
        assert bench.engine.seen == []

    def test_reports_the_manifest_that_came_first(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)

        bench.store.files[MANIFEST] = b'{"fence": 0}'
        bench.engine.may_finish.set()

        assert bench.await_over("a").manifest == {"fence": 0}
        assert json.loads(bench.store.files[MANIFEST]) == {"fence": 0}

    def test_lets_one_job_at_a_time_into_the_engine(self, make_bench):
        bench = make_bench(slots=4)
        bench.start()
        for job_id in "abcd":
            bench.submit(job_id)

        assert {bench.await_over(job_id).state for job_id in "abcd"} == {JobState.SUCCEEDED}
        assert bench.engine.most_at_once == 1

    def test_lets_every_job_into_an_engine_with_queues_of_its_own(self, make_bench):
        bench = make_bench(slots=4)
        bench.engine.info = replace(bench.engine.info, is_concurrent=True)
        bench.engine.may_finish.clear()
        bench.start()
        for job_id in "abcd":
            bench.submit(job_id)

        for _ in "abcd":
            assert bench.engine.entered.acquire(timeout=10)
        bench.engine.may_finish.set()

        assert {bench.await_over(job_id).state for job_id in "abcd"} == {JobState.SUCCEEDED}


class TestFailing:
    def test_tells_what_the_engine_said(self, bench):
        bench.engine.error = EngineError("no_subject", "There is nothing.", retryable=False)

        bench.submit("a")

        assert bench.await_over("a").error == {
            "code": "no_subject",
            "message": "There is nothing.",
            "retryable": False,
            "stage": "shape",
        }
        assert MANIFEST not in bench.store.files

    @pytest.mark.parametrize("error", [RuntimeError("secret detail"), MemoryError()])
    def test_hides_what_nobody_foresaw(self, bench, error: Exception):
        bench.engine.error = error

        bench.submit("a")

        shown = bench.await_over("a").error
        assert (shown["code"], shown["retryable"]) == ("engine_failed", True)
        assert "secret" not in shown["message"]

    def test_survives_an_engine_that_leaves(self, bench):
        bench.engine.error = SystemExit(3)
        for job_id in "abc":
            bench.submit(job_id)
            assert bench.await_over(job_id).error["code"] == "internal"

        bench.engine.error = None
        bench.submit("d")

        assert bench.await_over("d").state == JobState.SUCCEEDED

    @pytest.mark.parametrize(
        ("path", "stage"), [("jobs/jobs/a/input.png", "fetch"), (MODEL, "upload")]
    )
    def test_tells_that_the_store_failed(self, bench, path: str, stage: str):
        bench.store.errors[path] = StoreUnavailableError("No answer.")

        bench.submit("a")

        shown = bench.await_over("a").error
        assert (shown["code"], shown["retryable"], shown["stage"]) == (
            "store_unavailable",
            True,
            stage,
        )

    def test_tells_that_the_image_is_not_there(self, bench):
        bench.submit("a", has_image=False)

        assert bench.await_over("a").error["code"] == "input_missing"


class TestStopping:
    def test_cancels_a_running_job_and_drops_its_result(self, bench):
        bench.engine.is_deaf = True
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)

        assert bench.core.jobs.cancel(JobKey("a", 1)).state == JobState.CANCELLED
        bench.engine.may_finish.set()
        bench.submit("b")

        assert bench.await_over("b").state == JobState.SUCCEEDED
        assert bench.core.jobs.look(JobKey("a", 1)).state == JobState.CANCELLED
        assert MANIFEST not in bench.store.files

    def test_takes_a_job_out_of_the_line_before_the_engine_at_once(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)
        bench.submit("b")
        bench.await_true(lambda: bench.runner.engine_lock.length == 1)

        bench.core.jobs.cancel(JobKey("b", 1))

        bench.await_true(lambda: bench.runner.engine_lock.length == 0)
        assert bench.core.jobs.look(JobKey("a", 1)).state == JobState.RUNNING

    def test_keeps_new_work_out_of_the_engine_until_a_deaf_job_has_left_it(self, bench):
        bench.engine.is_deaf = True
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)
        bench.submit("a", fence=2)

        assert not bench.engine.entered.acquire(timeout=0.1)
        bench.engine.may_finish.set()

        assert bench.await_over("a", 2).state == JobState.SUCCEEDED
        assert bench.engine.most_at_once == 1
        assert bench.core.jobs.look(JobKey("a", 1)).state == JobState.CANCELLED

    def test_times_out_a_deaf_job_and_one_that_waits_behind_it(self, make_bench):
        bench = make_bench(slots=2)
        bench.start()
        bench.engine.is_deaf = True
        bench.engine.may_finish.clear()
        bench.submit("a", timeout_s=0.2)
        assert bench.engine.entered.acquire(timeout=10)
        bench.submit("b", timeout_s=0.2)

        assert bench.await_over("a").error["code"] == "timeout"
        assert bench.await_over("b").error["code"] == "timeout"
        assert len(bench.engine.seen) == 1

    def test_does_not_sit_out_the_shortest_stage_time_once_cancelled(self, make_bench):
        bench = make_bench(stage_min_s=3600.0)
        bench.start()
        bench.submit("a")
        bench.await_true(lambda: bench.core.jobs.look(JobKey("a", 1)).stage == "fetch")

        bench.core.jobs.cancel(JobKey("a", 1))
        bench.core.lifecycle.end()

        assert bench.runner.join(10.0)

    def test_gives_every_stage_its_shortest_time(self, make_bench):
        bench = make_bench(stage_min_s=0.05)
        bench.start()
        bench.submit("a")

        seconds = bench.await_over("a").stage_seconds

        assert len(seconds) == 7
        assert min(seconds.values()) >= 0.05


class TestHang:
    def test_of_a_thread_whose_job_is_over_asks_for_another_process_once(
        self, make_bench, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("gpu_agent.jobs.run_queue.STUCK_S", 0.05)
        told: list[str] = []
        bench = make_bench(start_over=told.append)
        bench.start()
        bench.engine.may_finish.clear()
        bench.engine.is_deaf = True
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)

        bench.core.jobs.cancel(JobKey("a", 1))
        bench.await_true(lambda: bool(told))
        bench.submit("b", timeout_s=0.2)

        assert bench.await_over("b").error["code"] == "timeout"
        assert told == ["The work on a is over and does not end."]

    def test_is_no_thread_that_hears_that_its_job_is_over(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)

        bench.core.jobs.cancel(JobKey("a", 1))

        bench.await_true(lambda: not bench.core.runs._runs)
        assert bench.core.runs._stuck_at() == {}

    def test_is_longer_than_two_calls_to_the_store_may_take(self):
        # The SDK's pauses, with what it draws at most: 15 s, and 3, 9 and 27 s more.
        pauses_s = sum(15 + 3**number for number in range(1, RETRIES + 1)) + RETRIES * 3

        assert 2 * ((1 + RETRIES) * (CONNECT_S + READ_S) + pauses_s) < STUCK_S


class TestSetUp:
    def test_refuses_jobs_until_the_engine_is_ready(self, make_bench):
        bench = make_bench()
        bench.engine.may_set_up.clear()
        bench.runner.start()
        bench.await_true(lambda: bench.core.lifecycle.readiness().percent == 50)

        with pytest.raises(NotReadyError):
            bench.submit("a")
        assert bench.core.vm.status().jobs == []
        bench.engine.may_set_up.set()
        bench.await_true(lambda: bench.core.lifecycle.readiness().ready)

        assert bench.submit("a").state == JobState.QUEUED

    def test_says_that_it_failed(self, make_bench):
        bench = make_bench()
        bench.engine.set_up_error = EngineError("no_gpu", "There is no GPU.")
        bench.start()

        readiness = bench.core.lifecycle.readiness()

        assert (readiness.ready, readiness.phase) == (False, "failed")
        assert "There is no GPU." in readiness.detail
        assert bench.given_up == ["The set-up failed: There is no GPU."]

    def test_tells_the_percent_of_each_step(self, make_bench):
        bench = make_bench()
        bench.engine.may_set_up.clear()
        bench.engine.steps = [(100, "weights"), (40, "model")]
        bench.runner.start()
        bench.await_true(lambda: bench.core.lifecycle.readiness().percent == 50)
        under_way = bench.core.lifecycle.readiness()
        bench.engine.may_set_up.set()
        bench.await_true(lambda: bench.core.lifecycle.readiness().ready)

        assert under_way.steps == {"weights": 100, "model": 40}
        assert bench.core.lifecycle.readiness().steps == {"weights": 100, "model": 100}


class TestSlots:
    def test_frees_a_slot_when_a_job_is_cancelled(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")
        bench.submit("b")
        with pytest.raises(FullError):
            bench.submit("c")

        bench.core.jobs.cancel(JobKey("b", 1))

        assert bench.submit("c").state == JobState.QUEUED

    def test_never_holds_more_than_its_slots_under_a_crowd(self, make_bench):
        bench = make_bench(slots=3)
        bench.start()
        bench.engine.may_finish.clear()
        taken: list[str] = []

        def ask(n: int) -> None:
            try:
                taken.append(bench.submit(f"job-{n}").job_id)
            except FullError:
                return

        crowd = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

        assert len(taken) == 3


class TestStore:
    def test_is_asked_again_while_it_is_unavailable(self, make_bench):
        bench = make_bench(store_patience_s=30.0)
        bench.start()
        bench.store.failures[MODEL] = [StoreUnavailableError("No answer.")] * 2

        bench.submit("a")

        assert bench.await_over("a").state == JobState.SUCCEEDED
        assert bench.engine.seen == [b"png"]

    def test_lets_a_job_that_is_stopped_go_at_once(self, make_bench):
        bench = make_bench(store_patience_s=600.0)
        bench.start()
        bench.store.errors[MODEL] = StoreUnavailableError("No answer.")
        bench.submit("a")
        bench.await_true(lambda: bench.core.jobs.look(JobKey("a", 1)).stage == "upload")

        bench.core.jobs.cancel(JobKey("a", 1))

        bench.await_true(lambda: not bench.core.runs._runs)


class TestStageEstimates:
    def test_of_the_first_job_is_what_the_second_one_is_told(self, make_bench):
        bench = make_bench(stage_min_s=0.02)
        bench.start()
        bench.submit("a", options={"preset": "draft"})
        bench.await_over("a")
        bench.engine.may_finish.clear()
        bench.submit("b", options={"preset": "draft", "seed": 2})
        assert bench.engine.entered.acquire(timeout=10)
        assert bench.engine.entered.acquire(timeout=10)

        view = bench.core.jobs.look(JobKey("b", 1))

        assert view.seconds_left is not None
        bench.engine.may_finish.set()
        assert bench.await_over("b").seconds_left is None

    def test_outlives_the_process(self, bench, tmp_path):
        bench.submit("a", options={"preset": "draft"})
        bench.await_over("a")
        bench.core.lifecycle.end()
        bench.core.lifecycle.close()

        found = JobStore(tmp_path / "ledger", machine_boot="boot").load()

        assert list(found.estimates.kinds) == ['{"preset": "draft"}']


class TestWindUp:
    def test_lets_held_jobs_end_and_takes_no_other(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")
        assert bench.engine.entered.acquire(timeout=10)
        thread = threading.Thread(target=lambda: bench.core.lifecycle.wind_up(30.0))
        thread.start()
        bench.await_true(lambda: bench.core.lifecycle.readiness().phase == "draining")

        with pytest.raises(NotReadyError):
            bench.submit("b")
        bench.engine.may_finish.set()
        thread.join()

        assert bench.core.jobs.look(JobKey("a", 1)).state == JobState.SUCCEEDED

    def test_does_not_wait_longer_than_it_may(self, bench):
        bench.engine.may_finish.clear()
        bench.submit("a")

        bench.core.lifecycle.wind_up(0.1)

        assert bench.core.jobs.look(JobKey("a", 1)).state in ("queued", "running")

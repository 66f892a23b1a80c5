"""The GPU worker over real processes."""

import shutil
from dataclasses import replace

import numpy as np
import psutil
import pytest

from benchmarks.surfaces import is_same_surface
from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.health import Limits, Step
from gpu_agent.engines.hunyuan3d.messages import PaintWork, Shaped
from gpu_agent.engines.hunyuan3d.model import UvMesh
from tests.fakes.gpu_model import Fault
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import (
    LIMIT_S,
    PATIENT,
    SETTINGS,
    SHORT_S,
    await_true,
    draw_cutout,
)


def await_over(*items):
    for item in items:
        assert item.over.wait(LIMIT_S), "it was never over"


def paint(bench, seed: int):
    mesh = UvMesh(
        vertices=np.zeros((3, 3), np.float32),
        faces=np.array([[0, 1, 2]], np.int32),
        uv=np.zeros((3, 2), np.float32),
    )

    def work(number: int) -> PaintWork:
        return PaintWork(number=number, mesh=mesh, cutout_png=draw_cutout(), seed=seed)

    return bench.worker.leave(bench.worker.draw_arrival(), work)


class TestSetUp:
    def test_reports_the_model_and_its_percent(self, bench):
        assert (50, "Half of the fake is loaded.", "model") in bench.reports

    def test_lets_the_process_keep_its_memory_from_step_to_step(self, bench):
        child = next(
            child
            for child in psutil.Process().children()
            if "gpu_worker_child" in " ".join(child.cmdline())
        )

        assert child.environ()["MALLOC_TRIM_THRESHOLD_"] == str(2**30)

    def test_says_why_the_model_can_not_be_had(self, make_bench):
        bench = make_bench()
        bench.fake.plan(Fault("load", "refuse"))

        with pytest.raises(EngineError, match="The weights are not whole"):
            bench.set_up()

        assert bench.fake.events().count("load") == 1

    def test_says_that_the_process_was_killed(self, make_bench):
        bench = make_bench()
        bench.fake.plan(Fault("load", "kill"))

        with pytest.raises(EngineError, match="killed from outside"):
            bench.set_up()


class TestBatches:
    def test_waiting_equals_share_one_in_the_order_of_arrival(self, bench):
        first = bench.hold_up()
        others = [bench.shape(seed) for seed in (1, 2, 3, 4, 5)]
        odd = bench.shape(9, (replace(SETTINGS, steps=4),))
        bench.fake.let_go()
        await_over(first, *others, odd)

        diffused = [event for event in bench.fake.events() if event.startswith("diffuse")]
        assert diffused == ["diffuse 0", "diffuse 1,2,3,4", "diffuse 5", "diffuse 9"]
        assert bench.instruments.batches == [1, 4, 1, 1]
        assert [item.answer.batch for item in others] == [4, 4, 4, 4, 1]

    def test_give_the_same_mesh_as_alone(self, bench):
        alone = bench.shape(2, cutout=draw_cutout(90))
        await_over(alone)
        first = bench.hold_up()
        shared = [bench.shape(1), bench.shape(2, cutout=draw_cutout(90))]
        bench.fake.let_go()
        await_over(first, *shared)

        assert isinstance(alone.answer, Shaped)
        assert is_same_surface(shared[1].answer.mesh, alone.answer.mesh)
        assert not is_same_surface(shared[0].answer.mesh, alone.answer.mesh)

    def test_that_do_not_fit_are_halved_now_and_later(self, bench):
        first = bench.hold_up()
        bench.fake.plan(
            Fault("diffuse", "slow", seed=0, times=0), Fault("diffuse", "oom", above=2, times=9)
        )
        crowd = [bench.shape(seed) for seed in (1, 2, 3, 4)]
        bench.fake.let_go()
        await_over(first, *crowd)
        bench.fake.plan()

        assert all(isinstance(item.answer, Shaped) for item in crowd)
        assert [item.answer.batch for item in crowd] == [2, 2, 2, 2]

    def test_leave_out_a_job_that_was_stopped_while_it_waited(self, bench):
        first = bench.hold_up()
        kept, gone = bench.shape(1), bench.shape(2)
        bench.worker.drop(gone)
        bench.fake.let_go()
        await_over(first, kept)

        assert not any("2" in event for event in bench.fake.events() if "diffuse" in event)


class TestMemory:
    def test_steps_down_as_far_as_the_job_allows(self, bench):
        smaller = replace(SETTINGS, num_chunks=2000)
        lower = replace(smaller, octree_resolution=63)
        bench.fake.plan(Fault("decode", "oom", times=2))

        item = bench.shape(1, (SETTINGS, smaller, lower))
        await_over(item)

        assert item.answer.settings == lower
        assert bench.fake.events()[-1] == "decode 1 @63/2000"

    def test_says_so_when_nothing_is_left_to_give_up(self, bench):
        bench.fake.plan(Fault("decode", "oom", times=2))

        item = bench.shape(1, (SETTINGS, replace(SETTINGS, num_chunks=2000)))
        await_over(item)

        assert (item.error.code, item.error.retryable) == ("out_of_gpu_memory", False)
        assert bench.instruments.restarts == []


class TestLosses:
    @pytest.mark.parametrize("step", ["diffuse", "decode", "paint"])
    @pytest.mark.parametrize(
        ("kind", "cause"), [("kill", "died"), ("segfault", "died"), ("cuda", "broken")]
    )
    def test_are_made_good_and_the_job_runs_again(self, bench, step: str, kind: str, cause: str):
        bench.fake.plan(Fault(step, kind))

        item = paint(bench, 1) if step == "paint" else bench.shape(1)
        await_over(item)

        assert item.error is None
        assert bench.instruments.restarts == [("gpu", cause)]
        assert bench.fake.events().count("load") == 2

    def test_end_a_job_that_is_held_twice_and_say_why(self, bench):
        bench.fake.plan(Fault("decode", "segfault", seed=7, times=9))

        item, other = bench.shape(7), bench.shape(8)
        await_over(item, other)

        assert (item.error.code, item.error.retryable) == ("engine_failed", True)
        assert "segmentation fault" in str(item.error)
        assert isinstance(other.answer, Shaped)

    def test_let_each_job_of_the_batch_run_alone(self, bench):
        first = bench.hold_up()
        bench.fake.plan(Fault("diffuse", "kill", seed=2, times=2))
        crowd = [bench.shape(seed) for seed in (1, 2, 3)]
        bench.fake.let_go()
        await_over(first, *crowd)

        assert [item.error is None for item in crowd] == [True, False, True]
        assert [event for event in bench.fake.events() if event.startswith("diffuse")][1:] == [
            "diffuse 1,2,3",
            "diffuse 1",
            "diffuse 2",
            "diffuse 3",
        ]

    def test_do_not_touch_what_was_done_before(self, bench):
        first = bench.hold_up()
        bench.fake.plan(Fault("decode", "kill", seed=2))
        crowd = [bench.shape(seed) for seed in (1, 2)]
        bench.fake.let_go()
        await_over(first, *crowd)

        decoded = [e.split()[1] for e in bench.fake.events() if e.startswith("decode")]
        assert decoded == ["0", "1", "2", "2"]

    @pytest.mark.parametrize("kind", ["hang", "freeze"])
    def test_are_noticed_when_nothing_moves(self, make_bench, kind: str):
        limits = Limits(
            silence_s=LIMIT_S if kind == "hang" else SHORT_S,
            progress_s={
                **PATIENT.progress_s,
                **({Step.DECODE: SHORT_S} if kind == "hang" else {}),
            },
            cancel_s=LIMIT_S,
        )
        # Importing numpy is no sign of life; the short silence counts from the set-up on.
        bench = make_bench(limits=PATIENT)
        bench.set_up()
        bench.worker._settings = replace(bench.worker._settings, limits=limits)
        bench.fake.plan(Fault("decode", kind))

        item = bench.shape(1)
        await_over(item)

        assert item.error is None
        assert bench.instruments.restarts[0] == (
            "gpu",
            "stuck" if kind == "hang" else "silent",
        )

    def test_of_the_folder_s_place_are_tried_again(self, bench):
        """A full disk, or a file in the way: no folder can be made for the next process."""
        bench.worker._settings = replace(bench.worker._settings, restart_pause_s=2.0)
        bench.fake.plan(Fault("diffuse", "slow", seed=1))
        item = bench.shape(1)
        await_true(lambda: "slow in diffuse" in bench.fake.events())
        shutil.rmtree(bench.work_dir)
        bench.work_dir.write_text("in the way")
        bench.worker._child.kill()
        await_true(lambda: bench.worker._failed_starts > 0)

        bench.work_dir.unlink()
        bench.fake.let_go()
        await_over(item)

        assert isinstance(item.answer, Shaped)
        assert bench.given_up == []

    def test_that_do_not_end_give_the_engine_up(self, bench):
        bench.fake.plan(Fault("diffuse", "kill"), Fault("load", "refuse", times=9))

        item = bench.shape(1)
        await_over(item)

        assert (item.error.code, item.error.retryable) == ("engine_failed", True)
        await_true(lambda: bench.given_up)
        assert bench.fake.events().count("refuse in load") == 3


class TestCancel:
    @pytest.mark.parametrize("step", ["diffuse", "decode"])
    def test_frees_the_process_for_the_next_job(self, bench, step: str):
        running = bench.hold_up(step)
        pid = bench.worker._child.pid
        following = bench.shape(1, (replace(SETTINGS, steps=4),))

        bench.worker.drop(running)
        await_over(following)

        assert isinstance(following.answer, Shaped)
        assert bench.worker._child.pid == pid

    def test_kills_a_process_that_does_not_react(self, make_bench):
        bench = make_bench(limits=replace(PATIENT, cancel_s=SHORT_S))
        bench.set_up()
        bench.fake.plan(Fault("diffuse", "hang", seed=1))
        running = bench.shape(1)
        await_true(lambda: "hang in diffuse" in bench.fake.events())
        following = bench.shape(2)

        bench.worker.drop(running)
        await_over(following)

        assert isinstance(following.answer, Shaped)
        assert bench.instruments.restarts == [("gpu", "deaf")]
        assert following.losses == 0

    def test_of_one_that_does_not_react_costs_the_others_nothing(self, make_bench):
        bench = make_bench(limits=replace(PATIENT, cancel_s=SHORT_S))
        bench.set_up()
        first = bench.hold_up()
        bench.fake.plan(Fault("decode", "hang", seed=1))
        crowd = [bench.shape(seed) for seed in (1, 2, 3)]
        bench.fake.let_go()
        await_true(lambda: "hang in decode" in bench.fake.events())

        bench.worker.drop(crowd[0])
        await_over(first, *crowd[1:])

        assert all(isinstance(item.answer, Shaped) for item in crowd[1:])
        assert [item.losses for item in crowd[1:]] == [0, 0]
        assert [item.answer.batch for item in crowd[1:]] == [2, 2]
        assert bench.instruments.restarts == [("gpu", "deaf")]

    def test_of_one_leaves_the_rest_of_its_batch_alone(self, bench):
        first = bench.hold_up()
        bench.fake.plan(Fault("diffuse", "slow", seed=2))
        crowd = [bench.shape(seed) for seed in (1, 2, 3)]
        bench.worker.drop(first)
        await_true(lambda: bench.fake.events().count("slow in diffuse") == 2)
        bench.worker.drop(crowd[0])
        bench.fake.let_go()
        await_over(*crowd[1:])

        assert all(isinstance(item.answer, Shaped) for item in crowd[1:])
        assert not any(event.startswith("decode 1 ") for event in bench.fake.events())


class TestClose:
    def test_ends_the_process_and_leaves_no_file(self, make_bench):
        bench = make_bench()
        bench.set_up()
        pid = bench.worker._child.pid
        waiting = bench.hold_up()

        bench.worker.close()

        assert waiting.error.code == "engine_failed"
        assert not psutil.pid_exists(pid)
        assert not bench.work_dir.exists()

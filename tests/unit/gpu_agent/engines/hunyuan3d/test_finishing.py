"""The pool of finishers over real processes, stopped and killed by real signals."""

import io
import os
import signal
import threading
import time

import numpy as np
import pytest
import trimesh

from gpu_agent.engines import EngineError, JobCancelledError
from gpu_agent.engines.hunyuan3d.finishing import FinisherPool
from gpu_agent.engines.hunyuan3d.model import RawMesh, ShapeRequest
from gpu_agent.engines.hunyuan3d.tasks import Export, Tidy
from tests.fakes.gpu_model import make_egg
from tests.fakes.instruments import FakeInstruments
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import SETTINGS, await_true, draw_cutout

EGG = make_egg(ShapeRequest(cutout_png=draw_cutout(), seed=3), SETTINGS)
TIDY = Tidy(mesh=EGG, face_count=None, unwraps=False)


def check() -> None:
    """Let the job go on."""


def make_pool(tmp_path, limit_s: float = 30.0) -> FinisherPool:
    return FinisherPool(
        count=1,
        environ={"PATH": os.environ["PATH"]},
        work_dir=tmp_path / "finish",
        limit_s=limit_s,
        instruments=FakeInstruments(),
    )


@pytest.fixture
def pool(tmp_path):
    pool = make_pool(tmp_path)
    pool.start()
    yield pool
    pool.close()


def only_pid(pool: FinisherPool) -> int:
    (child,) = pool._alive
    return child.pid


class TestRun:
    def test_gives_a_file_that_opens_again_and_says_what_is_in_it(self, pool, tmp_path):
        exported = pool.export(Export(mesh=EGG, texture_png=None, picture_px=128), check)

        mesh = trimesh.load(io.BytesIO(exported.glb), file_type="glb", force="mesh")
        assert len(mesh.faces) == len(EGG.faces) == exported.figures["faces"]
        np.testing.assert_allclose(mesh.extents, exported.figures["extents"], atol=1e-5)
        assert exported.figures["watertight"] is True
        assert exported.figures["volume"] > 0
        assert exported.picture_png.startswith(b"\x89PNG")
        assert list((tmp_path / "finish").iterdir()) == []
        assert pool._instruments.steps.keys() == {"glb", "accept", "picture"}

    def test_says_what_is_wrong_with_a_mesh_and_lives_on(self, pool):
        flat = RawMesh(vertices=EGG.vertices * np.float32([1, 0, 1]), faces=EGG.faces)

        with pytest.raises(EngineError, match="it is flat"):
            pool.export(Export(mesh=flat, texture_png=None, picture_px=0), check)

        pid = only_pid(pool)
        assert len(pool.tidy(TIDY, check).faces) == len(EGG.faces)
        assert only_pid(pool) == pid

    @pytest.mark.parametrize(
        ("number", "words"),
        [(signal.SIGKILL, "killed from outside"), (signal.SIGSEGV, "segmentation fault")],
    )
    def test_does_a_task_again_when_its_process_is_lost(self, pool, number: int, words: str):
        pool.tidy(TIDY, check)
        first = only_pid(pool)
        os.kill(first, signal.SIGSTOP)
        os.kill(first, number)
        os.kill(first, signal.SIGCONT)

        answer = pool.tidy(TIDY, check)

        assert len(answer.faces) == len(EGG.faces)
        assert only_pid(pool) != first
        assert pool._instruments.restarts == [("finisher", "died")]

    def test_gives_a_task_up_that_takes_too_long_twice(self, tmp_path):
        pool = make_pool(tmp_path, limit_s=0.3)

        def stop() -> None:
            for child in list(pool._alive):
                os.kill(child.pid, signal.SIGSTOP)

        try:
            with pytest.raises(EngineError, match="longer than") as caught:
                pool.tidy(TIDY, stop)
        finally:
            pool.close()
        assert caught.value.retryable
        assert pool._instruments.restarts == [("finisher", "stuck")] * 2

    def test_ends_the_process_when_the_job_is_stopped_and_takes_the_next(self, pool):
        pool.tidy(TIDY, check)
        first = only_pid(pool)
        os.kill(first, signal.SIGSTOP)
        asked = []

        def cancel() -> None:
            asked.append(time.monotonic())
            if len(asked) > 2:
                raise JobCancelledError

        with pytest.raises(JobCancelledError):
            pool.tidy(TIDY, cancel)

        assert len(pool.tidy(TIDY, check).faces) == len(EGG.faces)
        assert only_pid(pool) != first
        assert pool._instruments.restarts == []

    def test_begins_when_the_wait_for_a_process_is_over(self, pool):
        begun = []

        def cancel() -> None:
            raise JobCancelledError

        with pytest.raises(JobCancelledError):
            pool.tidy(TIDY, cancel, lambda: begun.append("too early"))
        pool.tidy(TIDY, check, lambda: begun.append("in time"))

        assert begun == ["in time"]

    def test_tells_what_its_libraries_say(self, pool):
        broken = RawMesh(vertices=EGG.vertices, faces=EGG.faces + np.int32(10**6))

        with pytest.raises(EngineError, match="IndexError") as caught:
            pool.tidy(Tidy(mesh=broken, face_count=None, unwraps=False), check)

        assert (caught.value.code, caught.value.retryable) == ("engine_failed", True)
        assert pool._instruments.restarts == []

    def test_keeps_the_place_of_a_process_that_could_not_be_started(self, tmp_path):
        pool = make_pool(tmp_path)
        pool._is_closed = True
        with pytest.raises(EngineError, match="was ended"):
            pool.tidy(TIDY, check)

        pool._is_closed = False

        assert len(pool.tidy(TIDY, check).faces) == len(EGG.faces)
        pool.close()

    def test_lets_a_stopped_job_leave_the_queue(self, pool):
        pool.tidy(TIDY, check)
        os.kill(only_pid(pool), signal.SIGSTOP)
        stopped = threading.Event()

        def stop_if_told() -> None:
            if stopped.is_set():
                raise JobCancelledError

        def first() -> None:
            with pytest.raises(JobCancelledError):
                pool.tidy(TIDY, stop_if_told)

        thread = threading.Thread(target=first)
        thread.start()
        await_true(lambda: pool._idle.empty())

        def cancel() -> None:
            raise JobCancelledError

        with pytest.raises(JobCancelledError):
            pool.tidy(TIDY, cancel)
        stopped.set()
        thread.join()

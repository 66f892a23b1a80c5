"""The engine whole, but for the model: real child processes, a fake model and a fake cutout."""

import io
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import psutil
import pytest
import trimesh

from benchmarks.surfaces import is_same_surface
from gpu_agent.engines import EngineError, EngineInfo, Equipment, JobCancelledError
from gpu_agent.engines.hunyuan3d.cutout import Cutout
from gpu_agent.engines.hunyuan3d.engine import Hunyuan3dEngine
from gpu_agent.engines.hunyuan3d.parts import Parts
from gpu_agent.engines.hunyuan3d.plan import JobPlan
from gpu_agent.engines.hunyuan3d.settings import EngineSettings
from gpu_agent.wire import Stage
from tests.fakes.gpu_model import Fault, Folder
from tests.fakes.instruments import FakeInstruments
from tests.unit.gpu_agent.engines.hunyuan3d.conftest import (
    LIMIT_S,
    SETTINGS,
    await_true,
    draw_cutout,
)


class FakeWatch:
    """Remembers the stages, and stops the job when told to."""

    def __init__(self) -> None:
        self.about: Mapping[str, Any] = MappingProxyType({"job_id": "a", "epoch": 5})
        self.marks: list[tuple[Stage, float]] = []
        self.is_stopped = False

    def stage(self, stage: Stage, percent: float = 0.0) -> None:
        self.check()
        self.marks.append((stage, percent))

    def end_stage(self) -> None:
        self.check()

    def check(self) -> None:
        if self.is_stopped:
            raise JobCancelledError


def read_plan(options: Mapping[str, Any]) -> JobPlan:
    shape = replace(SETTINGS, octree_resolution=options.get("octree", 126))
    return JobPlan(
        shape=shape,
        seed=options.get("seed", 1),
        texture=options.get("texture", False),
        least_octree_resolution=options.get("least", 63),
        min_quality=options.get("min_quality", "reduced"),
    )


class EngineBench:
    """An engine whose fake model a test steers."""

    def __init__(self, folder, environ: Mapping[str, str]) -> None:
        self.fake = Folder(folder / "fake")
        self.work_dir = folder / "work"
        self.instruments = FakeInstruments()
        self.cutouts_at_once = 0
        self.most_cutouts = 0
        self.may_cut = threading.Event()
        self.may_cut.set()
        self.told = Cutout(png=b"")
        self.engine = Hunyuan3dEngine(
            Parts(
                info=EngineInfo(name="h", version="1", description="Fake.", is_concurrent=True),
                factory="tests.fakes.gpu_model:FakeGpuModel",
                arguments={"folder": str(folder / "fake")},
                cut_out=self.cut_out,
                plan=read_plan,
                lanes=EngineSettings.from_environ(
                    {"GPU_ENGINE_WEIGHTS_DIR": "unused", **environ}
                ).lanes,
                facts={"revision": "r1"},
            ),
            Equipment(
                environ={"PATH": os.environ["PATH"], "GPU_AGENT_TOKEN": "s3cret"},
                work_dir=self.work_dir,
                instruments=self.instruments,
            ),
        )

    def cut_out(self, image_png: bytes, _remove_background: bool | None) -> Cutout:
        self.cutouts_at_once += 1
        self.most_cutouts = max(self.most_cutouts, self.cutouts_at_once)
        assert self.may_cut.wait(LIMIT_S)
        self.cutouts_at_once -= 1
        return replace(self.told, png=image_png)

    def files(self) -> list:
        return [path for path in self.work_dir.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Give one engine for all tests that leave it sound."""
    bench = EngineBench(
        tmp_path_factory.mktemp("engine"),
        {
            "GPU_ENGINE_LEAST_FREE_GIB": "0",
            "GPU_ENGINE_FINISHERS": "1",
            "GPU_ENGINE_PICTURE_PX": "128",
        },
    )
    bench.engine.set_up(lambda *_: None)
    yield bench
    bench.engine.close()


@pytest.fixture
def bench(shared):
    """Give it without faults."""
    shared.fake.plan()
    (shared.fake.path / "go").unlink(missing_ok=True)
    shared.most_cutouts = 0
    shared.may_cut.set()
    shared.told = Cutout(png=b"")
    return shared


def read(generated) -> trimesh.Trimesh:
    return trimesh.load(
        io.BytesIO(generated.artifacts[0].data), file_type="glb", force="mesh", process=False
    )


class TestGenerate:
    def test_makes_a_closed_model_and_tells_how(self, bench):
        watch = FakeWatch()

        generated = bench.engine.generate(draw_cutout(), {"seed": 4}, watch)

        mesh = read(generated)
        mesh.merge_vertices(merge_norm=True, merge_tex=True)
        assert mesh.is_watertight
        assert [artifact.name for artifact in generated.artifacts] == ["model.glb", "preview.png"]
        assert generated.mesh["watertight"] is True
        assert generated.seed == 4
        assert generated.result["revision"] == "r1"
        assert generated.result["notes"] == []
        assert generated.result["gpu_seconds"].keys() == {"diffuse", "decode"}
        assert "Tencent Hunyuan 3D 2.0 Community License" in generated.notice
        assert "South Korea" in generated.notice
        stages = [stage for stage, _ in watch.marks]
        assert list(dict.fromkeys(stages)) == [
            Stage.BACKGROUND,
            Stage.SHAPE,
            Stage.FINISH,
            Stage.EXPORT,
        ]
        shape = [percent for stage, percent in watch.marks if stage is Stage.SHAPE]
        assert max(shape) == 100
        assert bench.files() == []

    def test_gives_another_model_for_another_image_and_for_another_seed(self, bench):
        first, other_image, other_seed, again = (
            read(bench.engine.generate(draw_cutout(red), {"seed": seed}, FakeWatch()))
            for red, seed in ((180, 1), (90, 1), (180, 2), (180, 1))
        )

        assert not is_same_surface(first, other_image)
        assert not is_same_surface(first, other_seed)
        assert is_same_surface(first, again)

    def test_says_in_the_result_what_had_to_be_given_up(self, bench):
        bench.fake.plan(Fault("decode", "oom", times=2))

        generated = bench.engine.generate(draw_cutout(), {}, FakeWatch())

        assert generated.result["octree_resolution"] == 63
        assert "octree 63 instead of 126" in generated.result["notes"][0]

    def test_gives_nothing_up_that_the_job_does_not_allow(self, bench):
        bench.fake.plan(Fault("decode", "oom", times=2))

        with pytest.raises(EngineError, match="memory is too small") as caught:
            bench.engine.generate(draw_cutout(), {"least": 126}, FakeWatch())

        assert caught.value.code == "out_of_gpu_memory"

    def test_says_in_the_result_how_the_subject_was_come_by(self, bench):
        bench.told = Cutout(png=b"", note="It was looked for.", faults=("It is tiny.",))
        bench.fake.plan(Fault("decode", "no_surface", seed=8))

        generated = bench.engine.generate(draw_cutout(), {"seed": 8}, FakeWatch())

        assert generated.result["notes"][:2] == ["It was looked for.", "It is tiny."]
        assert "Seed 8" in generated.result["notes"][2]

    def test_takes_no_doubtful_subject_where_full_quality_is_asked_for(self, bench):
        bench.told = Cutout(png=b"", note="It was looked for.", faults=("It is tiny.",))

        with pytest.raises(EngineError, match="It is tiny") as caught:
            bench.engine.generate(draw_cutout(), {"min_quality": "full"}, FakeWatch())

        assert (caught.value.code, caught.value.retryable) == ("no_subject_found", False)

    def test_tries_the_next_seed_once_and_says_so(self, bench):
        bench.fake.plan(Fault("decode", "no_surface", seed=8))

        generated = bench.engine.generate(draw_cutout(), {"seed": 8}, FakeWatch())

        assert generated.seed == 9
        assert "Seed 8 gave no usable model" in generated.result["notes"][0]

    def test_gives_up_after_the_second_seed(self, bench):
        bench.fake.plan(Fault("decode", "no_surface", times=2))

        with pytest.raises(EngineError, match="no surface"):
            bench.engine.generate(draw_cutout(), {"seed": 8}, FakeWatch())

        assert sum(event.startswith("diffuse") for event in bench.fake.events()[-6:]) == 2

    def test_cuts_out_so_many_at_one_time(self, bench):
        bench.may_cut.clear()
        watches = [FakeWatch() for _ in range(5)]
        threads = [
            threading.Thread(target=bench.engine.generate, args=(draw_cutout(), {}, watch))
            for watch in watches
        ]
        for thread in threads:
            thread.start()
        await_true(lambda: bench.cutouts_at_once == 2 and bench.instruments.queues["cutout"] == 3)
        # Those that wait are in no stage: what a stage takes is learned, and told as time left.
        assert sorted(len(watch.marks) for watch in watches) == [0, 0, 0, 1, 1]
        bench.may_cut.set()
        for thread in threads:
            thread.join(LIMIT_S)

        assert bench.most_cutouts == 2
        assert all(watch.marks[-1] == (Stage.EXPORT, 100) for watch in watches)

    def test_stops_at_once_while_it_waits_for_the_gpu(self, bench):
        bench.fake.plan(Fault("diffuse", "slow", seed=20))
        first, second = FakeWatch(), FakeWatch()
        outcomes: list[BaseException | None] = []

        def run(seed: int, watch: FakeWatch) -> None:
            try:
                bench.engine.generate(draw_cutout(), {"seed": seed}, watch)
                outcomes.append(None)
            except JobCancelledError as error:
                outcomes.append(error)

        threads = [
            threading.Thread(target=run, args=(20, first)),
            threading.Thread(target=run, args=(21, second)),
        ]
        threads[0].start()
        await_true(lambda: "slow in diffuse" in bench.fake.events()[-1])
        threads[1].start()
        await_true(lambda: bench.engine._gpu.queue.length == 1)
        second.is_stopped = True
        threads[1].join(LIMIT_S)

        assert isinstance(outcomes[0], JobCancelledError)
        assert bench.engine._gpu.queue.length == 0
        first.is_stopped = True
        threads[0].join(LIMIT_S)
        assert len(outcomes) == 2

    def test_hands_no_token_to_its_processes(self, bench):
        environ = psutil.Process(bench.engine._gpu._child.pid).environ()

        assert "PATH" in environ
        assert "s3cret" not in environ.values()


@pytest.mark.engine
class TestTexture:
    def test_is_on_the_model(self, bench):
        watch = FakeWatch()

        generated = bench.engine.generate(draw_cutout(), {"texture": True}, watch)

        mesh = read(generated)
        image = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
        assert image.std() > 1
        assert generated.mesh["textured"] is True
        stages = [stage for stage, _ in watch.marks]
        assert Stage.TEXTURE in stages
        assert "paint" in generated.result["gpu_seconds"]


class TestSpace:
    def test_is_asked_for_before_a_job_is_begun(self, tmp_path):
        bench = EngineBench(tmp_path, {"GPU_ENGINE_LEAST_FREE_GIB": "999999"})

        with pytest.raises(EngineError, match="999999 are needed") as caught:
            bench.engine.generate(draw_cutout(), {}, FakeWatch())

        assert (caught.value.code, caught.value.retryable) == ("disk_full", True)
        with pytest.raises(EngineError, match="are needed"):
            bench.engine.set_up(lambda *_: None)
        bench.engine.close()

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpu_agent.engines.hunyuan3d.gpu_worker import GpuWorker, GpuWorkerSettings
from gpu_agent.engines.hunyuan3d.health import Limits, Step
from gpu_agent.engines.hunyuan3d.messages import ShapeWork
from gpu_agent.engines.hunyuan3d.model import ShapeSettings
from gpu_agent.engines.hunyuan3d.work_items import WorkItem
from tests.fakes.gpu_model import Fault, Folder
from tests.fakes.instruments import FakeInstruments

LIMIT_S = 30.0

SETTINGS = ShapeSettings(
    preset="draft",
    steps=3,
    guidance_scale=5.0,
    octree_resolution=126,
    num_chunks=8000,
    flash_vdm=False,
)

PATIENT = Limits(silence_s=LIMIT_S, progress_s=dict.fromkeys(Step, LIMIT_S), cancel_s=LIMIT_S)
SHORT_S = 2.0
"""A limit that a test waits for."""


def draw_cutout(red: int = 180) -> bytes:
    """Draw a disc on nothing, as RGBA PNG."""
    y, x = np.mgrid[0:64, 0:64]
    image = np.zeros((64, 64, 4), np.uint8)
    image[(x - 32) ** 2 + (y - 32) ** 2 < 24**2] = (red, 40, 30, 255)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def await_true(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


class OwnerBench:
    """A `GpuWorker` over a real process with a fake model in it."""

    def __init__(self, folder: Path, *, limits: Limits = PATIENT, batch_limit: int = 4) -> None:
        self.fake = Folder(folder / "fake")
        self.work_dir = folder / "work"
        self.instruments = FakeInstruments()
        self.given_up: list[str] = []
        self.reports: list[tuple[int, str, str]] = []
        self.worker = GpuWorker(
            GpuWorkerSettings(
                factory="tests.fakes.gpu_model:FakeGpuModel",
                arguments={"folder": str(folder / "fake")},
                environ={"PATH": os.environ["PATH"]},
                work_dir=self.work_dir,
                batch_limit=batch_limit,
                beat_s=0.1,
                limits=limits,
                restart_pause_s=0.05,
            ),
            instruments=self.instruments,
            give_up=self.given_up.append,
        )

    def set_up(self) -> None:
        self.worker.set_up(lambda *report: self.reports.append(report))

    def shape(
        self, seed: int, settings: tuple[ShapeSettings, ...] = (SETTINGS,), cutout: bytes = b""
    ) -> WorkItem:
        """Leave a shape; does not wait."""
        png = cutout or draw_cutout()

        def work(number: int) -> ShapeWork:
            about = {"job_id": f"job-{seed}", "epoch": 5}
            return ShapeWork(
                number=number, cutout_png=png, seed=seed, settings=settings, about=about
            )

        return self.worker.leave(self.worker.draw_arrival(), work)

    def hold_up(self, step: str = "diffuse") -> WorkItem:
        """Keep the process busy with seed 0, so that what comes next has to wait."""
        self.fake.plan(Fault(step, "slow", seed=0))
        item = self.shape(0)
        await_true(lambda: f"slow in {step}" in self.fake.events())
        return item


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[Callable[..., OwnerBench]]:
    """Build owners of a fake GPU; all are closed after the test."""
    benches: list[OwnerBench] = []

    def build(**more) -> OwnerBench:
        bench = OwnerBench(tmp_path, **more)
        benches.append(bench)
        return bench

    yield build
    for bench in benches:
        bench.worker.close()


@pytest.fixture
def bench(make_bench) -> OwnerBench:
    """Give a GPU worker that is set up."""
    bench = make_bench()
    bench.set_up()
    return bench

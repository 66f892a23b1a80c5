"""The engine: each job in its worker thread, from cutout to files, through the lanes.

A job's thread cuts its image out on the CPU, leaves the shape with the one GPU worker, has
the mesh cleaned by a finisher, leaves the texture with it, and has a finisher write the
files. So one job's CPU work overlaps another's time on the GPU.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_agent.engines import (
    Artifact,
    EngineError,
    Equipment,
    Generated,
    SetUpReport,
    Watch,
)
from gpu_agent.engines.hunyuan3d.finishing import FinisherPool
from gpu_agent.engines.hunyuan3d.gpu_worker import GpuWorker, GpuWorkerSettings
from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.memory_fallbacks import describe_fallback, list_fallbacks
from gpu_agent.engines.hunyuan3d.messages import PaintWork, Shaped, ShapeWork
from gpu_agent.engines.hunyuan3d.model import UvMesh
from gpu_agent.engines.hunyuan3d.output_checks import is_rejected
from gpu_agent.engines.hunyuan3d.parts import Parts
from gpu_agent.engines.hunyuan3d.plan import JobPlan, next_seed
from gpu_agent.engines.hunyuan3d.proportion import Proportions
from gpu_agent.engines.hunyuan3d.tasks import Export, Exported, Tidy
from gpu_agent.engines.hunyuan3d.warm_up import NoWatch, draw_disc
from gpu_agent.engines.hunyuan3d.work_items import WorkItem
from gpu_agent.engines.mask_faults import require_quality
from gpu_agent.wire import Stage

logger = logging.getLogger(__name__)

NOTICE = (
    "Made with Hunyuan3D-2. The model is licensed under the Tencent Hunyuan 3D 2.0 Community "
    "License Agreement, Copyright © 2025 Tencent, which does not apply in the European Union, "
    "the United Kingdom and South Korea; more than 1 million monthly active users need a licence "
    "of their own."
)

_LOOK_S = 0.1
"""How often a waiting thread asks whether its job was stopped, in seconds."""

_GIB = 1024**3

_NOT_INHERITED = ("GPU_AGENT_TOKEN", "NOTIFY_SOCKET", "WATCHDOG_", "IDENTITY_")
"""What child processes have no business with: secrets, and speaking for the agent."""


class Hunyuan3dEngine:
    """Hunyuan3D-2 in lanes. `generate` is called by as many threads as there are slots.

    Args:
        parts: What it is put together from.
        equipment: What the agent gives it.
    """

    def __init__(self, parts: Parts, equipment: Equipment) -> None:
        self.info = parts.info
        self._parts = parts
        self._instruments = equipment.instruments
        self._work_dir = equipment.work_dir
        self._proportions = Proportions()
        self._cutouts = threading.BoundedSemaphore(parts.lanes.cutouts)
        self._cutouts_waiting = 0
        self._lock = threading.Lock()
        environ = {
            name: value
            for name, value in equipment.environ.items()
            if not name.startswith(_NOT_INHERITED)
        }
        self._gpu = GpuWorker(
            GpuWorkerSettings(
                factory=parts.factory,
                arguments=parts.arguments,
                environ=environ,
                work_dir=self._work_dir / "gpu",
                batch_limit=parts.lanes.batch_limit,
                beat_s=parts.lanes.beat_s,
                limits=parts.lanes.limits,
                needs=parts.needs,
            ),
            instruments=equipment.instruments,
            give_up=equipment.give_up,
        )
        self._finishers = FinisherPool(
            count=parts.lanes.finishers,
            environ=environ,
            work_dir=self._work_dir / "finish",
            limit_s=parts.lanes.finish_limit_s,
            instruments=equipment.instruments,
        )

    def set_up(self, report: SetUpReport) -> None:
        """Check the machine, load the model and make one small model of a drawn disc.

        Raises:
            EngineError: This machine can't make models; says why in one line.
        """
        report(0, "Emptying the folder for temporary files.", "disk")
        shutil.rmtree(self._work_dir, ignore_errors=True)
        self._work_dir.mkdir(parents=True)
        self._require_space()
        for word, check in self._parts.checks.items():
            report(0, f"Checking: {word}.", word)
            check()
        self._finishers.start()
        self._gpu.set_up(report)
        if self._parts.warm_up is not None:
            report(0, "Making a first small model.", "warm_up")
            self._warm_up(self._parts.warm_up)

    def close(self) -> None:
        """End the child processes; jobs under way fail."""
        self._gpu.close()
        self._finishers.close()
        shutil.rmtree(self._work_dir, ignore_errors=True)

    def generate(self, image_png: bytes, options: Mapping[str, Any], watch: Watch) -> Generated:
        """Make a GLB and a picture of it; see `Engine.generate`.

        A model that is rejected, or has no surface, is made once more with the next seed.

        Raises:
            EngineError: What the options, the cutout or the model say; ``model_rejected`` when the
                second seed fails too; ``out_of_gpu_memory``, ``disk_full``; ``engine_failed``
                when the processes that work for it were lost twice.
        """
        plan = self._parts.plan(options)
        self._require_space()
        with self._cutout_place(watch):
            watch.stage(Stage.BACKGROUND)
            cutout = self._parts.cut_out(image_png, plan.remove_background)
            require_quality(cutout.faults, plan.min_quality)
        watch.stage(Stage.BACKGROUND, 100)
        watch.end_stage()
        notes = [note for note in (cutout.note, *cutout.faults) if note]
        arrival = self._gpu.draw_arrival()
        try:
            return self._make(_Job(cutout.png, plan, plan.seed, arrival, watch), notes)
        except EngineError as error:
            if not is_rejected(error):
                raise
            seed = next_seed(plan.seed)
            logger.warning("second seed %d: %s", seed, error, extra=dict(watch.about))
            note = f"Seed {plan.seed} gave no usable model ({error}), so {seed} was taken."
        return self._make(_Job(cutout.png, plan, seed, arrival, watch), [*notes, note])

    def _warm_up(self, options: Mapping[str, Any]) -> None:
        """Make a small model of a drawn disc, so that the first job finds everything loaded.

        A model that is no model is no fault of the machine: few steps need not give a surface.
        """
        try:
            self.generate(draw_disc(), options, NoWatch())
        except EngineError as error:
            if not (is_rejected(error) or error.code == "no_subject_found"):
                raise
            logger.warning("warm-up: %s", error)

    def _make(self, job: "_Job", notes: list[str]) -> Generated:
        plan, watch = job.plan, job.watch
        shaped, seconds = self._shape(job)
        watch.stage(Stage.SHAPE, 100)
        if (step := describe_fallback(plan.shape, shaped.settings)) is not None:
            notes = [*notes, step]
        # A textured mesh is cleaned and unwrapped on the way to its texture.
        watch.end_stage()
        stage = Stage.TEXTURE if plan.texture else Stage.FINISH
        tidied = self._finishers.tidy(
            Tidy(mesh=shaped.mesh, face_count=plan.face_count, unwraps=plan.texture),
            watch.check,
            lambda: watch.stage(stage),
        )
        texture_png = None
        if isinstance(tidied, UvMesh):
            watch.end_stage()
            texture_png, paint_seconds = self._paint(job, tidied)
            seconds = {**seconds, **paint_seconds}
            watch.stage(Stage.TEXTURE, 100)
            watch.stage(Stage.FINISH)
        watch.stage(Stage.FINISH, 100)
        watch.end_stage()
        exported = self._finishers.export(
            Export(
                mesh=tidied,
                texture_png=texture_png,
                texture_size=plan.texture_size,
                picture_px=self._parts.lanes.picture_px,
            ),
            watch.check,
            lambda: watch.stage(Stage.EXPORT),
        )
        watch.stage(Stage.EXPORT, 100)
        result = {
            **self._parts.facts,
            "preset": plan.shape.preset,
            "steps": plan.shape.steps,
            "guidance_scale": plan.shape.guidance_scale,
            "octree_resolution": shaped.settings.octree_resolution,
            "num_chunks": shaped.settings.num_chunks,
            "flash_vdm": plan.shape.flash_vdm,
            "batch": shaped.batch,
            "gpu_seconds": {step: round(value, 3) for step, value in seconds.items()},
            "notes": [*notes, *exported.figures["notes"]],
        }
        return _generated(exported, job.seed, result)

    def _shape(self, job: "_Job") -> tuple[Shaped, Mapping[Step, float]]:
        settings = tuple(
            list_fallbacks(
                job.plan.shape, least_octree_resolution=job.plan.least_octree_resolution
            )
        )

        def work(number: int) -> ShapeWork:
            return ShapeWork(
                number=number,
                cutout_png=job.cutout_png,
                seed=job.seed,
                settings=settings,
                about=dict(job.watch.about),
            )

        item = self._gpu.leave(job.arrival, work)
        answer = self._await(
            item,
            job.watch,
            Stage.SHAPE,
            lambda step, share: self._proportions.percent(job.plan.shape, step, share),
        )
        assert isinstance(answer, Shaped)  # noqa: S101 - what a shape is answered with
        with self._lock:
            self._proportions = self._proportions.learn(job.plan.shape, item.seconds)
        return answer, item.seconds

    def _paint(self, job: "_Job", mesh: UvMesh) -> tuple[bytes, Mapping[Step, float]]:
        def work(number: int) -> PaintWork:
            return PaintWork(
                number=number,
                mesh=mesh,
                cutout_png=job.cutout_png,
                seed=job.seed,
                about=dict(job.watch.about),
            )

        item = self._gpu.leave(job.arrival, work)
        answer = self._await(item, job.watch, Stage.TEXTURE, lambda _, share: 100 * share)
        assert isinstance(answer, bytes)  # noqa: S101 - what a texture is answered with
        return answer, item.seconds

    def _await(
        self,
        item: WorkItem,
        watch: Watch,
        stage: Stage,
        percent: Callable[[Step, float], float],
    ) -> Shaped | bytes:
        """Wait for the GPU; the stage begins when the work does."""
        try:
            while not item.over.wait(_LOOK_S):
                if item.step is None:
                    watch.check()
                else:
                    watch.stage(stage, percent(*item.step))
            watch.stage(stage)
        except BaseException:
            self._gpu.drop(item)
            raise
        if item.error is not None:
            raise item.error
        assert item.answer is not None  # noqa: S101 - over without an error
        return item.answer

    @contextmanager
    def _cutout_place(self, watch: Watch) -> Iterator[None]:
        """Let so many threads in as may cut out at one time."""
        self._count_cutouts(1)
        try:
            while not self._cutouts.acquire(timeout=_LOOK_S):
                watch.check()
        finally:
            self._count_cutouts(-1)
        try:
            yield
        finally:
            self._cutouts.release()

    def _count_cutouts(self, change: int) -> None:
        with self._lock:
            self._cutouts_waiting += change
            waiting = self._cutouts_waiting
        self._instruments.set_queue("cutout", waiting)

    def _require_space(self) -> None:
        free_gib = shutil.disk_usage(_existing(self._work_dir)).free / _GIB
        if free_gib < self._parts.lanes.least_free_gib:
            raise EngineError(
                "disk_full",
                f"{free_gib:.1f} GiB are free for temporary files; "
                f"{self._parts.lanes.least_free_gib:g} are needed.",
                retryable=True,
            )


@dataclass(frozen=True, slots=True)
class _Job:
    """One try at one job."""

    cutout_png: bytes
    plan: JobPlan
    seed: int
    arrival: int
    watch: Watch


def _generated(exported: Exported, seed: int, result: Mapping[str, Any]) -> Generated:
    figures = {name: value for name, value in exported.figures.items() if name != "notes"}
    files = [Artifact(name="model.glb", content_type="model/gltf-binary", data=exported.glb)]
    if exported.picture_png:
        picture = exported.picture_png
        files.append(Artifact(name="preview.png", content_type="image/png", data=picture))
    return Generated(
        artifacts=tuple(files),
        mesh=figures,
        seed=seed,
        notice=NOTICE,
        result=result,
    )


def _existing(folder: Path) -> Path:
    """Give the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())

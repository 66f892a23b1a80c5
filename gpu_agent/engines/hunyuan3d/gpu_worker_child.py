"""The process that owns the GPU: ``python -m gpu_agent.engines.hunyuan3d.gpu_worker_child FD``.

Its main thread runs the model; one thread reads orders, one gives signs of life. Nothing but
values crosses the pipe. It ends when the pipe does, so it never outlives its agent.
"""

import faulthandler
import logging
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from gpu_agent.engines import EngineError
from gpu_agent.engines.hunyuan3d.fitness import check_gpu
from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.messages import (
    Beat,
    Begin,
    Broken,
    Drop,
    Dropped,
    Failed,
    Idle,
    LoadFailed,
    Loading,
    MakeShapes,
    Painted,
    PaintWork,
    Progress,
    Shaped,
    ShapeWork,
    StepDone,
    TooLarge,
)
from gpu_agent.engines.hunyuan3d.model import (
    GpuModel,
    OutOfGpuMemoryError,
    RawMesh,
    ShapeRequest,
    ShapeSettings,
)
from gpu_agent.engines.hunyuan3d.process import open_pipe
from gpu_agent.host.logs import set_up_logs

# By its own name: run as a program, the module is called `__main__`.
logger = logging.getLogger("gpu_agent.engines.hunyuan3d.gpu_worker_child")

PROGRESS_EVERY_S = 0.05
"""Least time between two words on how far a step is, in seconds: a small shape takes dozens of
callbacks a second, and each word wakes the agent."""

_OUT_OF_MEMORY = "The GPU's memory is too small for this job, even after what it may give up."


class _DroppedError(BaseException):
    """Raised in the model's callbacks when nobody wants the work any more."""


class GpuWorkerChild:
    """One model, and the orders that are given to it.

    Args:
        connection: To the agent.
        begin: Which model.
    """

    def __init__(self, connection: Connection, begin: Begin) -> None:
        self._connection = connection
        self._begin = begin
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[MakeShapes | PaintWork] = queue.SimpleQueue()
        self._dropped: set[int] = set()
        self._told_at = 0.0

    def run(self) -> int:
        """Load the model and work until the pipe ends."""
        for target in (self._read, self._beat):
            threading.Thread(target=target, daemon=True).start()
        try:
            model = self._load()
        except EngineError as error:
            self._tell(LoadFailed(code=error.code, detail=str(error)))
            return 3
        except Exception as error:
            logger.exception("the model could not be loaded")
            detail = f"The model could not be loaded ({type(error).__name__}: {error})."
            self._tell(LoadFailed(code="model_failed", detail=detail))
            return 3
        while True:
            # No order is under way, so none of these numbers means anything any more.
            self._dropped.clear()
            self._tell(Idle())
            order = self._orders.get()
            try:
                with self._folder():
                    self._obey(model, order)
            except Exception as error:
                logger.exception("the model broke")
                # The GPU's context may be spoilt: what comes after a CUDA error can't be trusted.
                self._tell(Broken(detail=f"The model failed ({type(error).__name__}: {error})."))
                return 4

    def _load(self) -> GpuModel:
        if self._begin.needs is not None:
            self._tell_loading("gpu", 0, "Asking the GPU.")
            check_gpu(self._begin.needs, partial(self._tell_loading, "gpu"))
        module, _, name = self._begin.factory.partition(":")
        self._tell_loading("model", 0, "Loading the model's libraries.")
        model = cast(GpuModel, getattr(import_module(module), name)(**self._begin.arguments))
        model.load(partial(self._tell_loading, "model"))
        return model

    def _tell_loading(self, step: str, percent: int, detail: str) -> None:
        self._tell(Loading(step=step, percent=percent, detail=detail))

    def _obey(self, model: GpuModel, order: MakeShapes | PaintWork) -> None:
        if isinstance(order, PaintWork):
            self._paint(model, order)
        else:
            self._make_shapes(model, order.items)

    def _make_shapes(self, model: GpuModel, items: Sequence[ShapeWork]) -> None:
        items = self._without_dropped(items)
        if not items:
            return
        logger.info("batch of %d", len(items), extra=_about(items))
        fits = False
        try:
            latents = self._diffuse(model, items)
            fits = True
        except _DroppedError:
            self._without_dropped(items)
            return
        except OutOfGpuMemoryError:
            if len(items) == 1:
                self._fail(items[0].number, "out_of_gpu_memory", _OUT_OF_MEMORY)
                return
        except EngineError as error:
            for item in items:
                self._fail(item.number, error.code, str(error), retryable=error.retryable)
            return
        if not fits:
            # Not among the exceptions: there the error would still hold what did not fit.
            self._tell(TooLarge(jobs=len(items)))
            middle = len(items) // 2
            self._make_shapes(model, items[:middle])
            self._make_shapes(model, items[middle:])
            return
        for index, item in enumerate(items):
            self._decode(model, latents, index, item, batch=len(items))

    def _diffuse(self, model: GpuModel, items: Sequence[ShapeWork]) -> Any:
        numbers = tuple(item.number for item in items)
        requests = [ShapeRequest(cutout_png=i.cutout_png, seed=i.seed) for i in items]

        def on_step(done: int, total: int) -> None:
            if self._dropped.issuperset(numbers):
                raise _DroppedError
            self._progress(Step.DIFFUSE, numbers, done / max(1, total))

        with self._timed(Step.DIFFUSE, numbers):
            return model.diffuse(requests, items[0].settings[0], on_step)

    def _decode(
        self, model: GpuModel, latents: Any, index: int, item: ShapeWork, *, batch: int
    ) -> None:
        for settings in item.settings:
            try:
                mesh = self._decode_once(model, latents, index, item, settings)
            except OutOfGpuMemoryError:
                logger.warning("out of GPU memory at %s", settings, extra=dict(item.about))
                continue
            except EngineError as error:
                self._fail(item.number, error.code, str(error), retryable=error.retryable)
                return
            except _DroppedError:
                self._without_dropped([item])
                return
            self._tell(Shaped(number=item.number, mesh=mesh, settings=settings, batch=batch))
            return
        self._fail(item.number, "out_of_gpu_memory", _OUT_OF_MEMORY)

    def _decode_once(
        self, model: GpuModel, latents: Any, index: int, item: ShapeWork, settings: ShapeSettings
    ) -> RawMesh:
        def on_points(share: float) -> None:
            if item.number in self._dropped:
                raise _DroppedError
            self._progress(Step.DECODE, (item.number,), share)

        if item.number in self._dropped:
            raise _DroppedError
        with self._timed(Step.DECODE, (item.number,)):
            return model.decode(latents, index, settings, on_points)

    def _paint(self, model: GpuModel, item: PaintWork) -> None:
        def on_share(share: float) -> None:
            if item.number in self._dropped:
                raise _DroppedError
            self._progress(Step.PAINT, (item.number,), share)

        logger.info("painting", extra=dict(item.about))
        try:
            on_share(0.0)
            with self._timed(Step.PAINT, (item.number,)):
                texture = model.paint(item.mesh, item.cutout_png, item.seed, on_share)
        except OutOfGpuMemoryError:
            self._fail(item.number, "out_of_gpu_memory", _OUT_OF_MEMORY)
        except EngineError as error:
            self._fail(item.number, error.code, str(error), retryable=error.retryable)
        except _DroppedError:
            self._tell(Dropped(number=item.number))
        else:
            self._tell(Painted(number=item.number, texture_png=texture))

    def _without_dropped(self, items: Sequence[ShapeWork]) -> list[ShapeWork]:
        """Give those that somebody wants, and confirm the others."""
        for item in items:
            if item.number in self._dropped:
                self._tell(Dropped(number=item.number))
        return [item for item in items if item.number not in self._dropped]

    @contextmanager
    def _timed(self, step: Step, numbers: tuple[int, ...]) -> Iterator[None]:
        self._progress(step, numbers, 0.0)
        began = time.monotonic()
        yield
        self._tell(StepDone(step=step, numbers=numbers, seconds=time.monotonic() - began))

    @contextmanager
    def _folder(self) -> Iterator[None]:
        """Give the work a folder for temporary files that goes when it is done."""
        folder = Path(self._begin.work_dir) / "work"
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _progress(self, step: Step, numbers: tuple[int, ...], share: float) -> None:
        now = time.monotonic()
        # That a step begins is always told: it is watched from then on.
        if share > 0 and now - self._told_at < PROGRESS_EVERY_S:
            return
        self._told_at = now
        self._tell(Progress(step=step, numbers=numbers, share=share))

    def _fail(self, number: int, code: str, message: str, *, retryable: bool = False) -> None:
        self._tell(Failed(number=number, code=code, message=message, retryable=retryable))

    def _tell(self, message: Any) -> None:
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            # The agent is gone, and with it everybody who wants a result.
            os._exit(0)

    def _read(self) -> None:
        while True:
            try:
                order = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if isinstance(order, Drop):
                self._dropped.add(order.number)
            else:
                self._orders.put(order)

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            self._tell(Beat(gpu_memory_bytes=read_gpu_memory()))
            pause.wait(self._begin.beat_s)


def read_gpu_memory() -> int | None:
    """Give the bytes of GPU memory that this process has taken, or None if it uses no GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.memory_reserved())


def _about(items: Sequence[ShapeWork]) -> dict[str, Any]:
    """Give what a log line about a batch carries: one job's own words, or the ids of several."""
    if len(items) == 1:
        return dict(items[0].about)
    ids = [item.about.get("job_id") for item in items]
    epochs = [item.about["epoch"] for item in items if "epoch" in item.about]
    return {"job_ids": ids, **({"epoch": max(epochs)} if epochs else {})}


def main() -> int:
    """Run until the pipe ends."""
    # Signals to the whole group are the agent's to obey: it drains first and ends us itself.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    faulthandler.enable()
    set_up_logs()
    connection = open_pipe(sys.argv)
    return GpuWorkerChild(connection, connection.recv()).run()


if __name__ == "__main__":
    # A model's libraries may leave threads that never end.
    status = main()
    sys.stderr.flush()
    os._exit(status)

"""The agent's side of the process that owns the GPU: the queue before it and the watch over it.

Worker threads leave work and wait. One thread gives the process its batches, listens to it, and
replaces it when it is lost; all state but the queue is that thread's alone.
"""

import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpu_agent.engines import EngineError, Instruments, SetUpReport
from gpu_agent.engines.hunyuan3d.fitness import Needs
from gpu_agent.engines.hunyuan3d.health import (
    Cause,
    Limits,
    Loss,
    Pulse,
    Step,
    find_loss,
    may_run_again,
    next_look_s,
)
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
from gpu_agent.engines.hunyuan3d.process import ChildProcess, LostError
from gpu_agent.engines.hunyuan3d.work_items import WorkItem
from gpu_agent.engines.hunyuan3d.work_queue import Waker, WorkQueue

logger = logging.getLogger(__name__)

MOST_FAILED_STARTS = 3
"""Starts in a row that may fail once the model was loaded before."""

_KEPT_BYTES = 2**30
_MEMORY_KEPT = {
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
}
"""For glibc: the process keeps up to so much memory from one step to the next. Otherwise it gives
every large array back to the kernel, which clears the same pages anew for the next one: a quarter
of a small shape's processor time (benchmarks/README.md). The unit's settings are for the agent."""

_TURN_S = 1.0
_CLOSE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuWorkerSettings:
    """How the GPU worker works.

    Attributes:
        factory: ``module:function``, which gives the `GpuModel`.
        arguments: Its keyword arguments.
        environ: Environment of the child process.
        work_dir: For its temporary files; emptied whenever it is started.
        batch_limit: Most shapes in one batch, at least 1.
        beat_s: Seconds between two signs of life.
        limits: When it counts as lost.
        needs: What is asked of the GPU first, or None to ask nothing.
        restart_pause_s: Before the second start in a row that follows a failed one, in seconds.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str]
    work_dir: Path
    batch_limit: int
    beat_s: float
    limits: Limits
    needs: Needs | None = None
    restart_pause_s: float = 5.0


class GpuWorker:
    """Owns the process that owns the GPU. Safe for many threads.

    Args:
        settings: How it works.
        instruments: Takes the figures.
        give_up: Called with one sentence when the process can't be started any more.
        clock: Monotonic seconds.

    Attributes:
        queue: What waits for the GPU.
    """

    def __init__(
        self,
        settings: GpuWorkerSettings,
        *,
        instruments: Instruments,
        give_up: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._instruments = instruments
        self._give_up = give_up
        self._clock = clock
        self._numbers = itertools.count(1)
        self.queue = WorkQueue(instruments)
        self._waker = Waker()
        self._is_closing = False
        self._set_up_over = threading.Event()
        self._set_up_error: EngineError | None = None
        self._report: SetUpReport | None = None
        # The thread's own.
        self._child: ChildProcess | None = None
        self._pulse = Pulse(heard_at=0.0)
        self._is_idle = False
        self._held: dict[int, WorkItem] = {}
        self._busy_with: tuple[int, ...] = ()
        self._batch_limit = settings.batch_limit
        self._failed_starts = 0
        self._start_at = 0.0
        self._thread = threading.Thread(target=self._run, name="gpu-worker", daemon=True)

    # What the engine asks for.

    def set_up(self, report: SetUpReport) -> None:
        """Start the process and wait until its model is loaded. Once only.

        Raises:
            EngineError: It can't be.
        """
        self._report = report
        self._thread.start()
        self._set_up_over.wait()
        self._report = None
        if self._set_up_error is not None:
            raise self._set_up_error

    def draw_arrival(self) -> int:
        """Give a job its place among the jobs, once for all its work."""
        return next(self._numbers)

    def leave(self, arrival: int, work: Callable[[int], ShapeWork | PaintWork]) -> WorkItem:
        """Leave work; `WorkItem.over` tells when it is done.

        Args:
            arrival: From `draw_arrival`. A job leaves one piece of work after the other.
            work: Makes the work from its number.
        """
        number = next(self._numbers)
        item = WorkItem(number=number, arrival=arrival, work=work(number))
        if not self.queue.join([item]):
            item.end(error=_ended())
        self._waker.wake()
        return item

    def drop(self, item: WorkItem) -> None:
        """Say that nobody wants it any more: it leaves the queue at once, the process soon."""
        self.queue.drop(item)
        self._waker.wake()

    def close(self) -> None:
        """End the process; what waits fails."""
        self._is_closing = True
        self._waker.wake()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)
        if not self._thread.is_alive():
            self._waker.close()

    # The thread.

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._turn()
        except Exception:
            logger.exception("the watch over the GPU process broke")
            self._give_up("The watch over the GPU process broke; the log says why.")
        finally:
            self._is_closing = True
            if self._child is not None:
                self._child.kill()
                self._child.end()
            shutil.rmtree(self._settings.work_dir, ignore_errors=True)
            self._fail_everything(_ended())
            self._end_set_up(_ended())

    def _turn(self) -> None:
        now = self._clock()
        if self._child is None and now >= self._start_at:
            try:
                self._start(now)
            except OSError as error:
                self._fail_start(EngineError("gpu_process_lost", f"It can't be started: {error}"))
        if self._child is not None:
            self._pass_drops(now)
        if self._child is not None and self._is_idle:
            self._give_work(now)
        self._sleep()
        # Taken before listening: what came in while this thread was kept waiting is heard first.
        now = self._clock()
        self._listen()
        if self._child is not None and (
            loss := find_loss(self._pulse, self._settings.limits, now)
        ):
            self._lose(loss)

    def _sleep(self) -> None:
        now = self._clock()
        if self._child is None:
            self._waker.wait([], min(max(0.0, self._start_at - now), _TURN_S))
            return
        left_s = next_look_s(self._pulse, self._settings.limits, now)
        self._waker.wait([self._child.connection], min(left_s, _TURN_S))

    def _listen(self) -> None:
        try:
            while self._child is not None and self._child.connection.poll(0):
                self._hear(self._child.receive())
        except (LostError, OSError):
            self._lose(None)

    def _start(self, now: float) -> None:
        folder = self._settings.work_dir
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        environ = {**self._settings.environ, **_MEMORY_KEPT, "TMPDIR": str(folder)}
        self._child = ChildProcess(
            "gpu_agent.engines.hunyuan3d.gpu_worker_child", title="GPU process", environ=environ
        )
        self._is_idle = False
        self._pulse = Pulse(heard_at=now, step=Step.LOAD, progress_at=now)
        logger.info("GPU process started", extra={"pid": self._child.pid})
        begin = Begin(
            factory=self._settings.factory,
            arguments=self._settings.arguments,
            work_dir=str(folder),
            beat_s=self._settings.beat_s,
            needs=self._settings.needs,
        )
        try:
            self._child.send(begin)
        except LostError:
            self._lose(None)

    def _give_work(self, now: float) -> None:
        items = self.queue.take_batch(self._batch_limit)
        if not items:
            return
        self._held = {item.number: item for item in items}
        self._busy_with = tuple(self._held)
        self._is_idle = False
        works = [item.work for item in items]
        shapes = tuple(work for work in works if isinstance(work, ShapeWork))
        first = works[0]
        order = MakeShapes(items=shapes) if isinstance(first, ShapeWork) else first
        step = Step.DIFFUSE if shapes else Step.PAINT
        self._pulse = Pulse(heard_at=now, step=step, progress_at=now)
        if shapes:
            self._instruments.observe_batch(len(shapes))
        self._send(order)

    def _pass_drops(self, now: float) -> None:
        """Tell the process what is not wanted, and note since when it works for nobody."""
        for item in list(self._held.values()):
            if not item.is_wanted and not item.over.is_set():
                item.end(error=_ended())
                self._send(Drop(number=item.number))
        busy_with = self._held_of(self._busy_with)
        is_unwanted = bool(busy_with) and not any(item.is_wanted for item in busy_with)
        if not is_unwanted:
            self._pulse = replace(self._pulse, unwanted_since=None)
        elif self._pulse.unwanted_since is None:
            self._pulse = replace(self._pulse, unwanted_since=now)

    def _send(self, message: Any) -> None:
        try:
            if self._child is not None:
                self._child.send(message)
        except LostError:
            self._lose(None)

    def _hear(self, message: Any) -> None:
        now = self._clock()
        self._pulse = replace(self._pulse, heard_at=now)
        match message:
            case Beat(gpu_memory_bytes=used):
                if used is not None:
                    self._instruments.set_gpu_memory(used)
            case Loading(step=step, percent=percent, detail=detail):
                self._pulse = replace(self._pulse, progress_at=now)
                if self._report is not None:
                    self._report(percent, detail, step)
            case LoadFailed(code=code, detail=detail):
                self._fail_start(EngineError(code, detail))
            case Idle():
                self._become_idle()
            case Progress(step=step, numbers=numbers, share=share):
                self._busy_with = numbers
                self._pulse = replace(self._pulse, step=step, progress_at=now)
                for item in self._held_of(numbers):
                    item.step = (step, share)
            case StepDone(step=step, numbers=numbers, seconds=seconds):
                self._instruments.observe_step(step, seconds)
                for item in self._held_of(numbers):
                    item.seconds[step] = seconds
            case TooLarge(jobs=jobs):
                self._batch_limit = max(1, jobs // 2)
                logger.warning(
                    "a batch of %d did not fit; from now on %d", jobs, self._batch_limit
                )
            case Shaped(number=number):
                self._end_item(number, answer=message)
            case Painted(number=number, texture_png=texture):
                self._end_item(number, answer=texture)
            case Failed(number=number, code=code, message=text, retryable=retryable):
                self._end_item(number, error=EngineError(code, text, retryable=retryable))
            case Dropped(number=number):
                self._held.pop(number, None)
            case Broken(detail=detail):
                self._lose(Loss(cause=Cause.BROKEN, detail=detail))
            case _:
                raise AssertionError(f"a message that nobody knows: {message!r}")

    def _held_of(self, numbers: tuple[int, ...]) -> list[WorkItem]:
        return [self._held[number] for number in numbers if number in self._held]

    def _end_item(
        self,
        number: int,
        *,
        answer: Shaped | bytes | None = None,
        error: EngineError | None = None,
    ) -> None:
        item = self._held.pop(number, None)
        if item is not None and not item.over.is_set():
            item.end(answer=answer, error=error)

    def _become_idle(self) -> None:
        self._is_idle = True
        self._failed_starts = 0
        self._pulse = Pulse(heard_at=self._pulse.heard_at)
        # Every order is answered before the process is idle; what is left was never known to it.
        self.queue.join(self._held.values())
        self._held = {}
        self._end_set_up(None)

    def _lose(self, loss: Loss | None) -> None:
        """Give the process up, and settle what it held.

        Args:
            loss: Why, or None when it ended by itself: its exit status says it then.
        """
        child, self._child = self._child, None
        if child is None:
            return
        was_loading = self._pulse.step is Step.LOAD
        if loss is not None:
            child.kill()
        said = child.end()
        loss = loss or Loss(cause=Cause.DIED, detail=said)
        self._instruments.count_restart("gpu", loss.cause)
        ids = [item.about.get("job_id") for item in self._held.values()]
        logger.error("GPU process lost: %s", loss.detail, extra={"job_ids": ids, "pid": child.pid})
        held, self._held, self._is_idle = list(self._held.values()), {}, False
        self._settle(held, loss)
        if was_loading:
            self._fail_start(EngineError("gpu_process_lost", loss.detail))

    def _settle(self, held: list[WorkItem], loss: Loss) -> None:
        """Let the jobs of a lost process run again, once, each alone."""
        again = []
        for item in held:
            if item.over.is_set():
                continue
            # Ended because a neighbour would not be cancelled: the others did nothing to it.
            item.losses += 0 if loss.cause is Cause.DEAF else 1
            if may_run_again(item.losses):
                again.append(item)
                continue
            message = f"{loss.detail} So it did when the job was tried before."
            item.end(error=EngineError("engine_failed", message, retryable=True))
        self.queue.join(again)

    def _fail_start(self, error: EngineError) -> None:
        """Try once more after a pause; at the first start, or after too many, never again."""
        child, self._child = self._child, None
        if child is not None:
            child.end()
        if not self._set_up_over.is_set():
            self._is_closing = True
            self._end_set_up(error)
            return
        self._failed_starts += 1
        pause_s = self._settings.restart_pause_s * 2 ** (self._failed_starts - 1)
        self._start_at = self._clock() + pause_s
        logger.error("the GPU process can't be started again: %s", error)
        if self._failed_starts >= MOST_FAILED_STARTS:
            detail = f"The GPU process can't be started again: {error}"
            self._fail_everything(EngineError("engine_failed", detail, retryable=True))
            self._is_closing = True
            self._give_up(detail)

    def _fail_everything(self, error: EngineError) -> None:
        items = [*self.queue.close(), *self._held.values()]
        self._held = {}
        for item in items:
            if not item.over.is_set():
                item.end(error=error)

    def _end_set_up(self, error: EngineError | None) -> None:
        if not self._set_up_over.is_set():
            self._set_up_error = error
            self._set_up_over.set()


def _ended() -> EngineError:
    return EngineError("engine_failed", "The engine was ended.", retryable=True)

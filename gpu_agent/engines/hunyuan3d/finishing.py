"""The pool of finishers: processes that can be ended whatever they are in the middle of."""

import itertools
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpu_agent.engines import EngineError, Instruments
from gpu_agent.engines.hunyuan3d.health import may_run_again
from gpu_agent.engines.hunyuan3d.model import RawMesh, UvMesh
from gpu_agent.engines.hunyuan3d.process import ChildProcess, LostError
from gpu_agent.engines.hunyuan3d.tasks import Done, Export, Exported, Task, Tidy

logger = logging.getLogger(__name__)


class _OverdueError(LostError):
    """The finisher still lives, and does not answer."""


def _ignore() -> None:
    pass


_LOOK_S = 0.1
"""How often a waiting thread asks whether its job was stopped, in seconds."""


class FinisherPool:
    """Lends finishers to worker threads. Safe for many threads.

    Args:
        count: How many there are.
        environ: Their environment.
        work_dir: For their temporary files.
        limit_s: Longest task, in seconds, the start of the process included.
        instruments: Takes the figures.
    """

    def __init__(
        self,
        *,
        count: int,
        environ: Mapping[str, str],
        work_dir: Path,
        limit_s: float,
        instruments: Instruments,
    ) -> None:
        self._environ = environ
        self._work_dir = work_dir
        self._limit_s = limit_s
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._idle: queue.SimpleQueue[ChildProcess | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive: set[ChildProcess] = set()
        self._waiting = 0
        self._is_closed = False
        for _ in range(count):
            # Started by the first task that finds it missing, or by `start`.
            self._idle.put(None)

    def start(self) -> None:
        """Start every process; returns before they are up."""
        for _ in range(self._idle.qsize()):
            self._idle.put(self._idle.get() or self._launch())

    def tidy(
        self, work: Tidy, check: Callable[[], None], begin: Callable[[], None] = _ignore
    ) -> RawMesh | UvMesh:
        """Clean a mesh; see `run`."""
        answer: RawMesh | UvMesh = self.run(work, check, begin)
        return answer

    def export(
        self, work: Export, check: Callable[[], None], begin: Callable[[], None] = _ignore
    ) -> Exported:
        """Make the files of a mesh; see `run`."""
        answer: Exported = self.run(work, check, begin)
        return answer

    def run(
        self, work: Tidy | Export, check: Callable[[], None], begin: Callable[[], None] = _ignore
    ) -> Any:
        """Have a task done.

        A process that is lost with it is replaced and the task done once more.

        Args:
            work: The task.
            check: Called ten times a second; what it raises passes through, after the process
                that was at work has been ended.
            begin: Called when the wait for a process is over; may raise as well.

        Raises:
            EngineError: The finisher's own, or ``engine_failed`` when two were lost.
        """
        losses = 0
        while True:
            child = self._borrow(check)
            try:
                begin()
                done = self._have_done(child, work, check)
            except LostError as error:
                losses += 1
                detail = self._lose(child, error)
                if may_run_again(losses):
                    continue
                raise EngineError("engine_failed", detail, retryable=True) from error
            except BaseException:
                # It can't be asked to stop.
                child.kill()
                self._discard(child)
                raise
            self._idle.put(child)
            for step, seconds in done.steps.items():
                self._instruments.observe_step(step, seconds)
            if done.error is not None:
                code, message, retryable = done.error
                raise EngineError(code, message, retryable=retryable)
            return done.answer

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._is_closed = True
            alive = list(self._alive)
        for child in alive:
            child.kill()
            child.end()
        shutil.rmtree(self._work_dir, ignore_errors=True)

    def _borrow(self, check: Callable[[], None]) -> ChildProcess:
        self._count(1)
        try:
            while True:
                check()
                try:
                    child = self._idle.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
                return child or self._launch_in_place()
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._waiting += change
            waiting = self._waiting
        self._instruments.set_queue("finish", waiting)

    def _launch_in_place(self) -> ChildProcess:
        """Start a process in an empty place; if that fails, the place is there for the next."""
        try:
            return self._launch()
        except BaseException:
            self._idle.put(None)
            raise

    def _launch(self) -> ChildProcess:
        with self._lock:
            if self._is_closed:
                raise EngineError("engine_failed", "The engine was ended.", retryable=True)
            try:
                child = ChildProcess(
                    "gpu_agent.engines.hunyuan3d.finisher", title="finisher", environ=self._environ
                )
            except OSError as error:
                detail = f"No finisher can be started: {error}"
                raise EngineError("engine_failed", detail, retryable=True) from error
            self._alive.add(child)
        return child

    def _have_done(
        self, child: ChildProcess, work: Tidy | Export, check: Callable[[], None]
    ) -> Done:
        folder = self._work_dir / f"task-{next(self._numbers)}"
        end = time.monotonic() + self._limit_s
        try:
            child.send(Task(work=work, folder=str(folder)))
            while not self._has_answered(child):
                check()
                if time.monotonic() >= end:
                    raise _OverdueError(f"The finisher took longer than {self._limit_s:g} s.")
            done: Done = child.receive()
        finally:
            # A process that was ended leaves its folder behind.
            shutil.rmtree(folder, ignore_errors=True)
        return done

    def _has_answered(self, child: ChildProcess) -> bool:
        try:
            return child.connection.poll(_LOOK_S)
        except OSError as error:
            raise LostError(str(error)) from error

    def _lose(self, child: ChildProcess, error: LostError) -> str:
        """Replace a process; say in words how it was lost."""
        if isinstance(error, _OverdueError):
            child.kill()
        said = self._discard(child)
        detail, cause = (
            (str(error), "stuck") if isinstance(error, _OverdueError) else (said, "died")
        )
        self._instruments.count_restart("finisher", cause)
        logger.error("finisher lost: %s", detail, extra={"pid": child.pid})
        return detail

    def _discard(self, child: ChildProcess) -> str:
        """End a process and leave its place to a new one."""
        said = child.end()
        with self._lock:
            self._alive.discard(child)
        self._idle.put(None)
        return said

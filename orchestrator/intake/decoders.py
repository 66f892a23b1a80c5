"""A few processes that read what strangers send, so that the app itself never does.

1. A thread of the lane `intake` takes the child that an idle template, or a new one, has forked,
   and hands it an order. A child serves one order, so that a file which takes it over meets no
   other's.
2. The child looks at the header and says how much memory the picture needs. It goes on once
   that fits beside what the app and the others take (`MemoryBudget`).
3. While it works, the thread watches its time and its resident memory; CPU and address space the
   child limits itself. One that goes too far is killed, and the picture is refused
   (`image_too_costly`).

A template must decode a picture of ours before it forks. If that fails again and again, no new one
is started for a while, and `is_failing` lets health say so. Health itself tries again (`probe`).
"""

import asyncio
import hashlib
import logging
import math
import signal
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import psutil

from orchestrator.domain.errors import ApiError, IntakeFailingError, InvalidRequestError
from orchestrator.domain.image_source import ImageSource, NormalisedImage
from orchestrator.domain.input_errors import (
    ImageTooCostlyError,
    InputError,
    UnreadableImageError,
)
from orchestrator.intake.admission import Admission
from orchestrator.intake.body import PARSERS, check_size
from orchestrator.intake.children import (
    Child,
    DroppedError,
    KillReason,
    OverrunError,
    Template,
    start_template,
)
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.intake.memory_budget import MemoryBudget, OutOfMemoryBudgetError
from orchestrator.intake.refusals import Refusal, refusal_from_json
from orchestrator.lanes import Lane

logger = logging.getLogger(__name__)

MB = 1_000_000
SMALL_BODY_BYTES = 64 * 1024
"""Up to here a body is read in the app: a few milliseconds at the very most."""

_IDLE_BYTES = 60 * MB
"""Of a template and its child together beside what an order takes, measured at 40 MB."""
_BASE_BYTES = 120 * MB
"""What a child may have in memory before it works; most of it is its template's."""
_SLACK_BYTES = 64 * MB
"""On top of what a picture needs: stacks of a codec's threads, libraries loaded for it."""
_MAX_RESULT_BYTES = 64 * MB
"""A PNG of 2048 x 2048 pixels that does not compress has 17 MB."""
_CRASH_LOOP = 3
"""Failed starts in a row that are no accident."""
_LONGEST_PAUSE_S = 60.0
_PROBE_S = 5.0
_KEPT_KILLS = 100
_PARSED_TIMES = 4
"""Memory of reading a body, in times its size: text, base64 and images are held side by side."""


P = ParamSpec("P")
T = TypeVar("T")
_IsDropped = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Kill:
    """A child that ended over an order.

    Attributes:
        reason: What it went beyond.
        seconds: From the order to its end.
        sha256: Of what it was given, so that the file can be found again.
    """

    reason: KillReason
    seconds: float
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderLimits:
    """What the processes may take.

    Attributes:
        processes: At most so many at a time.
        cpu_s: CPU seconds for one order.
        wall_s: Seconds for one order, however busy the machine is.
        memory_bytes: For the app and the processes together.
    """

    processes: int = 2
    cpu_s: float = 20.0
    wall_s: float = 60.0
    memory_bytes: int = 1_100 * MB


class Decoders:
    """Reads bodies and images of strangers. Safe to use from many places at once.

    Args:
        image_limits: What is taken.
        limits: What the processes may take.
        admission: Learns how long a picture takes.
        start: Starts a template.
        clock: Gives seconds that only go forward.

    Attributes:
        kills: The last processes that ended over an order, the newest last.
    """

    def __init__(
        self,
        image_limits: ImageLimits | None = None,
        limits: DecoderLimits | None = None,
        *,
        admission: Admission | None = None,
        start: Callable[[Callable[[], float]], Template] = start_template,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._image_limits = image_limits or ImageLimits()
        self._limits = limits or DecoderLimits()
        self._admission = admission or Admission()
        self._start = start
        self._clock = clock
        self._lane = Lane("intake", self._limits.processes)
        self._lock = threading.Lock()
        self._idle: list[Template] = []
        self._closed = threading.Event()
        self._app = psutil.Process()
        self._budget = MemoryBudget(self._limits.memory_bytes, self._resting_bytes)
        self._failed_starts = 0
        self._failing_until = 0.0
        self._trial: Future[None] | None = None
        self.kills: deque[Kill] = deque(maxlen=_KEPT_KILLS)
        self._end = weakref.finalize(self, _close, self._idle, self._closed, self._lock)
        # `atexit` comes after the threads were waited for, and so would wait for the whole queue.
        threading._register_atexit(self._end)  # type: ignore[attr-defined]

    @property
    def is_failing(self) -> bool:
        """Whether no process can be started, so that no image can be taken."""
        return self._failed_starts >= _CRASH_LOOP

    async def probe(self) -> None:
        """Try to start a process while none can be started, as often as any caller's would be.

        Waits for that no longer than `_PROBE_S`; it may go on then.
        """
        if not self.is_failing:
            return
        if self._trial is None or self._trial.done():
            self._trial = self._lane.submit(self._try)
        await asyncio.wait([asyncio.wrap_future(self._trial)], timeout=_PROBE_S)

    def check_size(self, posted: str, content_type: str, size_bytes: int) -> None:
        """Refuse the body of a POST by its size alone, as `body.check_size`."""
        check_size(posted, content_type, size_bytes, self._image_limits)

    async def normalise(self, data: bytes) -> NormalisedImage:
        """Check and normalise an image.

        Raises:
            InputError: It is refused.
            BusyError: There is no memory for it now, or no process can be started.
        """
        return await self._run(self._normalise, data)

    async def parse(
        self, posted: str, content_type: str, body: bytes
    ) -> tuple[list[ImageSource], dict[str, Any]]:
        """Read the body of a POST: a ``job`` or a ``batch``.

        Raises:
            ApiError: What the parser raises, or no process can be started (`BusyError`).
            InputError: What the parser raises.
        """
        if len(body) <= SMALL_BODY_BYTES:
            return PARSERS[posted](content_type, body, self._image_limits)
        return await self._run(self._parse, posted, content_type, body)

    def close(self) -> None:
        """End the processes. What is in work, waits or comes is refused."""
        self._end()

    async def _run(
        self, function: Callable[Concatenate[_IsDropped, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run in a thread. Cancelled, it drops the order and ends once the thread is free."""
        dropped, loop = threading.Event(), asyncio.get_running_loop()

        def is_dropped() -> bool:
            return dropped.is_set() or self._closed.is_set() or loop.is_closed()

        work = self._lane.submit(function, is_dropped, *args, **kwargs)
        waiting = asyncio.wrap_future(work)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            dropped.set()
            work.cancel()
            while not waiting.done():
                # What it holds is taken until then, however often it is cancelled.
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([waiting])
            raise

    def _normalise(self, is_dropped: _IsDropped, data: bytes) -> NormalisedImage:
        began_at = self._clock()
        order = {"do": "normalise", "limits": asdict(self._image_limits)}
        try:
            with self._talk(order, data, is_dropped) as talk:
                need_bytes = _SLACK_BYTES + _read_need(talk.hear(_SLACK_BYTES + len(data))[0])
                waits_from = self._clock()
                try:
                    with self._budget.take(need_bytes):
                        talk.until += self._clock() - waits_from
                        talk.say({"go": need_bytes})
                        return _read_image(*talk.hear(need_bytes + len(data)))
                except OutOfMemoryBudgetError as error:
                    talk.say({"go": None})
                    raise self._admission.busy() from error
        finally:
            self._admission.learn(self._clock() - began_at)

    def _parse(
        self, is_dropped: _IsDropped, posted: str, content_type: str, body: bytes
    ) -> tuple[list[ImageSource], dict[str, Any]]:
        memory_bytes = _SLACK_BYTES + _PARSED_TIMES * len(body)
        order = {
            "do": posted,
            "content_type": content_type,
            "limits": asdict(self._image_limits),
            "memory_bytes": memory_bytes,
        }
        try:
            with self._budget.take(memory_bytes), self._talk(order, body, is_dropped) as talk:
                return _read_sources(*talk.hear(memory_bytes + len(body)))
        except OutOfMemoryBudgetError as error:
            raise self._admission.busy() from error

    @contextmanager
    def _talk(
        self, order: dict[str, Any], data: bytes, is_dropped: _IsDropped
    ) -> Iterator["_Talk"]:
        """Give a child an order, and see that it has ended afterwards."""
        began_at = self._clock()
        child = self._fork(is_dropped)
        child.max_resident_bytes = _BASE_BYTES + len(data)
        talk = _Talk(child, self._clock() + self._limits.wall_s)
        try:
            talk.say({**order, "cpu_s": self._limits.cpu_s}, data)
            yield talk
        except (InputError, ApiError):
            self._finish(child)
            raise
        except (OverrunError, EOFError, OSError, ValueError) as error:
            if isinstance(error, EOFError | ConnectionError):
                reason = self._finish(child)
            else:
                child.end()
                reason = error.reason if isinstance(error, OverrunError) else KillReason.CRASH
            raise self._note(reason, self._clock() - began_at, data, order["do"]) from error
        except DroppedError as error:
            child.end()
            raise IntakeFailingError(retry_after_s=1) from error
        except BaseException:
            child.end()
            raise
        self._finish(child)

    def _fork(self, is_dropped: _IsDropped) -> Child:
        if is_dropped():
            raise IntakeFailingError(retry_after_s=1)
        while (template := self._take_idle()) is not None:
            # One that ended while it was idle is not this order's doing.
            with suppress(OverrunError, EOFError, OSError):
                return template.fork(is_dropped)
            template.end()
        template = self._start_one(is_dropped)
        try:
            return template.fork(is_dropped)
        except (OverrunError, EOFError, OSError) as error:
            template.end()
            raise self._note_failed_start(error) from error

    def _take_idle(self) -> Template | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _start_one(self, is_dropped: _IsDropped) -> Template:
        pause_s = self._failing_until - self._clock()
        if pause_s > 0:
            raise IntakeFailingError(retry_after_s=math.ceil(pause_s))
        try:
            template = self._start(self._clock)
        except OSError as error:
            raise self._note_failed_start(error) from error
        try:
            if not template.wait_until_ready(is_dropped):
                logger.warning("the kernel filters no calls of decoding processes")
        except (OverrunError, EOFError, OSError) as error:
            template.end()
            raise self._note_failed_start(error) from error
        except DroppedError as error:
            template.end()
            raise IntakeFailingError(retry_after_s=1) from error
        self._failed_starts = 0
        return template

    def _try(self) -> None:
        with suppress(IntakeFailingError):
            self._keep(self._start_one(self._closed.is_set))

    def _note_failed_start(self, error: Exception) -> IntakeFailingError:
        self._failed_starts += 1
        pause_s = min(2.0 ** (self._failed_starts - _CRASH_LOOP), _LONGEST_PAUSE_S)
        if self.is_failing:
            self._failing_until = self._clock() + pause_s
        logger.error(
            "a decoding process failed to start, %d times in a row (%s)",
            self._failed_starts,
            type(error).__name__,
        )
        return IntakeFailingError(retry_after_s=max(1, math.ceil(pause_s)))

    def _finish(self, child: Child) -> KillReason:
        """Let a child end by itself, keep its template, and tell what a failure came from."""
        exit_code = child.finish()
        if exit_code is None:
            child.end()
        else:
            self._keep(child.template)
        # SIGKILL that is not ours comes from the kernel, for lack of memory.
        reasons = {-signal.SIGXCPU: KillReason.CPU, -signal.SIGKILL: KillReason.MEMORY}
        return reasons.get(exit_code or 0, KillReason.CRASH)

    def _keep(self, template: Template) -> None:
        try:
            template.prepare()
        except OSError:
            template.end()
            return
        with self._lock:
            if not self._closed.is_set():
                self._idle.append(template)
                return
        template.end()

    def _note(self, reason: KillReason, seconds: float, data: bytes, do: str) -> Refusal:
        kill = Kill(reason, seconds, hashlib.sha256(data).hexdigest())
        self.kills.append(kill)
        logger.warning(
            "a decoding process was ended (%s) after %.1f s by %d bytes with SHA-256 %s",
            reason,
            seconds,
            len(data),
            kill.sha256,
        )
        if do == "normalise":
            crashed = reason is KillReason.CRASH
            return (
                UnreadableImageError.crashed() if crashed else ImageTooCostlyError.beyond(reason)
            )
        if reason is KillReason.CRASH:
            return InvalidRequestError(
                "the body breaks the program that reads it: let your HTTP library build the form "
                "or the JSON, and send that",
                code="body_unreadable",
            )
        return ImageTooCostlyError.of_request(reason)

    def _resting_bytes(self) -> int:
        return int(self._app.memory_info().rss) + self._limits.processes * _IDLE_BYTES


class _Talk:
    """An order's conversation: refusals become errors.

    Attributes:
        until: When the time of the whole of it is over, by the clock.
    """

    def __init__(self, child: Child, until: float) -> None:
        self._child = child
        self.until = until

    def say(self, head: dict[str, Any], *blobs: bytes) -> None:
        """Send it a message."""
        self._child.until = self.until
        self._child.say(head, *blobs)

    def hear(self, allowance_bytes: int) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for an answer; from here on the child may take so much memory."""
        self._child.until = self.until
        self._child.max_resident_bytes = _BASE_BYTES + allowance_bytes
        head, blobs = self._child.hear(max_bytes=max(_MAX_RESULT_BYTES, allowance_bytes))
        if isinstance(refused := head.get("refused"), dict):
            raise refusal_from_json(refused)
        if head.get("spent"):
            raise OverrunError(KillReason.MEMORY)
        return head, blobs


def _read_need(head: dict[str, Any]) -> int:
    """Give the bytes that a process asks for; less than none would be taken from the others."""
    need = head.get("need")
    if type(need) is not int or need < 0:
        raise ValueError("what came is not a need of memory")
    return need


def _read_image(head: dict[str, Any], blobs: list[bytes]) -> NormalisedImage:
    try:
        done = head["done"]
        image = NormalisedImage(**{**done, "notes": tuple(done["notes"]), "png": blobs[0]})
    except (LookupError, TypeError) as error:
        raise ValueError("what came is not an image") from error
    texts = (*image.notes, image.sha256, image.source_format)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text of an image is none")
    return image


def _read_sources(
    head: dict[str, Any], blobs: list[bytes]
) -> tuple[list[ImageSource], dict[str, Any]]:
    images = iter(blobs)
    try:
        sources = [
            ImageSource(
                url=source["url"],
                name=source["name"],
                data=next(images) if source["has_data"] else None,
            )
            for source in head["done"]["sources"]
        ]
        fields = dict(head["done"]["fields"])
    except (LookupError, TypeError, StopIteration) as error:
        raise ValueError("what came is not a body that was read") from error
    if not all(isinstance(text, str | None) for s in sources for text in (s.url, s.name)):
        raise ValueError("a text of a source is none")
    return sources, fields


def _close(idle: list[Template], closed: threading.Event, lock: threading.Lock) -> None:
    with lock:
        closed.set()
        doomed, idle[:] = idle[:], []
    for template in doomed:
        template.end()

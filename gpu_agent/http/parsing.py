"""What callers send, checked before anything acts on it."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from gpu_agent.artifacts.store import is_path
from gpu_agent.errors import InvalidRequestError
from gpu_agent.jobs.job import JobKey
from gpu_agent.wire import MAX_WAIT_S, DrainRequest, LeaseRequest, Submission

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_PLAIN = (str, int, float, bool, type(None))
_MAX_INTEGER = 2**63 - 1
_MAX_TIMEOUT_S = 24 * 3600.0
_MAX_LEASE_S = 24 * 3600.0

Message = TypeVar("Message", Submission, LeaseRequest, DrainRequest)


def parse_key(job_id: str, fence: str) -> JobKey:
    """Read a job's key from a path.

    Raises:
        InvalidRequestError: The id or the fence is malformed.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidRequestError("A job id has 1 to 128 letters, digits, '_' or '-'.")
    if not re.fullmatch(r"[0-9]{1,19}", fence, re.ASCII) or int(fence) > _MAX_INTEGER:
        raise InvalidRequestError("A fence is a whole number from 0 to 2^63 - 1.")
    return JobKey(job_id, int(fence))


def parse_poll(args: Mapping[str, str]) -> tuple[int, float]:
    """Read ``after`` and ``wait_s`` of a long-poll; without them it is answered at once.

    Returns:
        The `seq` seen, and the longest wait in seconds, `MAX_WAIT_S` at most.

    Raises:
        InvalidRequestError: One of them is no fit number.
    """
    try:
        after, wait_s = int(args.get("after", "0")), float(args.get("wait_s", "0"))
    except ValueError as error:
        raise InvalidRequestError("after and wait_s are numbers.") from error
    if after < 0 or not (math.isfinite(wait_s) and wait_s >= 0):
        raise InvalidRequestError("after and wait_s are not negative.")
    return after, min(wait_s, MAX_WAIT_S)


def parse_submission(body: bytes) -> Submission:
    """Read a `Submission`.

    Raises:
        InvalidRequestError: It is none, or a field is out of range.
    """
    asked = _parse(body, Submission)
    _require_epoch(asked.epoch)
    _require(isinstance(asked.options, dict), "options is no object")
    is_plain = all(isinstance(value, _PLAIN) for value in asked.options.values())
    _require(is_plain, "options holds an object or a list")
    _require(_is_number(asked.timeout_s, low=0, high=_MAX_TIMEOUT_S), "timeout_s is out of range")
    for name in ("input_path", "manifest_path"):
        value = getattr(asked, name)
        _require(isinstance(value, str) and is_path(value), f"{name} is no path")
    prefix: Any = asked.output_prefix
    is_prefix = isinstance(prefix, str) and prefix.endswith("/") and is_path(prefix + "x")
    _require(is_prefix, "output_prefix is no folder")
    return asked


def parse_lease(body: bytes) -> LeaseRequest:
    """Read a `LeaseRequest`.

    Raises:
        InvalidRequestError: It is none, or a field is out of range.
    """
    asked = _parse(body, LeaseRequest)
    _require_epoch(asked.epoch)
    _require(_is_number(asked.ttl_s, low=0, high=_MAX_LEASE_S), "ttl_s is out of range")
    return asked


def parse_drain(body: bytes) -> DrainRequest:
    """Read a `DrainRequest`.

    Raises:
        InvalidRequestError: It is none, or a field is out of range.
    """
    asked = _parse(body, DrainRequest)
    _require_epoch(asked.epoch)
    _require(_is_integer(asked.drain, low=0), "drain is no whole number from 0")
    _require(isinstance(asked.final, bool), "final is neither true nor false")
    return asked


def _parse(body: bytes, kind: type[Message]) -> Message:
    try:
        data: Any = json.loads(body)
        return kind.from_json(data)
    except (ValueError, RecursionError) as error:
        detail = str(error) if str(error).startswith(kind.__name__) else "it is no JSON"
        raise InvalidRequestError(f"The body is no {kind.__name__}: {detail}.") from error


def _require_epoch(epoch: Any) -> None:
    _require(_is_integer(epoch, low=0), "epoch is no whole number from 0")


def _require(holds: bool, complaint: str) -> None:
    if not holds:
        raise InvalidRequestError(complaint)


def _is_integer(value: Any, *, low: int) -> bool:
    return type(value) is int and low <= value <= _MAX_INTEGER


def _is_number(value: Any, *, low: float, high: float) -> bool:
    return type(value) in (int, float) and low < value <= high

"""JSON as callers send it: decoded strictly and checked in this one place.

What passes can be stored as UTF-8, nested again by a store's own JSON, and read by any client.
"""

import json
import math
from typing import Any

from orchestrator.domain.errors import InvalidRequestError

MAX_DEPTH = 32
"""Most objects and lists inside each other, the outermost one included."""
MAX_DIGITS = 300
"""Of a whole number. A double has room for 308: any number that passes is a finite double."""

_MAX_SHOWN = 60


def read_json(text: str | bytes, *, otherwise: str, code: str = "invalid_request") -> Any:
    """Decode and check JSON.

    Args:
        text: What the caller sent.
        otherwise: What the caller is told, in front of the reason, when it is not JSON.
        code: The code that goes with that.

    Raises:
        InvalidRequestError: It is not JSON, or as for `check_json`.
    """
    value = decode_json(text, otherwise=otherwise, code=code)
    check_json(value)
    return value


def decode_json(text: str | bytes, *, otherwise: str, code: str = "invalid_request") -> Any:
    """Decode JSON as the standard has it, without NaN; `check_json` is still to be called.

    Raises:
        InvalidRequestError: It is not JSON, or a number in it is too large.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_int=_whole, parse_float=_finite
        )
    except RecursionError as error:
        raise InvalidRequestError(_too_deep()) from error
    except ValueError as error:
        raise InvalidRequestError(f"{otherwise} ({error})", code=code) from error


def check_json(value: Any) -> None:
    """Check decoded JSON.

    Raises:
        InvalidRequestError: It is nested more than `MAX_DEPTH` deep, or a string or a key in it
            can't be encoded as UTF-8. The message says where.
    """
    _check(value, ())


def is_text(value: str) -> bool:
    r"""Tell whether a string can be encoded as UTF-8: it has no lone surrogate (``"\ud800"``)."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(text: str) -> str:
    """Give a caller's text as a message may show it: short, and printable ASCII."""
    cut = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return cut if cut.isascii() and cut.isprintable() else ascii(cut)


def _check(value: Any, path: tuple[str | int, ...]) -> None:
    if isinstance(value, str):
        if not is_text(value):
            raise InvalidRequestError(
                f"{_place(path)} holds half a surrogate pair (\\ud800 to \\udfff)"
            )
    elif isinstance(value, dict | list):
        if len(path) >= MAX_DEPTH:
            raise InvalidRequestError(f"{_too_deep()}: {_place(path)}")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(key, str) and not is_text(key):
                raise InvalidRequestError(
                    f"a key of {_place(path)} holds half a surrogate pair (\\ud800 to \\udfff)"
                )
            _check(item, (*path, key))


def _place(path: tuple[str | int, ...]) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path]
    return shown("".join(parts).removeprefix(".")) or "the body"


def _too_deep() -> str:
    return f"the JSON is nested more than {MAX_DEPTH} levels deep"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _whole(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise InvalidRequestError(
            f"the number {text[:20]}... has {len(text)} digits; at most {MAX_DIGITS} are allowed"
        )
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidRequestError(f"the number {shown(text)} is beyond the range of a double")
    return value

"""How a refusal crosses the pipe from a decoding process: by class, code and sentence."""

from typing import Any, TypeVar

from orchestrator.domain.errors import ApiError, BusyError
from orchestrator.domain.input_errors import InputError

Refusal = ApiError | InputError


def refusal_to_json(error: Refusal) -> dict[str, Any]:
    """Give the JSON object of a refusal."""
    return {"class": type(error).__name__, "code": error.code, "message": str(error)}


def refusal_from_json(data: dict[str, Any]) -> Refusal:
    """Build the refusal again.

    Raises:
        ValueError: It is none, or one that a body or an image can't be the cause of.
    """
    name, code, message = (data.get(key) for key in ("class", "code", "message"))
    if not (isinstance(name, str) and isinstance(code, str) and isinstance(message, str)):
        # Like all that is wrong with a message.
        raise ValueError("a refusal has a class, a code and a message")  # noqa: TRY004
    error: Refusal
    if input_error := _find(InputError, name):
        error = input_error(message)
    elif (api_error := _find(ApiError, name)) and not issubclass(api_error, BusyError):
        error = api_error(message, code=code)
    else:
        raise ValueError(f"there is no refusal {name!r}")
    if error.status >= 500:
        raise ValueError(f"{name!r} refuses nothing")
    return error


T = TypeVar("T")


def _find(kind: type[T], name: str) -> type[T] | None:
    if kind.__name__ == name:
        return kind
    return next((found for below in kind.__subclasses__() if (found := _find(below, name))), None)

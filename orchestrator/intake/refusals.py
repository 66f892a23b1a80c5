"""How a refusal crosses the pipe from a decoding process: by class, code and sentence."""

from typing import Any, TypeVar

from orchestrator.domain.errors import ApiError
from orchestrator.domain.input_errors import InputError

Refusal = ApiError | InputError


def refusal_to_json(error: Refusal) -> dict[str, Any]:
    """Give the JSON object of a refusal."""
    return {"class": type(error).__name__, "code": error.code, "message": str(error)}


def refusal_from_json(data: dict[str, Any]) -> Refusal:
    """Build the refusal again.

    Raises:
        ValueError: There is no such class of error.
    """
    name, message = data["class"], data["message"]
    if input_error := _find(InputError, name):
        return input_error(message)
    if api_error := _find(ApiError, name):
        return api_error(message, code=data["code"])
    raise ValueError(f"there is no error {name!r}")


T = TypeVar("T")


def _find(kind: type[T], name: str) -> type[T] | None:
    if kind.__name__ == name:
        return kind
    return next((found for below in kind.__subclasses__() if (found := _find(below, name))), None)

"""What a request brings: its body, or why that did not arrive, and its Idempotency-Key."""

from typing import Any, Literal

import azure.functions as func

from orchestrator.domain.errors import (
    BodyTooLargeError,
    EmptyBodyError,
    InvalidRequestError,
    LengthRequiredError,
)
from orchestrator.domain.image_source import Posted
from orchestrator.domain.json_values import is_text, read_json

MAX_KEY_LENGTH = 200
MAX_SMALL_BYTES = 64 * 1024
"""Of an event or a command. An event stays in the instance's history and is read at each step."""


def posted_of(request: func.HttpRequest, what: Literal["job", "batch"]) -> Posted:
    """Give the body of a POST, which has to be there.

    Raises:
        LengthRequiredError: It was sent in chunks, which the Functions host does not hand on.
        EmptyBodyError: There is none.
    """
    body = _arrived(request)
    if not body:
        raise EmptyBodyError(
            "the body was empty when it arrived here: send it again, and if it was not empty, "
            "look for a proxy or gateway on the way that drops bodies"
        )
    return Posted(what, request.headers.get("content-type", ""), body)


def key_of(request: func.HttpRequest) -> str | None:
    """Read the Idempotency-Key."""
    key: str | None = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise InvalidRequestError(f"Idempotency-Key must have 1 to {MAX_KEY_LENGTH} characters")
    if key is not None and not is_text(key):
        raise InvalidRequestError("Idempotency-Key must be UTF-8")
    return key


def read_small_json(request: func.HttpRequest, *, default: Any, **told: str) -> Any:
    """Decode and check the small JSON body of a command; without a body: `default`.

    Args:
        request: The request.
        default: What an absent body stands for.
        told: As for `read_json`.

    Raises:
        BodyTooLargeError: It has more than `MAX_SMALL_BYTES`.
        LengthRequiredError: As for `posted_of`.
        InvalidRequestError: As for `read_json`.
    """
    body = _arrived(request)
    if len(body) > MAX_SMALL_BYTES:
        raise BodyTooLargeError(
            f"the body has {len(body)} bytes; at most {MAX_SMALL_BYTES} are allowed"
        )
    return read_json(body, **told) if body else default


def _arrived(request: func.HttpRequest) -> bytes:
    body: bytes = request.get_body()
    # The host hands a body on only if Content-Length is above 0, and says nothing otherwise.
    if not body and "chunked" in request.headers.get("transfer-encoding", "").lower():
        raise LengthRequiredError(
            "the body did not arrive, because it was sent in chunks: send it with a "
            "Content-Length (without Transfer-Encoding: chunked)"
        )
    return body

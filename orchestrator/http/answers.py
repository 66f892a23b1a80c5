"""HTTP answers: JSON, and problems after RFC 9457 with a stable code."""

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import azure.functions as func

from orchestrator.domain.errors import ApiError, BusyError, InvalidRequestError
from orchestrator.domain.input_errors import InputError
from orchestrator.domain.ports import Durable

logger = logging.getLogger(__name__)

Handler = Callable[[func.HttpRequest, Durable], Awaitable[func.HttpResponse]]


class Route(NamedTuple):
    """One route of the API.

    Attributes:
        name: Stored name of its function.
        method: The HTTP method.
        path: Under ``/api``, with parameters in braces.
        handler: Answers it.
        is_open: Whether it may be called without a key.
    """

    name: str
    method: str
    path: str
    handler: Handler
    is_open: bool = False


def json_answer(
    body: Any, *, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> func.HttpResponse:
    """Answer with JSON that nobody may keep: a status is old at once."""
    return func.HttpResponse(
        json.dumps(body),
        status_code=status,
        mimetype="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> func.HttpResponse:
    """Answer with a problem."""
    body = {
        "type": f"urn:coldforge:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **more,
    }
    return func.HttpResponse(
        json.dumps(body),
        status_code=status,
        mimetype="application/problem+json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


async def answer(
    handler: Handler, request: func.HttpRequest, client: Durable
) -> func.HttpResponse:
    """Run a handler and turn whatever it raises into a problem.

    What was not anticipated is logged in full and told to the caller without its text, which could
    hold anything.
    """
    try:
        return await handler(request, client)
    except InputError as error:
        return problem(error.status, error.code, str(error), retryable=error.retryable)
    except BusyError as error:
        retry_after = {"Retry-After": str(error.retry_after_s)}
        return problem(error.status, error.code, str(error), headers=retry_after, retryable=True)
    except ApiError as error:
        return problem(error.status, error.code, str(error), retryable=False)
    except Exception:
        logger.exception("%s %s failed", request.method, request.url.partition("?")[0])
        return problem(
            500,
            "internal",
            "Something failed here that should not. The same request may be sent again.",
            retryable=True,
        )


def origin_of(request: func.HttpRequest) -> str:
    """Give scheme and host as the caller wrote them.

    Raises:
        InvalidRequestError: The Host header is malformed.
    """
    try:
        parts = urlsplit(request.url)
    except ValueError as error:
        raise InvalidRequestError("the Host header is malformed") from error
    return f"{parts.scheme}://{parts.netloc}"

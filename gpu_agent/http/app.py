"""The HTTP service: who may ask, what a refusal looks like, and the routes."""

import hmac
import logging
from collections.abc import Sequence

from flask import Flask, Response, json, request
from werkzeug.exceptions import HTTPException

from gpu_agent.errors import (
    InvalidRequestError,
    MethodError,
    RequestError,
    RequestTooLargeError,
    UnauthorizedError,
    UnknownRouteError,
)
from gpu_agent.http.metrics import Metrics
from gpu_agent.http.routes import build_routes
from gpu_agent.jobs.core import AgentCore

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024

_OPEN_ENDPOINTS = frozenset({"v1.tell_live"})


def create_app(
    *, core: AgentCore, metrics: Metrics, tokens: Sequence[str], max_polls: int = 56
) -> Flask:
    """Build the service. Starts nothing.

    Args:
        core: Decides and remembers.
        metrics: Rendered by ``/v1/metrics``.
        tokens: Bearer tokens that open every route; each is accepted.
        max_polls: Most long-polls that may hang at one time; keep it below the HTTP threads.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    accepted = [token.encode() for token in tokens]

    @app.before_request
    def check_token() -> None:
        if request.endpoint in _OPEN_ENDPOINTS:
            return
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        # Every token is compared, each in constant time: the answer's time tells nothing.
        matches = [hmac.compare_digest(shown.strip().encode(), token) for token in accepted]
        if scheme.lower() != "bearer" or not any(matches):
            raise UnauthorizedError("Show a valid token: Authorization: Bearer …")

    app.register_blueprint(build_routes(core, metrics, max_polls=max_polls))
    app.register_error_handler(RequestError, _tell_problem)
    app.register_error_handler(HTTPException, _tell_http_error)
    app.register_error_handler(Exception, _tell_unexpected)
    return app


def _tell_problem(error: RequestError) -> Response:
    body = {
        "type": f"urn:coldforge:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": str(error) or error.title,
        "code": error.code,
    }
    answer = Response(
        json.dumps(body), status=error.status, content_type="application/problem+json"
    )
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == UnauthorizedError.status:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _tell_http_error(error: HTTPException) -> Response:
    kinds: dict[int | None, type[RequestError]] = {
        404: UnknownRouteError,
        405: MethodError,
        413: RequestTooLargeError,
    }
    kind = kinds.get(error.code, InvalidRequestError)
    return _tell_problem(kind(error.description or kind.title))


def _tell_unexpected(error: Exception) -> Response:
    logger.error("request broke: %s %s", request.method, request.path, exc_info=error)
    return _tell_problem(RequestError("The agent failed unexpectedly; its log says why."))

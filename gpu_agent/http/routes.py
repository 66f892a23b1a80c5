"""Parse, call, answer: the wire's routes over the agent's services."""

import threading
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request

from gpu_agent.http.metrics import CONTENT_TYPE, Metrics
from gpu_agent.http.parsing import (
    parse_drain,
    parse_key,
    parse_lease,
    parse_poll,
    parse_submission,
)
from gpu_agent.jobs.core import AgentCore

Answer = tuple[Response, int]


def build_routes(core: AgentCore, metrics: Metrics, *, max_polls: int) -> Blueprint:
    """Build the routes.

    Args:
        core: Answers them.
        metrics: Rendered by ``/v1/metrics``.
        max_polls: Most long-polls that may hang at one time; one more is answered at once, so
            that there is always a thread left for everything else.
    """
    routes = Blueprint("v1", __name__, url_prefix="/v1")
    polls = threading.BoundedSemaphore(max_polls)

    @routes.put("/jobs/<job_id>/<fence>")
    def submit_job(job_id: str, fence: str) -> Answer:
        key = parse_key(job_id, fence)
        view, is_new = core.jobs.submit(key, parse_submission(request.get_data()))
        return _json(view.to_json(), 201 if is_new else 200)

    @routes.get("/jobs/<job_id>/<fence>")
    def read_job(job_id: str, fence: str) -> Answer:
        key = parse_key(job_id, fence)
        after, wait_s = parse_poll(request.args)
        may_wait = polls.acquire(blocking=False)
        try:
            with metrics.count_poll():
                view = core.polls.follow(key, after=after, wait_s=wait_s if may_wait else 0.0)
        finally:
            if may_wait:
                polls.release()
        return _json(view.to_json())

    @routes.delete("/jobs/<job_id>/<fence>")
    def cancel_job(job_id: str, fence: str) -> Answer:
        return _json(core.jobs.cancel(parse_key(job_id, fence)).to_json())

    @routes.get("/live")
    def tell_live() -> Answer:
        return _json({"live": True})

    @routes.get("/ready")
    def tell_ready() -> Answer:
        readiness = core.lifecycle.readiness()
        return _json(readiness.to_json(), 200 if readiness.ready else 503)

    @routes.get("/status")
    def tell_status() -> Answer:
        return _json(core.vm.status().to_json())

    @routes.put("/lease")
    def renew_lease() -> Answer:
        return _json(core.vm.renew_lease(parse_lease(request.get_data())).to_json())

    @routes.post("/drain")
    def drain() -> Answer:
        return _json(core.vm.drain(parse_drain(request.get_data())).to_json())

    @routes.get("/metrics")
    def tell_metrics() -> Response:
        return Response(metrics.render(core.vm), content_type=CONTENT_TYPE)

    return routes


def _json(body: Mapping[str, Any], status: int = 200) -> Answer:
    return jsonify(body), status

"""A Coldforge server that plays jobs from a script, for the client's tests."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.serving import WSGIRequestHandler, make_server

MODEL = b"glTF" + bytes(range(256)) * 500
PREVIEW = b"\x89PNG picture"
VM = {"name": "gpu-0", "phase": "starting", "since": 0, "stops_at": None, "why": "a job waits"}

WAITS: dict[str, Any] = {
    "state": "queued",
    "queue_position": 2,
    "waiting_for": "vm",
    "vm": VM,
    "estimated_seconds_left": 0.2,
}
RUNS: dict[str, Any] = {
    "state": "running",
    "stage": "shape",
    "percent": 40,
    "estimated_seconds_left": 0.2,
    "vm": {**VM, "phase": "ready"},
}
SUCCEEDS: dict[str, Any] = {"state": "succeeded", "percent": 100}
FAILS: dict[str, Any] = {
    "state": "failed",
    "error": {
        "code": "no_subject",
        "message": "There is nothing but background.",
        "retryable": False,
        "stage": "background",
    },
}
CANCELLED: dict[str, Any] = {"state": "cancelled"}


@dataclass
class FakeJob:
    """A job and what is left of its script; the last step stays."""

    job_id: str
    steps: list[Mapping[str, Any]]
    asked: dict[str, Any]

    def look(self) -> Mapping[str, Any]:
        return self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]


@dataclass
class FakeJobApi:
    """What the server will do next, and what it was asked.

    Attributes:
        script: Steps that each new job goes through, one a look.
        problem: Answered to every POST in place of a job: status, code, detail, Retry-After.
        drops_after_post: How many POSTs are carried out and then left without an answer.
        outages: How many requests of any kind are answered 503.
        artifacts: Name to bytes.
        corrupt_downloads: How many downloads are cut short.
        before_download: Called before each download.
        file_host: Origin that artifacts are redirected to, or None.
        requests: Method, path and headers of all that came.
    """

    script: list[Mapping[str, Any]] = field(default_factory=lambda: [WAITS, RUNS, SUCCEEDS])
    problem: tuple[int, str, str, str | None] | None = None
    drops_after_post: int = 0
    outages: int = 0
    retry_after_s: str | None = None
    artifacts: dict[str, bytes] = field(
        default_factory=lambda: {"model.glb": MODEL, "preview.png": PREVIEW}
    )
    corrupt_downloads: int = 0
    before_download: Callable[[], object] = lambda: None
    file_host: str | None = None
    requests: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    jobs: dict[str, FakeJob] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [method for method, _path, _headers in self.requests]

    def status_of(self, job: FakeJob) -> dict[str, Any]:
        step = job.look()
        is_done = step["state"] == "succeeded"
        return {
            "id": job.job_id,
            "stage": None,
            "percent": None,
            "queue_position": None,
            "estimated_seconds_left": None,
            "vm": None,
            "waiting_for": None,
            "error": None,
            "timings": {"created_at": 100.0, "started_at": 101.0, "ended_at": 131.0},
            "cost": {"usd": 0.0312} if is_done else None,
            "created_at": 100.0,
            "metadata": job.asked.get("metadata", {}),
            "figures": {"faces": 24312, "watertight": True} if is_done else None,
            "status_url": f"/api/jobs/{job.job_id}",
            "artifacts": [
                {
                    "name": name,
                    "url": f"/api/jobs/{job.job_id}/artifacts/{name}",
                    "content_type": "application/octet-stream",
                    "size_bytes": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "expires_at": 1e10,
                }
                for name, data in self.artifacts.items()
                if is_done
            ],
            **step,
        }

    def take(self, asked: dict[str, Any], key: str | None) -> FakeJob:
        if key in self.keys:
            return self.jobs[self.keys[key]]
        job = FakeJob(f"job{len(self.jobs) + 1}", list(self.script), asked)
        self.jobs[job.job_id] = job
        if key is not None:
            self.keys[key] = job.job_id
        return job


def problem(status: int, code: str, detail: str, retry_after: str | None = None) -> Response:
    answer = jsonify({"type": f"urn:{code}", "status": status, "code": code, "detail": detail})
    answer.status_code = status
    answer.content_type = "application/problem+json"
    if retry_after is not None:
        answer.headers["Retry-After"] = retry_after
    return answer


def create_app(api: FakeJobApi) -> Flask:
    app = Flask("fake_job_api")

    @app.before_request
    def note() -> Response | None:
        api.requests.append((request.method, request.full_path, dict(request.headers)))
        if api.outages > 0:
            api.outages -= 1
            return problem(503, "restarting", "The server restarts.")
        return None

    @app.post("/api/jobs")
    def post_job() -> Response:
        if api.problem is not None:
            return problem(*api.problem)
        if request.is_json:
            asked = dict(request.get_json())
        else:
            asked = dict(request.form)
            asked["image"] = request.files["image"].read()
            asked["file_name"] = request.files["image"].filename
        job = api.take(asked, request.headers.get("Idempotency-Key"))
        if api.drops_after_post > 0:
            api.drops_after_post -= 1
            request.environ["werkzeug.socket"].shutdown(2)
        answer = jsonify({"id": job.job_id, "status_url": f"{api.url}/api/jobs/{job.job_id}"})
        answer.status_code = 202
        answer.headers["Retry-After"] = "2"
        return answer

    @app.get("/api/jobs")
    def list_jobs() -> Response:
        found = [api.status_of(job) for job in reversed(api.jobs.values())]
        wanted = request.args.get("state")
        found = [job for job in found if wanted in (None, job["state"])]
        begin, limit = int(request.args.get("page", 0)), int(request.args.get("limit", 20))
        limit = min(limit, 2)
        following = str(begin + limit) if begin + limit < len(found) else None
        return jsonify({"jobs": found[begin : begin + limit], "next_page": following})

    @app.get("/api/jobs/<job_id>")
    def get_job(job_id: str) -> Response:
        if job_id not in api.jobs:
            return problem(404, "not_found", "There is no job under this id.")
        answer = jsonify(api.status_of(api.jobs[job_id]))
        if api.retry_after_s is not None:
            answer.headers["Retry-After"] = api.retry_after_s
        return answer

    @app.delete("/api/jobs/<job_id>")
    def delete_job(job_id: str) -> Response:
        if job_id not in api.jobs:
            return problem(404, "not_found", "There is no job under this id.")
        job = api.jobs[job_id]
        if job.steps[0]["state"] in ("succeeded", "failed"):
            return problem(409, "job_over", "The job is over already.")
        job.steps = [CANCELLED]
        answer = jsonify(api.status_of(job))
        answer.status_code = 202
        return answer

    @app.get("/api/jobs/<job_id>/artifacts/<name>")
    def get_artifact(job_id: str, name: str) -> Response:
        if api.file_host is not None:
            return redirect(f"{api.file_host}/files/{name}?sig=secret")
        return send(name)

    @app.get("/files/<name>")
    def get_file(name: str) -> Response:
        return send(name)

    def send(name: str) -> Response:
        api.before_download()
        data = api.artifacts[name]
        if api.corrupt_downloads > 0:
            api.corrupt_downloads -= 1
            data = data[: len(data) // 2]
        return Response(data, mimetype="application/octet-stream")

    @app.post("/api/batches")
    def post_batch() -> Response:
        if request.is_json:
            images: list[Any] = request.get_json()["images"]
        else:
            images = [file.read() for file in request.files.getlist("image")]
        jobs = [api.take({"image": image}, None) for image in images]
        items = [{"number": n, "job_id": job.job_id} for n, job in enumerate(jobs, start=1)]
        answer = jsonify({"id": "batch1", "status_url": "/api/batches/batch1", "items": items})
        answer.status_code = 202
        return answer

    @app.get("/api/batches/<batch_id>")
    def get_batch(batch_id: str) -> Response:
        items = [api.status_of(job) for job in api.jobs.values()]
        is_over = all(item["state"] == "succeeded" for item in items)
        return jsonify({"id": batch_id, "state": "over" if is_over else "running", "items": items})

    @app.get("/api/pool")
    def get_pool() -> Response:
        return jsonify(
            {
                "now": 1000.0,
                "vms": [
                    {
                        "name": "gpu-0",
                        "phase": "ready",
                        "since": 940.0,
                        "epoch": 3,
                        "slots": ["job1"],
                        "stops_at": 1300.0,
                        "why": "idle window",
                        "billed_seconds": 60,
                        "cost_usd": 0.061,
                    }
                ],
                "queue": [{"job_id": "job2", "position": 1, "since": 990.0}],
                "totals": {"billed_seconds": 60, "cost_usd": 0.061},
            }
        )

    return app


class _SilentHandler(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        return


@contextmanager
def serving(api: FakeJobApi) -> Iterator[FakeJobApi]:
    """Serve on the port that `api` names, or on a free one, which it names from then on."""
    server = make_server(
        "127.0.0.1", api.port, create_app(api), threaded=True, request_handler=_SilentHandler
    )
    api.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

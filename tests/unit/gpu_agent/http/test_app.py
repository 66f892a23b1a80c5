import json
import logging
import re

import pytest
from flask.testing import FlaskClient

from gpu_agent.host.logs import JsonFormatter
from gpu_agent.http.app import create_app
from gpu_agent.http.metrics import Metrics
from gpu_agent.wire import AgentStatus, DrainAnswer, JobView, Readiness

TOKEN = {"Authorization": "Bearer token"}
JOB = {
    "epoch": 3,
    "input_path": "jobs/jobs/a/input.png",
    "output_prefix": "jobs/jobs/a/1/",
    "manifest_path": "jobs/jobs/a/manifest.json",
}


@pytest.fixture
def client(bench) -> FlaskClient:
    """Give a client that shows the token, and an agent whose engine waits for the test."""
    bench.engine.may_finish.clear()
    bench.store.files["jobs/jobs/a/input.png"] = b"png"
    app = create_app(
        core=bench.core, metrics=Metrics(), tokens=["token", "token-before"], max_polls=2
    )
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer token"
    return client


def problem_of(answer) -> tuple[int, str]:
    assert answer.content_type == "application/problem+json"
    assert answer.json["status"] == answer.status_code
    assert {"type", "title", "detail"} <= set(answer.json)
    return answer.status_code, answer.json["code"]


class TestToken:
    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer wrong", "Bearer token2", "Basic token", "token", "Bearer tokän"],
    )
    def test_is_asked_for_everywhere_but_at_live(self, client: FlaskClient, header: str):
        rules = [r for r in client.application.url_map.iter_rules() if r.endpoint != "static"]
        assert len(rules) == 9
        for rule in rules:
            path = rule.rule.replace("<job_id>", "a").replace("<fence>", "1")
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                answer = client.open(
                    path, method=method, environ_overrides={"HTTP_AUTHORIZATION": header}
                )
                expected = 200 if path == "/v1/live" else 401
                assert answer.status_code == expected, (method, path)

    def test_may_be_the_one_before(self, client: FlaskClient):
        answer = client.get(
            "/v1/status", environ_overrides={"HTTP_AUTHORIZATION": "Bearer token-before"}
        )

        assert answer.status_code == 200

    def test_is_no_way_to_find_out_routes(self, client: FlaskClient):
        answer = client.get("/v2/x", environ_overrides={"HTTP_AUTHORIZATION": ""})

        assert problem_of(answer) == (401, "unauthorized")


class TestJobs:
    def test_are_made_joined_read_and_cancelled(self, client: FlaskClient):
        made = client.put("/v1/jobs/a/1", json=JOB)
        joined = client.put("/v1/jobs/a/1", json=JOB)
        read = client.get("/v1/jobs/a/1")
        cancelled = client.delete("/v1/jobs/a/1")
        again = client.put("/v1/jobs/a/1", json=JOB)

        assert [a.status_code for a in (made, joined, read, cancelled, again)] == [
            201,
            200,
            200,
            200,
            200,
        ]
        assert JobView.from_json(made.json).state == "queued"
        assert JobView.from_json(cancelled.json).state == "cancelled"
        assert JobView.from_json(again.json).state == "cancelled"

    def test_may_be_cancelled_before_they_come(self, client: FlaskClient):
        client.delete("/v1/jobs/a/1")

        answer = client.put("/v1/jobs/a/1", json=JOB)

        assert (answer.status_code, answer.json["state"]) == (200, "cancelled")

    def test_are_refused_when_full_with_a_time_to_come_back(self, client: FlaskClient):
        for job_id in "ab":
            assert client.put(f"/v1/jobs/{job_id}/1", json=JOB).status_code == 201

        answer = client.put("/v1/jobs/c/1", json=JOB)

        assert problem_of(answer) == (429, "full")
        assert int(answer.headers["Retry-After"]) > 0

    @pytest.mark.parametrize(
        ("path", "body", "expected"),
        [
            ("/v1/jobs/a/0", JOB, (409, "stale_fence")),
            ("/v1/jobs/b/1", {**JOB, "epoch": 2}, (409, "stale_epoch")),
            ("/v1/jobs/b.c/1", JOB, (400, "invalid_request")),
            ("/v1/jobs/b/x", JOB, (400, "invalid_request")),
            ("/v1/jobs/b/1", {}, (400, "invalid_request")),
        ],
    )
    def test_are_refused_by_code(self, client: FlaskClient, path: str, body, expected):
        client.put("/v1/jobs/a/1", json=JOB)

        assert problem_of(client.put(path, json=body)) == expected

    def test_can_be_unknown(self, client: FlaskClient):
        assert problem_of(client.get("/v1/jobs/nobody/1")) == (404, "unknown_job")

    def test_are_refused_when_the_body_is_endless(self, client: FlaskClient):
        answer = client.put("/v1/jobs/a/1", data=b" " * 2_000_000)

        assert problem_of(answer) == (413, "invalid_request")


class TestTheRest:
    def test_drains_and_reopens(self, client: FlaskClient):
        drained = client.post("/v1/drain", json={"epoch": 3, "drain": 1})
        refused = client.put("/v1/jobs/a/1", json=JOB)
        unready = client.get("/v1/ready")
        leased = client.put("/v1/lease", json={"epoch": 4, "ttl_s": 60})
        ready = client.get("/v1/ready")

        assert DrainAnswer.from_json(drained.json).drained
        assert problem_of(refused) == (409, "draining")
        assert (unready.status_code, Readiness.from_json(unready.json).phase) == (503, "draining")
        assert AgentStatus.from_json(leased.json).epoch == 4
        assert (ready.status_code, ready.json["ready"]) == (200, True)

    def test_closes_for_good(self, client: FlaskClient):
        client.post("/v1/drain", json={"epoch": 3, "drain": 1, "final": True})

        assert problem_of(client.put("/v1/jobs/a/1", json=JOB)) == (409, "closed")
        assert problem_of(client.put("/v1/lease", json={"epoch": 9, "ttl_s": 60})) == (
            409,
            "closed",
        )
        assert problem_of(client.put("/v1/jobs/a/1", json={**JOB, "epoch": 9})) == (409, "closed")

    def test_shows_figures(self, client: FlaskClient, bench):
        client.put("/v1/jobs/a/1", json=JOB)
        client.put("/v1/lease", json={"epoch": 3, "ttl_s": 60})
        assert bench.engine.entered.acquire(timeout=10)

        text = client.get("/v1/metrics").text

        assert 'gpu_agent_jobs{state="running"} 1.0' in text
        assert "gpu_agent_epoch 3.0" in text
        (left,) = re.findall(r"(?m)^gpu_agent_lease_left_seconds (\S+)$", text)
        assert 30.0 < float(left) <= 60.0

    @pytest.mark.parametrize(
        ("method", "path", "expected"),
        [("GET", "/v1/nothing", 404), ("POST", "/v1/status", 405)],
    )
    def test_tells_a_problem_for_no_route(
        self, client: FlaskClient, method: str, path: str, expected: int
    ):
        assert problem_of(client.open(path, method=method))[0] == expected

    def test_tells_a_problem_without_details_when_it_breaks(
        self, client: FlaskClient, bench, monkeypatch: pytest.MonkeyPatch
    ):
        def break_down() -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(bench.core.vm, "status", break_down)

        answer = client.get("/v1/status")

        assert problem_of(answer) == (500, "internal")
        assert "secret" not in answer.text


class TestLogs:
    def test_write_one_line_of_json(self):
        record = logging.makeLogRecord(
            {"name": "x", "levelname": "INFO", "msg": "a\nb %s", "args": ("c",), "job_id": "j"}
        )

        line = JsonFormatter().format(record)

        assert "\n" not in line
        assert json.loads(line)["message"] == "a\nb c"
        assert json.loads(line)["job_id"] == "j"

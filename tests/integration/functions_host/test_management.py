from urllib.parse import urlsplit

import pytest
import requests

PUBLIC = "/runtime/webhooks/durabletask"


class TestKeys:
    def test_the_public_mount_asks_for_the_key(self, shared_host):
        assert shared_host.get(f"{PUBLIC}/instances/").status_code == 401
        assert shared_host.get(f"{PUBLIC}/instances/?code=wrong").status_code == 401

    def test_the_links_of_a_start_carry_it(self, shared_host):
        links = shared_host.post("/api/start/chain").json()

        shared_host.wait_for(links["id"])

        assert requests.get(links["statusQueryGetUri"], timeout=30).json()["output"]

    def test_it_is_the_same_after_a_restart(self, make_host):
        host = make_host()
        host.start()
        link = host.post("/api/start/chain").json()["statusQueryGetUri"]
        host.stop()
        host.start()

        parts = urlsplit(link)
        assert host.get(f"{parts.path}?{parts.query}").status_code in (200, 202)


class TestStart:
    def test_a_client_needs_nothing_but_location(self, shared_host):
        reply = shared_host.post("/durabletask/orchestrators/chain", ["a"])
        location = reply.headers["Location"]

        page = shared_host.until(
            lambda: requests.get(location, timeout=30), lambda page: page.status_code != 202
        )

        assert reply.status_code == 202
        assert reply.headers["Retry-After"] == "10"
        assert "rewindPostUri" not in reply.json()
        assert page.status_code == 200
        assert page.json()["runtimeStatus"] in ("Completed", "Failed")

    def test_waits_for_the_output_when_asked(self, shared_host):
        reply = shared_host.post("/durabletask/orchestrators/plain?timeout=20", {"a": 1})

        assert reply.status_code == 200
        assert reply.json() == {"input": {"a": 1}}

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("orchestrators/nobody", "1"),
            ("orchestrators/greet", "1"),
            ("orchestrators/chain", "{broken"),
            ("orchestrators/chain/@x", "1"),
            ("orchestrators/chain/" + "x" * 257, "1"),
            ("instances/a/raiseEvent/e", "{broken"),
            ("entities/nobody/k?op=add", "1"),
        ],
    )
    def test_refuses_with_what_the_sdk_reads(self, shared_host, path, body):
        reply = requests.post(
            f"{shared_host.url}/durabletask/{path}",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=30,
        )

        assert reply.status_code == 400
        assert reply.json()["ExceptionMessage"]


class TestInstances:
    def test_shows_input_unless_told_otherwise(self, shared_host):
        instance_id = shared_host.begin("plain", {"a": 1})
        shared_host.wait_for(instance_id)

        shown = shared_host.get(f"/durabletask/instances/{instance_id}").json()
        hidden = shared_host.get(f"/durabletask/instances/{instance_id}?showInput=false").json()

        assert shown["input"] == '{"a": 1}'
        assert hidden["input"] is None
        assert shown["createdTime"].endswith("Z")
        assert len(shown["createdTime"]) == 20

    def test_folds_orders_into_their_answers(self, shared_host):
        instance_id = shared_host.begin("chain", ["a"])
        shared_host.wait_for(instance_id)

        events = shared_host.get(
            f"/durabletask/instances/{instance_id}?showHistory=true&showHistoryOutput=true"
        ).json()["historyEvents"]

        assert [event["EventType"] for event in events] == [
            "ExecutionStarted",
            "TaskCompleted",
            "ExecutionCompleted",
        ]
        assert events[1]["FunctionName"] == "greet"
        assert events[1]["Result"] == "hello a"
        assert events[2]["OrchestrationStatus"] == "Completed"

    def test_answers_500_for_a_failure_when_asked(self, shared_host):
        instance_id = shared_host.begin("raises")
        shared_host.wait_for(instance_id)
        path = f"/durabletask/instances/{instance_id}"

        assert shared_host.get(path).status_code == 200
        assert (
            shared_host.get(f"{path}?returnInternalServerErrorOnFailure=true").status_code == 500
        )

    def test_lists_by_pages(self, shared_host):
        for n in range(5):
            shared_host.begin("plain", 1, instance_id=f"paged-{n}")
        seen, token = [], ""
        while True:
            page = shared_host.get(
                "/durabletask/instances?instanceIdPrefix=paged-&top=2",
                headers={"x-ms-continuation-token": token},
            )
            seen += [one["instanceId"] for one in page.json()]
            token = page.headers["x-ms-continuation-token"]
            if not token:
                break

        assert seen == [f"paged-{n}" for n in range(5)]

    def test_lists_through_the_client(self, shared_host):
        instance_id = shared_host.begin("plain", 1, instance_id="0-listed")

        assert instance_id in shared_host.get("/api/clients").json()

    @pytest.mark.parametrize("operation", ["terminate", "suspend", "resume", "raiseEvent/e"])
    def test_what_is_over_or_unknown_takes_nothing(self, shared_host, operation):
        instance_id = shared_host.begin("plain")
        shared_host.wait_for(instance_id)

        over = shared_host.post(f"/durabletask/instances/{instance_id}/{operation}")
        unknown = shared_host.post(f"/durabletask/instances/unknown/{operation}")

        assert over.status_code == 410
        assert unknown.status_code == 404

    def test_purges_by_time_and_status(self, make_host):
        host = make_host()
        host.start()
        for n in range(3):
            host.wait_for(host.begin("plain", n))
        alive = host.begin("approval", 600)

        refused = requests.delete(f"{host.url}/durabletask/instances/", timeout=30)
        purged = requests.delete(
            f"{host.url}/durabletask/instances/?createdTimeFrom=1-01-01T00:00:00.000000Z",
            timeout=30,
        )
        again = requests.delete(
            f"{host.url}/durabletask/instances/?createdTimeFrom=2020-01-01", timeout=30
        )

        assert refused.status_code == 400
        assert purged.json() == {"instancesDeleted": 3}
        assert again.status_code == 404
        assert host.status(alive)["runtimeStatus"] == "Running"

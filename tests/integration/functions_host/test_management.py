from urllib.parse import urlsplit

import pytest
import requests

PUBLIC = "/runtime/webhooks/durabletask"
REWOUND = {"Completed": "plain", "Running": "approval", "Failed": "raises"}


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
        reply = shared_host.post(
            "/durabletask/orchestrators/plain?timeout=20&pollingInterval=1", {"a": 1}
        )

        assert reply.status_code == 200
        assert reply.json() == {"input": {"a": 1}}

    def test_waits_only_when_told_how_often_to_look(self, shared_host):
        path = "/durabletask/orchestrators/approval"

        plain = shared_host.post(f"{path}?timeout=600", "600")
        ended = shared_host.post(f"{path}?timeout=0.05&pollingInterval=0.01", "600")
        odd = shared_host.post(f"{path}?timeout=1&pollingInterval=2", "600")

        assert (plain.status_code, ended.status_code, odd.status_code) == (202, 202, 400)
        assert ended.json()["id"]

    def test_shows_the_status_of_one_that_failed_meanwhile(self, shared_host):
        reply = shared_host.post("/durabletask/orchestrators/raises?timeout=20&pollingInterval=1")

        assert reply.status_code == 200
        assert reply.json()["runtimeStatus"] == "Failed"

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("orchestrators/nobody", "1"),
            ("orchestrators/greet", "1"),
            ("orchestrators/chain", "{broken"),
            ("orchestrators/chain/@x", "1"),
            ("orchestrators/chain/" + "x" * 257, "1"),
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

    def test_pages_of_entities_too(self, shared_host):
        for n in range(3):
            shared_host.post(f"/durabletask/entities/counter/paged-{n}?op=add", "1")
        read = lambda: shared_host.get("/durabletask/entities/Counter?top=1000").json()  # noqa: E731
        shared_host.until(
            read, lambda page: sum("paged-" in one["entityId"]["key"] for one in page) == 3
        )

        page = shared_host.get("/durabletask/entities/counter?top=2&fetchState=true")
        later = shared_host.get("/durabletask/entities?lastOperationTimeFrom=2999-01-01")
        earlier = shared_host.get("/durabletask/entities?lastOperationTimeTo=2020-01-01")

        assert len(page.json()) == 2
        assert page.headers["x-ms-continuation-token"]
        assert set(page.json()[0]) == {"entityId", "lastOperationTime", "state"}
        assert later.json() == earlier.json() == []

    def test_filters_by_time_and_status(self, shared_host):
        shared_host.wait_for(shared_host.begin("plain", 1, instance_id="timed-over"))
        shared_host.begin("approval", 600, instance_id="timed-open")
        shared_host.wait_for("timed-open", "Running")

        def find(query):
            page = shared_host.get(f"/durabletask/instances?instanceIdPrefix=timed-&{query}")
            return [one["instanceId"] for one in page.json()]

        assert find("") == ["timed-open", "timed-over"]
        assert find("runtimeStatus=Completed,Failed") == ["timed-over"]
        assert find("runtimeStatus=0") == ["timed-open"]
        assert find("createdTimeFrom=2999-01-01") == []
        assert find("createdTimeTo=2020-01-01") == []
        assert find("createdTimeFrom=soon&runtimeStatus=odd&top=x") == find("")

    def test_hides_inputs_of_a_list_when_told(self, shared_host):
        shared_host.begin("plain", {"a": 1}, instance_id="hidden-1")

        page = shared_host.get("/durabletask/instances?instanceIdPrefix=hidden-&showInput=false")

        assert [one["input"] for one in page.json()] == [None]

    def test_a_running_one_says_where_and_when_to_ask_again(self, shared_host):
        instance_id = shared_host.begin("approval", 600)
        url = f"/durabletask/instances/{instance_id}?showHistory=true"

        reply = shared_host.until(
            lambda: shared_host.get(url),
            lambda reply: reply.json()["runtimeStatus"] == "Running",
        )

        assert reply.status_code == 202
        assert reply.headers["Location"] == f"{shared_host.url}{url}"
        assert reply.headers["Retry-After"] == "5"
        assert [one["EventType"] for one in reply.json()["historyEvents"]] == [
            "ExecutionStarted",
            "TimerCreated",
        ]
        assert shared_host.get("/durabletask/instances/unknown").status_code == 404

    def test_shows_a_history_only_when_asked(self, shared_host):
        instance_id = shared_host.begin("plain")

        assert "historyEvents" not in shared_host.wait_for(instance_id)

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


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "orchestrators/plain"),
            ("DELETE", "orchestrators/plain/x"),
            ("POST", "instances"),
            ("PUT", "instances/x"),
            ("GET", "instances/x/terminate"),
            ("DELETE", "instances/x/raiseEvent/e"),
            ("POST", "instances/x/other"),
            ("PUT", "entities/counter/k"),
            ("GET", ""),
            ("GET", "unknown"),
        ],
    )
    def test_answer_404_to_another_verb_or_path(self, shared_host, method, path):
        reply = requests.request(method, f"{shared_host.url}/durabletask/{path}", timeout=30)

        assert reply.status_code == 404

    def test_ignore_case(self, shared_host):
        reply = shared_host.post("/durabletask/Orchestrators/PLAIN/cased")
        shared_host.wait_for("cased")

        assert reply.status_code == 202
        assert shared_host.get("/durabletask/INSTANCES/cased").status_code == 200
        assert shared_host.post("/durabletask/instances/cased/TERMINATE").status_code == 410


class TestEvents:
    @pytest.fixture
    def waiting(self, shared_host):
        instance_id = shared_host.begin("events")
        shared_host.wait_for(instance_id, "Running")
        return f"{shared_host.url}/durabletask/instances/{instance_id}/raiseEvent"

    @pytest.mark.parametrize(
        ("body", "kind"),
        [("{}", "text/plain"), ("{}", None), ("{broken", "application/json"), ("", None)],
    )
    def test_are_json_and_say_so(self, waiting, body, kind):
        headers = {} if kind is None else {"Content-Type": kind}

        reply = requests.post(f"{waiting}/first", data=body, headers=headers, timeout=30)

        assert reply.status_code == 400
        assert reply.json()["ExceptionMessage"]

    def test_to_nobody_are_not_even_read(self, shared_host):
        reply = requests.post(
            f"{shared_host.url}/durabletask/instances/unknown/raiseEvent/e",
            data="{broken",
            timeout=30,
        )

        assert reply.status_code == 404

    def test_that_nobody_waits_for_harm_nothing(self, shared_host, waiting):
        for name in ("other", "first", "second"):
            assert requests.post(f"{waiting}/{name}", json=name, timeout=30).status_code == 202

        instance_id = waiting.split("/")[-2]
        assert shared_host.wait_for(instance_id)["output"] == ["first", "second"]


class TestEntityRoutes:
    def test_refuse_an_entity_that_the_app_has_not(self, shared_host):
        assert shared_host.get("/durabletask/entities/nobody/k").status_code == 400
        assert shared_host.get("/durabletask/entities/counter/nobody").status_code == 404

    def test_delete_by_an_operation(self, shared_host):
        url = "/durabletask/entities/Counter/short-lived"
        shared_host.post(f"{url}?op=add", "3")
        value = shared_host.until(lambda: shared_host.get(url), lambda r: r.status_code == 200)

        reply = requests.delete(f"{shared_host.url}{url}", timeout=30)

        assert value.json() == 3
        assert reply.status_code == 202
        shared_host.until(lambda: shared_host.get(url), lambda r: r.status_code == 404)

    def test_take_an_empty_key(self, shared_host):
        assert shared_host.post("/durabletask/entities/counter?op=add", "4").status_code == 202

        reply = shared_host.until(
            lambda: shared_host.get("/durabletask/entities/counter/$"),
            lambda reply: reply.status_code == 200,
        )

        assert reply.json() == 4


class TestCodes:
    """What the releases of the extension answer to the same mistakes."""

    @pytest.fixture(params=["newest", "2024"])
    def release(self, request):
        """Gives a host and the name of the release whose codes it keeps."""
        name = {"newest": "shared_host", "2024": "host_of_2024"}[request.param]
        return request.getfixturevalue(name), request.param

    def test_of_a_start_of_a_live_id(self, release):
        host, name = release
        instance_id = host.begin("approval", 600)

        reply = host.post(f"/durabletask/orchestrators/approval/{instance_id}")

        assert reply.status_code == {"newest": 409, "2024": 500}[name]
        assert "already exists" in reply.text
        assert set(reply.json()) >= {"Message"}

    def test_of_a_restart_of_a_live_id(self, release):
        host, name = release
        instance_id = host.begin("approval", 600)
        url = f"/durabletask/instances/{instance_id}/restart?restartWithNewInstanceId="

        kept, renewed = host.post(f"{url}false"), host.post(f"{url}true")

        assert kept.status_code == {"newest": 409, "2024": 500}[name]
        assert renewed.status_code == 202
        assert renewed.json()["id"] != instance_id
        assert host.post("/durabletask/instances/unknown/restart").status_code == 400

    def test_of_a_purge_of_a_live_one(self, release):
        host, name = release
        instance_id = host.begin("approval", 600)
        url = f"{host.url}/durabletask/instances/{instance_id}"

        reply = requests.delete(url, timeout=30)

        assert reply.status_code == {"newest": 412, "2024": 200}[name]
        assert requests.get(url, timeout=30).status_code == {"newest": 202, "2024": 404}[name]
        assert requests.delete(f"{url}-not", timeout=30).status_code == 404

    def test_of_a_rewind(self, release):
        host, name = release
        ids = {state: host.begin(app) for state, app in REWOUND.items()}
        for state, instance_id in ids.items():
            host.wait_for(instance_id, state)

        codes = {
            state: host.post(f"/durabletask/instances/{instance_id}/rewind?reason=x").status_code
            for state, instance_id in ids.items()
        }

        assert host.post("/durabletask/instances/unknown/rewind").status_code == 404
        assert (
            codes
            == {
                "newest": {"Completed": 412, "Running": 412, "Failed": 501},
                "2024": {"Completed": 410, "Running": 500, "Failed": 501},
            }[name]
        )

import socket

import pytest
import requests


class TestHttpTriggers:
    def test_hands_over_query_route_headers_and_body(self, shared_host):
        reply = requests.put(
            f"{shared_host.url}/api/echo/7?a=1&empty=&b=two",
            data=b"x" * 1000,
            headers={"X-Sample": "s"},
            timeout=30,
        )

        assert reply.status_code == 201
        assert reply.json() == {
            "method": "PUT",
            "params": {"a": "1", "b": "two"},
            "route": {"number": "7"},
            "header": "s",
            "encoding": None,
            "bytes": 1000,
            "function": "echo",
            "setting": "hello from the settings",
        }

    def test_hands_over_no_chunked_body_as_azures_host(self, shared_host):
        """Azure's reads a body only if Content-Length is above 0; the headers arrive."""
        reply = requests.put(f"{shared_host.url}/api/echo", data=iter([b"x" * 1000]), timeout=30)

        assert (reply.json()["encoding"], reply.json()["bytes"]) == ("chunked", 0)

    def test_sends_every_cookie(self, shared_host):
        reply = shared_host.get("/api/echo")

        assert reply.raw.headers.getlist("Set-Cookie") == ["a=1; Path=/", "b=2; HttpOnly"]

    def test_takes_a_large_body(self, shared_host):
        reply = requests.put(
            f"{shared_host.url}/api/echo", data=b"x" * (60 * 1024 * 1024), timeout=60
        )

        assert reply.json()["bytes"] == 60 * 1024 * 1024

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/api/echo/abc", 404),
            ("POST", "/api/echo", 404),
            ("GET", "/echo", 404),
            ("GET", "/api/nothing", 404),
            ("GET", "/api/fails", 500),
            ("GET", "/api/silent", 500),
            ("GET", "/API/Echo", 201),
        ],
    )
    def test_answers_with_the_status_that_azure_gives(self, shared_host, method, path, status):
        reply = requests.request(method, f"{shared_host.url}{path}", timeout=30)

        assert reply.status_code == status
        assert "secret" not in reply.text
        assert "eyes" not in reply.text

    def test_a_catch_all_takes_slashes(self, shared_host):
        assert shared_host.get("/api/files/a/b%20c").text == "a/b c"
        assert shared_host.get("/api/files").text == "nothing"

    def test_survives_a_caller_that_hangs_up(self, shared_host):
        host, port = shared_host.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(b"PUT /api/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\nabc")

        assert shared_host.get("/api/echo").status_code == 201


class TestAdmin:
    def test_tells_that_it_runs(self, shared_host):
        assert shared_host.get("/admin/host/status").json()["state"] == "Running"
        assert shared_host.get("/admin/host/ping").status_code == 200

    def test_runs_a_timer_function_once(self, shared_host):
        before = shared_host.count("nightly")

        reply = shared_host.post("/admin/functions/nightly", {"input": ""})

        assert reply.status_code == 202
        shared_host.until(lambda: shared_host.count("nightly"), lambda count: count > before)

    def test_knows_no_other_function(self, shared_host):
        assert shared_host.post("/admin/functions/nobody", {"input": ""}).status_code == 404

import gzip
import json
import socket

import pytest
import requests

UNKNOWN_CHARSET = b"Content-Type: text/plain; charset=nonsense\r\nContent-Length: 2\r\n\r\n{}"


def send(host, request_line, lines):
    """Send bytes that no client library would; returns status, head and body."""
    address, port = host.url.removeprefix("http://").split(":")
    named = b"" if lines.startswith(b"Host:") else b"Host: x\r\n"
    with socket.create_connection((address, int(port)), timeout=30) as caller:
        caller.sendall(
            request_line + b" HTTP/1.1\r\nConnection: close\r\n" + named + lines + b"\r\n\r\n"
        )
        with caller.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    return int(head.split()[1]), head + b"\r\n", body


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

    def test_takes_a_compressed_body_as_it_was_sent(self, shared_host):
        body = gzip.compress(b"x" * 1000, mtime=0)

        reply = requests.put(
            f"{shared_host.url}/api/echo",
            data=body,
            headers={"Content-Encoding": "gzip"},
            timeout=30,
        )

        assert reply.json()["bytes"] == len(body)

    @pytest.mark.parametrize(
        ("query", "params"),
        [
            ("q=1&q=2", {"q": "1,2"}),
            ("q=1&Q=2", {"q": "1,2"}),
            ("q=&q=2", {"q": ",2"}),
            ("q=", {}),
        ],
    )
    def test_joins_what_a_query_names_more_than_once(self, shared_host, query, params):
        assert shared_host.get(f"/api/echo?{query}").json()["params"] == params

    @pytest.mark.parametrize(
        ("lines", "value"),
        [
            (b"X-Sample: 1\r\nx-sample: 2", "1,2"),
            (b"X-Sample: \xc3\xa9\xe2\x82\xac", "é€"),
            (b"X-Sample: \xff\xfe", "ÿþ"),
        ],
    )
    def test_hands_over_a_header_as_text_whatever_its_bytes(self, shared_host, lines, value):
        status, head, body = send(shared_host, b"GET /api/echo", lines)

        assert status == 201
        # As ASCII, so that pytest can print a difference that no text can hold.
        assert ascii(json.loads(body)["header"]) == ascii(value)
        assert f"X-Sample: {value}\r\n".encode() in head

    @pytest.mark.parametrize(
        ("request_line", "lines", "status"),
        [
            (b"GET /api/echo", b"Host: \xff", 400),
            (b"GET /api/echo", b"Host: a b:c", 400),
            (b"PUT /api/echo", b"Transfer-Encoding: chunked\r\n\r\nno number", 400),
            (b"GET /runtime/webhooks/durabletask/instances", b"x-functions-key: \xff", 401),
            (b"POST /durabletask/orchestrators/chain", UNKNOWN_CHARSET, 400),
            (b"POST /admin/functions/nightly", UNKNOWN_CHARSET, 400),
        ],
    )
    def test_no_request_breaks_the_host(self, shared_host, request_line, lines, status):
        assert send(shared_host, request_line, lines)[0] == status


class TestAdmin:
    def test_tells_that_it_runs(self, shared_host):
        assert shared_host.get("/admin/host/status").json()["state"] == "Running"
        assert shared_host.get("/admin/host/ping").status_code == 200

    def test_runs_a_timer_function_once(self, shared_host):
        before = shared_host.count("nightly")

        reply = shared_host.post("/admin/functions/nightly", {"input": ""})

        assert reply.status_code == 202
        shared_host.until(lambda: shared_host.count("nightly"), lambda count: count > before)

    def test_lists_functions(self, shared_host):
        listed = {one["name"]: one for one in shared_host.get("/admin/functions").json()}

        echo = listed["echo"]
        assert echo["invoke_url_template"] == f"{shared_host.url}/api/echo/{{number:int?}}"
        assert echo["isDisabled"] is False
        assert echo["config"]["bindings"][0] == {
            "direction": "in",
            "type": "httpTrigger",
            "name": "req",
            "methods": ["GET", "PUT"],
            "authLevel": "ANONYMOUS",
            "route": "echo/{number:int?}",
        }
        assert listed["nightly"]["invoke_url_template"] is None
        assert shared_host.get("/admin/functions/Echo").json() == echo

    def test_knows_no_other_function(self, shared_host):
        assert shared_host.get("/admin/functions/nobody").status_code == 404
        assert shared_host.post("/admin/functions/nobody", {"input": ""}).status_code == 404

import io
import socket
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from benchmarks.agent.live import ask_until_closed


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    """Answer on a port that the kernel chooses."""
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _closed_input(monkeypatch):
    """The round is over before the first request is due."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


class TestAskUntilClosed:
    def test_asks_once_although_the_round_is_over_already(self):
        with serving() as address:
            asked = ask_until_closed(address, "/live")

        assert len(asked) == 1
        assert all(late_s >= 0 and answered_s > 0 for late_s, answered_s in asked)

    def test_tells_of_no_sample_where_no_server_answers(self):
        with socket.socket() as held:
            # Bound, so that nobody else answers there, and deaf.
            held.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{held.getsockname()[1]}"

            assert ask_until_closed(address, "/live") == []

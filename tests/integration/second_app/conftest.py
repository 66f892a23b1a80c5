"""The second app as its users meet it: a host process, its URLs, and what the depot wrote down."""

import os
import sys
import time
from pathlib import Path

import pytest
import requests

from localcloud.component import Component
from localcloud.ports import choose_free_ports

ROOT = Path(__file__).parents[3]
APP = ROOT / "tests" / "second_app"


class Depot:
    """The app under ``python -m localcloud.functions_host``, which a test may kill."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        port = choose_free_ports(1)[0]
        self.url = f"http://127.0.0.1:{port}"
        self._ledger = folder / "ledger"
        self._log = folder / "host.log"
        self._host = Component(
            name="functions host",
            command=[
                *(sys.executable, "-m", "localcloud.functions_host", str(APP)),
                *("--port", str(port), "--data", str(folder / "data")),
                *arguments,
            ],
            environ={**os.environ, "DEPOT_FOLDER": str(self._ledger), "DEPOT_HUB": "depothub"},
            cwd=ROOT,
            log=self._log,
            probe=lambda: requests.get(f"{self.url}/admin/host/ping", timeout=5).ok,
        )

    def start(self) -> None:
        self._host.start()
        self._host.wait_until_ready()

    def kill(self) -> None:
        """End the host as ``kill -9`` does."""
        self._host.kill()

    def kill_and_start(self) -> None:
        self.kill()
        self.start()

    def call(self, method: str, path: str, **options) -> requests.Response:
        """Call a route of the app."""
        return requests.request(method, f"{self.url}/depot/v2/{path}", timeout=30, **options)

    def begin(self, path: str, **options) -> requests.Response:
        """Begin something long; the answer says where to look."""
        answer = self.call("POST", path, **options)
        assert answer.status_code == 202, (answer.status_code, answer.text, self.log[-2000:])
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Location"] == answer.json()["statusQueryGetUri"]
        return answer

    def follow(self, begun: requests.Response, *, limit_s: float = 30.0) -> dict:
        """Poll ``Location`` for as long as it answers 202, as any HTTP client would."""
        url = begun.headers["Location"]
        ended = self.until(
            lambda: requests.get(url, timeout=30),
            lambda answer: answer.status_code != 202,
            limit_s=limit_s,
        )
        assert ended.status_code == 200, ended.text
        return ended.json()

    def run(self, path: str, **options):
        """Begin something and give its output."""
        status = self.follow(self.begin(path, **options))
        assert status["runtimeStatus"] == "Completed", status
        return status["output"]

    def wait_for_custom_status(self, begun: requests.Response, is_wanted) -> None:
        """Wait until the instance shows what is wanted."""
        self.until(
            lambda: requests.get(begun.json()["statusQueryGetUri"], timeout=30).json(),
            lambda status: is_wanted(status["customStatus"]),
        )

    def page(self, name: str) -> list[str]:
        """Read what the activities have written under a name."""
        page = self._ledger / name
        return page.read_text().splitlines() if page.exists() else []

    def until(self, read, is_enough, *, limit_s: float = 30.0):
        """Read until it is enough, and give that."""
        deadline = time.monotonic() + limit_s
        while not is_enough(value := read()):
            assert time.monotonic() < deadline, (value, self.log[-3000:])
            time.sleep(0.02)
        return value

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture(
    scope="session",
    name="depot",
    params=[(), ("--strict", "--duplicate-delivery")],
    ids=["plain", "strict-twice"],
)
def _depot(request, tmp_path_factory):
    """One host for all patterns that are left to run: as it is, then strict and doubled."""
    depot = Depot(tmp_path_factory.mktemp("depot"), *request.param)
    depot.start()
    yield depot
    depot.kill()


@pytest.fixture(name="own_depot")
def _own_depot(tmp_path):
    """A host that a test may kill."""
    depot = Depot(tmp_path, "--strict")
    depot.start()
    yield depot
    depot.kill()

"""Fixtures of the client's tests."""

import pytest

from coldforge import Client
from tests.fakes.job_api import FakeJobApi, serving


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def clock(self) -> float:
        return self.now_s


@pytest.fixture(name="api")
def _api():
    """A server that plays jobs from a script."""
    with serving(FakeJobApi()) as api:
        yield api


@pytest.fixture(name="fake_time")
def _fake_time():
    """A clock that only sleeping moves."""
    return FakeTime()


@pytest.fixture(name="client")
def _client(api, fake_time):
    """A client of that server which waits without time going by."""
    with Client(api.url, key="k", sleep=fake_time.sleep, clock=fake_time.clock) as client:
        yield client


@pytest.fixture(name="photo")
def _photo(tmp_path):
    """A file that stands for a photo."""
    path = tmp_path / "chair.jpg"
    path.write_bytes(b"\xff\xd8photo")
    return path

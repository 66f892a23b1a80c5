"""A store, a virtual clock, and a patient way of waiting."""

import threading
import time

import pytest

from localcloud.clock import VirtualClock
from localcloud.functions_host.store import Store

LIMIT_S = 20.0


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "durable.sqlite", lease="this-run")
    yield store
    store.close()


@pytest.fixture
def until():
    """Waits for a claim to come true."""

    def wait(claim):
        deadline = time.monotonic() + LIMIT_S
        event = threading.Event()
        while not claim():
            assert time.monotonic() < deadline
            event.wait(0.002)

    return wait

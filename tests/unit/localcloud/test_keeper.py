"""A keeper of small processes: how often it starts them again, and what it says."""

import sys
import time

import psutil
import pytest

from localcloud.component import Component, ComponentError
from localcloud.keeper import Keeper, RestartPolicy


class TestRestartPolicy:
    def test_allows_so_many_in_so_long(self):
        policy = RestartPolicy(restarts=2, within_s=60.0)

        assert policy.allows([], now=100.0)
        assert policy.allows([99.0], now=100.0)
        assert not policy.allows([50.0, 99.0], now=100.0)
        assert policy.allows([40.0, 99.0], now=100.0)


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(name="component")
def _component(tmp_path):
    """A process that lives until it is ended, or not, if the file `broken` is there."""
    broken = tmp_path / "broken"
    program = (
        "import pathlib, sys, time\n"
        f"pathlib.Path({str(broken)!r}).exists() and sys.exit('broken')\n"
        "time.sleep(600)"
    )
    component = Component(
        name="part",
        command=[sys.executable, "-c", program],
        environ={},
        cwd=tmp_path,
        log=tmp_path / "part.log",
        probe=lambda: True,
    )
    yield component
    component.kill()


@pytest.fixture(name="keep")
def _keep(component):
    """Return a function that starts the process and a keeper of it."""
    keepers = []

    def keep(**policy):
        component.start()
        keeper = Keeper(component, RestartPolicy(**policy))
        keepers.append(keeper)
        keeper.begin()
        return keeper

    yield keep
    for keeper in keepers:
        keeper.release()
        component.kill()
        keeper.end()


class TestKeeper:
    def test_starts_again_what_was_killed_and_says_so(self, component, keep):
        keeper = keep()
        first = component.pid

        psutil.Process(first).kill()
        wait_until(lambda: keeper.restarts == 1)

        keeper.check()
        assert component.pid not in (None, first)
        assert (
            "localcloud: part ended with exit code -9: it is started again"
            in component.log.read_text()
        )

    def test_gives_up_what_ends_again_and_again(self, component, keep, tmp_path):
        keeper = keep(restarts=3)
        (tmp_path / "broken").touch()

        psutil.Process(component.pid).kill()
        wait_until(lambda: "once too often" in component.log.read_text())

        with pytest.raises(ComponentError, match="part ended with exit code"):
            keeper.check()
        assert component.log.read_text().count("started again, on the same ports") == 3

    def test_restarts_nothing_once_it_was_released(self, component, keep):
        keeper = keep()
        keeper.release()

        component.kill()
        keeper.end()

        assert component.pid is None
        assert "localcloud:" not in component.log.read_text()

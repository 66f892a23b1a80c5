"""Processes whose owner is gone."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from localcloud.leash import Lock, Watchdog, end_tagged, find_tagged, is_alive, new_tag, tagged

ROOT = Path(__file__).parents[3]
NAP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True);"
    "time.sleep(600)",
]
# Starts a process in a session of its own, which a signal to its group would not reach.
FAMILY = [
    sys.executable,
    "-c",
    "import subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True); print('up', flush=True); time.sleep(600)",
]
OWNER = """
import os, subprocess, sys
from localcloud.leash import Watchdog, tagged
tag = sys.argv[1]
watchdog = Watchdog(tag, grace_s=0.2)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                 env=tagged(os.environ, tag), start_new_session=True)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="tag")
def _tag():
    """A tag; what carries it is ended after the test."""
    tag = new_tag()
    yield tag
    end_tagged(tag, grace_s=0)


@pytest.fixture(name="start")
def _start(tag):
    """Return a function that starts a tagged process and waits until it says that it is up."""
    started = []

    def start(command):
        process = subprocess.Popen(command, env=tagged(os.environ, tag), stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"up\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


class TestTagged:
    def test_keeps_the_tags_of_those_further_out(self):
        assert tagged(tagged({"A": "1"}, "x"), "y") == {"A": "1", "LOCALCLOUD_LEASH": "x y"}


class TestFindTagged:
    def test_finds_descendants_and_nobody_else(self, start, tag, wait_until):
        family, other = start(FAMILY), new_tag()

        found = wait_until(lambda: len(find_tagged(tag)) == 2 and find_tagged(tag))

        assert family.pid in [process.pid for process in found]
        assert find_tagged(other) == []


class TestEndTagged:
    @pytest.mark.parametrize("command", [NAP, FAMILY, STUBBORN], ids=["nap", "family", "stubborn"])
    def test_leaves_nothing_alive(self, start, tag, command):
        process = start(command)

        end_tagged(tag, grace_s=0.3)

        assert find_tagged(tag) == []
        assert process.wait(5) < 0

    def test_asks_politely_first(self, start, tag):
        process = start(NAP)

        end_tagged(tag, grace_s=10)

        assert process.wait(5) == -15


class TestWatchdog:
    def test_ends_everything_after_its_owner_was_killed(self, tag, wait_until):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, tag],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert owner.stdout.readline() == b"up\n"
        (orphan,) = find_tagged(tag)

        owner.kill()
        owner.wait()

        wait_until(lambda: not is_alive(orphan))
        owner.stdin.close()
        owner.stdout.close()

    def test_ends_everything_when_it_is_closed(self, start, tag):
        process = start(NAP)

        with Watchdog(tag, grace_s=0.2):
            assert process.poll() is None

        assert process.wait(5) < 0

    def test_ends_nothing_when_it_is_dismissed(self, start, tag):
        process = start(NAP)

        Watchdog(tag).dismiss()

        assert process.poll() is None

    def test_spares_what_an_heir_has_taken_over(self, start, tag, tmp_path):
        process, lock = start(NAP), Lock(tmp_path / "lock")
        assert lock.take()

        Watchdog(tag, heir=(tmp_path / "lock", 0.1)).close()

        assert process.poll() is None
        lock.free()
        Watchdog(tag, heir=(tmp_path / "lock", 0.1)).close()
        assert process.wait(5) < 0


class TestLock:
    def test_is_held_by_one_at_a_time(self, tmp_path):
        first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")

        assert first.take()
        assert not second.take()
        first.free()
        assert second.take()
        second.free()


class TestIsAlive:
    def test_does_not_count_the_dead_that_are_not_waited_for(self, start, wait_until):
        process = start(NAP)
        watched = psutil.Process(process.pid)
        assert is_alive(watched)

        process.kill()

        wait_until(lambda: not is_alive(watched))

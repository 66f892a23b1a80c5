import socket
import sys
import tempfile

import pytest

from gpu_agent.host.systemd import Pulse, Systemd


@pytest.fixture
def manager():
    """Give systemd's end: a real datagram socket, bound to a path."""
    # Such an address holds at most 103 bytes, fewer than a test's own folder may have.
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end,
    ):
        end.bind(f"{folder}/notify")
        end.setblocking(False)
        yield end


def read_all(end: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(end.recv(4096).decode())
        except BlockingIOError:
            return found


class TestSystemd:
    def test_is_told_in_its_own_words(self, manager):
        systemd = Systemd.from_environ(
            {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "120000000"}
        )

        systemd.tell_ready()
        systemd.tell_alive("200 ready")
        systemd.tell_stopping()

        assert systemd.watchdog_s == 120
        assert read_all(manager) == ["READY=1", "WATCHDOG=1\nSTATUS=200 ready", "STOPPING=1"]

    @pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
    def test_is_found_under_an_abstract_name(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.bind(b"\0coldforge-test-systemd")
            end.setblocking(False)

            Systemd("@coldforge-test-systemd").tell_ready()

            assert read_all(end) == ["READY=1"]

    @pytest.mark.parametrize("usec", [None, "", "0", "-5", "soon"])
    def test_keeps_no_watchdog_of_which_it_says_nothing_clear(self, usec):
        environ = {"NOTIFY_SOCKET": "@x", **({} if usec is None else {"WATCHDOG_USEC": usec})}

        assert Systemd.from_environ(environ).watchdog_s is None

    def test_may_be_absent(self):
        systemd = Systemd.from_environ({"WATCHDOG_USEC": "1000000"})

        systemd.tell_ready()

        assert systemd.watchdog_s is None

    def test_may_be_gone_without_harm(self, tmp_path):
        Systemd(str(tmp_path / "gone")).tell_ready()


class TestPulse:
    def test_beats_while_the_agent_answers(self, manager):
        Pulse(Systemd(manager.getsockname(), 60.0), lambda: "200 ready").beat()

        assert read_all(manager) == ["WATCHDOG=1\nSTATUS=200 ready"]

    def test_does_not_speak_for_an_agent_that_hangs(self, manager):
        def hang() -> str:
            raise TimeoutError

        Pulse(Systemd(manager.getsockname(), 60.0), hang).beat()

        assert read_all(manager) == []

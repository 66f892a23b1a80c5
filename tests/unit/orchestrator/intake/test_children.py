import itertools
import os
import socket

import pytest

from orchestrator.intake import children
from orchestrator.intake.children import Child, KillReason, OverrunError
from orchestrator.intake.frames import encode


class TestHear:
    def test_judges_the_time_of_the_whole_answer(self, monkeypatch):
        """Every byte of it is there at once when it is asked for."""
        monkeypatch.setattr(children, "_PIECE_BYTES", 1)
        ours, theirs = socket.socketpair()
        with theirs:
            theirs.sendall(b"".join(encode({"done": "x" * 1000})))
            pipe = children._Pipe(ours)
            clock = itertools.count(0.0)
            child = Child(
                None, os.getpid(), pipe, clock=lambda: next(clock), is_dropped=lambda: False
            )
            child.until, child.max_resident_bytes = 500.0, 10**12

            with pytest.raises(OverrunError) as overrun:
                child.hear(max_bytes=0)

            pipe.close()
        assert overrun.value.reason is KillReason.TIME

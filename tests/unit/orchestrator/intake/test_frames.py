import json
from multiprocessing import Pipe

import pytest

from orchestrator.intake.frames import MAX_BLOBS, receive, send


@pytest.fixture(name="pipe")
def _pipe():
    ours, theirs = Pipe()
    with ours:
        yield ours, theirs
    theirs.close()


class TestReceive:
    def test_gives_what_was_sent(self, pipe):
        ours, theirs = pipe

        send(theirs, {"done": [1]}, b"one", b"")

        assert receive(ours, max_bytes=3) == ({"done": [1]}, [b"one", b""])

    @pytest.mark.parametrize(
        "head",
        [
            *("", "{", "[]", "3", "{}", '{"blobs": -1}', '{"blobs": "1"}', "[" * 100_000),
            json.dumps({"blobs": MAX_BLOBS + 1}),
        ],
        ids=lambda head: head[:20] or "nothing",
    )
    def test_refuses_what_is_no_message(self, pipe, head):
        ours, theirs = pipe
        theirs.send_bytes(head.encode())
        theirs.close()

        with pytest.raises(ValueError):
            receive(ours, max_bytes=100)

import io
import json
import struct

import pytest

from orchestrator.intake.frames import MAX_BLOBS, MAX_HEAD_BYTES, encode, receive


def message(head: str, more: bytes = b"") -> bytes:
    return struct.pack(">I", len(head)) + head.encode() + more


class TestReceive:
    def test_gives_what_was_sent(self):
        sent = b"".join(encode({"done": [1]}, b"one", b""))

        assert receive(io.BytesIO(sent).read, max_bytes=3) == ({"done": [1]}, [b"one", b""])

    @pytest.mark.parametrize(
        "head",
        [
            *("", "{", "[]", "3", "{}", '{"blobs": 1}', '{"blobs": {}}', "[" * 100_000),
            *('{"blobs": [-1]}', '{"blobs": ["1"]}', '{"blobs": [true]}', '{"blobs": [null]}'),
            '{"blobs": [51, 50]}',
            json.dumps({"blobs": [0] * (MAX_BLOBS + 1)}),
        ],
        ids=lambda head: head[:20] or "nothing",
    )
    def test_refuses_what_is_no_message(self, head):
        with pytest.raises(ValueError):
            receive(io.BytesIO(message(head, bytes(200))).read, max_bytes=100)

    def test_reads_no_head_that_is_too_long(self):
        sent = io.BytesIO(struct.pack(">I", MAX_HEAD_BYTES + 1))

        with pytest.raises(ValueError):
            receive(sent.read, max_bytes=100)

        assert sent.tell() == 4

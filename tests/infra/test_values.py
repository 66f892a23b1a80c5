"""Terraform's values come out as they went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.infra.values import UNKNOWN, decode, encode

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.just(UNKNOWN)
)
VALUES = st.recursive(
    LEAVES, lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=20
)


class TestValues:
    @given(VALUES)
    def test_survive_a_round_trip(self, value):
        assert decode(encode(value)) == value

    @pytest.mark.parametrize(
        ("message", "value"),
        [
            (b"\x07", 7),
            (b"\xff", -1),
            (b"\xcc\xc8", 200),
            (b"\xcd\x01\x00", 256),
            (b"\xd0\x80", -128),
            (b"\xa2hi", "hi"),
            (b"\xd9\x02hi", "hi"),
            (b"\xda\x00\x02hi", "hi"),
            (b"\x92\x01\xc0", [1, None]),
            (b"\xdc\x00\x01\xc3", [True]),
            (b"\x81\xa1a\xc2", {"a": False}),
            (b"\xde\x00\x01\xa1a\xc2", {"a": False}),
            (b"\xd4\x00\x00", UNKNOWN),
            # Unknown, with what is known of it all the same.
            (b"\xc7\x03\x0c\x81\x01\xc2", UNKNOWN),
        ],
    )
    def test_are_read_in_each_form_that_terraform_writes(self, message, value):
        assert decode(message) == value

    def test_end_with_their_message(self):
        with pytest.raises(ValueError, match="1 bytes follow"):
            decode(b"\xc0\xc0")

"""JSON of callers: what is taken can be stored and read again, what is not is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.json_values import MAX_DEPTH, MAX_DIGITS, check_json, is_text, read_json

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=10,
)


def nested(depth: int, *, begin: str = "[", end: str = "]") -> str:
    return begin * depth + "1" + end * depth


def refusal(text: str | bytes) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        read_json(text, otherwise="it must be JSON")
    return str(caught.value)


class TestReadJson:
    def test_takes_what_is_nested_as_deep_as_allowed(self):
        read_json(nested(MAX_DEPTH), otherwise="")
        read_json(nested(MAX_DEPTH, begin='{"a":', end="}"), otherwise="")

    @pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 494, 950, 100_000])
    @pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
    def test_refuses_what_is_nested_deeper(self, depth: int, begin: str, end: str):
        words = refusal(nested(depth, begin=begin, end=end))

        assert f"nested more than {MAX_DEPTH} levels deep" in words

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            (r'{"metadata": {"a": [1, "\ud800"]}}', "metadata.a[1] holds half a surrogate pair"),
            (r'{"metadata": {"\udfff": 1}}', "a key of metadata holds half a surrogate pair"),
            (r'"\ud800"', "the body holds"),
            (b'"\xed\xa0\x80"', "the body holds"),
        ],
    )
    def test_names_the_place_of_a_lone_surrogate(self, text: str | bytes, place: str):
        assert place in refusal(text)

    def test_takes_a_whole_surrogate_pair(self):
        assert read_json(r'"\ud83d\ude00"', otherwise="") == "\U0001f600"

    def test_takes_only_numbers_that_a_double_holds(self):
        longest = "9" * MAX_DIGITS

        assert float(read_json(longest, otherwise="")) < float("inf")
        for digits in (MAX_DIGITS + 1, 5000):
            assert f"has {digits} digits" in refusal("9" * digits)
        assert "1e999 is beyond the range" in refusal("[1e999]")

    @pytest.mark.parametrize(
        "text", ["", "{", "NaN", "[Infinity]", "-Infinity", b"\xff", "\ufeff1"]
    )
    def test_says_why_it_is_not_json(self, text: str | bytes):
        assert refusal(text).startswith("it must be JSON (")

    def test_says_where_it_stops_being_json(self):
        assert "line 1 column 7" in refusal('{"a": }')

    @given(VALUES)
    def test_what_it_gives_can_be_stored_whatever_was_sent(self, value: object):
        try:
            taken = read_json(json.dumps(value), otherwise="")
        except InvalidRequestError:
            return
        assert json.loads(json.dumps(taken, ensure_ascii=False).encode()) == taken


class TestCheckJson:
    def test_shows_little_of_a_long_key(self):
        with pytest.raises(InvalidRequestError) as caught:
            check_json({"k" * 1_000_000: "\ud800"})

        assert len(str(caught.value)) < 200


class TestIsText:
    @given(ANY_TEXT)
    def test_tells_what_utf_8_can_encode(self, text: str):
        assert is_text(text) == (text.encode(errors="ignore").decode() == text)

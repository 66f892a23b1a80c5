import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.errors import InvalidRequestError
from gpu_agent.http.parsing import (
    parse_drain,
    parse_key,
    parse_lease,
    parse_poll,
    parse_submission,
)
from gpu_agent.jobs.job import JobKey

GOOD = {
    "epoch": 1,
    "input_path": "jobs/jobs/a/input.png",
    "output_prefix": "jobs/jobs/a/1/",
    "manifest_path": "jobs/jobs/a/manifest.json",
}


class TestParseKey:
    def test_reads_a_key(self):
        assert parse_key("a-B_9", "1795235108000") == JobKey("a-B_9", 1795235108000)

    @pytest.mark.parametrize("job_id", ["a.b", "a" * 129, "ä", "a b", "a\n", ""])
    def test_refuses_an_id(self, job_id: str):
        with pytest.raises(InvalidRequestError):
            parse_key(job_id, "1")

    @pytest.mark.parametrize("fence", ["-1", "1.0", "x", "9" * 19, "9" * 5000, "\u0661"])
    def test_refuses_a_fence(self, fence: str):
        with pytest.raises(InvalidRequestError):
            parse_key("a", fence)


class TestParsePoll:
    @pytest.mark.parametrize(
        ("args", "expected"),
        [({}, (0, 0.0)), ({"after": "3", "wait_s": "2.5"}, (3, 2.5)), ({"wait_s": "99"}, (0, 25))],
    )
    def test_reads_a_poll(self, args: dict[str, str], expected: tuple[int, float]):
        assert parse_poll(args) == expected

    @pytest.mark.parametrize(
        "args", [{"after": "x"}, {"after": "-1"}, {"wait_s": "nan"}, {"wait_s": "-1"}]
    )
    def test_refuses_a_poll(self, args: dict[str, str]):
        with pytest.raises(InvalidRequestError):
            parse_poll(args)


class TestParseSubmission:
    def test_reads_one_and_ignores_what_it_does_not_know(self):
        asked = parse_submission(json.dumps({**GOOD, "later": 1}).encode())

        assert asked.output_prefix == "jobs/jobs/a/1/"
        assert asked.timeout_s == 1800.0

    @pytest.mark.parametrize(
        "change",
        [
            {"epoch": "1"},
            {"epoch": True},
            {"epoch": -1},
            {"epoch": 2**63},
            {"options": []},
            {"timeout_s": 0},
            {"timeout_s": float("nan")},
            {"timeout_s": 1e9},
            {"timeout_s": True},
            {"timeout_s": 10**400},
            {"options": {"steps": [1]}},
            {"options": {"steps": {"a": 1}}},
            {"input_path": "jobs/../secret"},
            {"input_path": "/etc/passwd"},
            {"input_path": "jobs"},
            {"input_path": "jobs//a"},
            {"input_path": 7},
            {"manifest_path": "jobs/a/"},
            {"output_prefix": "jobs/a"},
            {"output_prefix": None},
        ],
    )
    def test_refuses_a_field(self, change: dict[str, object]):
        with pytest.raises(InvalidRequestError):
            parse_submission(json.dumps({**GOOD, **change}).encode())

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 200_000, b'{"epoch": 1}']
    )
    def test_refuses_a_body(self, body: bytes):
        with pytest.raises(InvalidRequestError):
            parse_submission(body)


class TestOthers:
    @pytest.mark.parametrize("ttl_s", [0, -1, float("inf"), float("nan"), "60", None, 10**400])
    def test_refuses_a_lease(self, ttl_s: object):
        with pytest.raises(InvalidRequestError):
            parse_lease(json.dumps({"epoch": 1, "ttl_s": ttl_s}).encode())

    @pytest.mark.parametrize("change", [{"drain": "1"}, {"final": 1}, {"epoch": None}])
    def test_refuses_a_drain(self, change: dict[str, object]):
        with pytest.raises(InvalidRequestError):
            parse_drain(json.dumps({"epoch": 1, "drain": 1, **change}).encode())


class TestAnyBody:
    @given(
        st.sampled_from([parse_submission, parse_lease, parse_drain]),
        st.dictionaries(
            st.sampled_from(["epoch", "timeout_s", "ttl_s", "drain", "options", "input_path"]),
            st.sampled_from(
                ["9" * 400, "9" * 5000, "1e999", "NaN", "null", r'"\ud800"', "[]", "1"]
                + ["[" * depth + "]" * depth for depth in (494, 950)]
                + ['{"steps": ' + "[" * 900 + "]" * 900 + "}", '{"\\ud800": "\\ud800"}']
            ),
        ),
    )
    def test_is_taken_or_refused(self, parse, fields: dict[str, str]):
        good = {
            name: json.dumps(value) for name, value in {**GOOD, "ttl_s": 1, "drain": 1}.items()
        }
        body = ", ".join(f'"{name}": {text}' for name, text in {**good, **fields}.items())

        with suppress(InvalidRequestError):
            json.dumps(parse(f"{{{body}}}".encode()).to_json()).encode()

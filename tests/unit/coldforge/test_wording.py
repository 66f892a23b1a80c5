"""What a person reads."""

import pytest
import requests

from coldforge.errors import RefusedError
from coldforge.models import JobStatus
from coldforge.wording import (
    describe,
    describe_details,
    describe_error,
    describe_seconds,
    make_readable,
)


class TestDescribe:
    @pytest.mark.parametrize(
        ("fields", "expected"),
        [
            (
                {"state": "queued", "queue_position": 2, "waiting_for": "capacity"},
                "queued, position 2, no GPU free in the region, trying again",
            ),
            (
                {"state": "queued", "waiting_for": "vm", "vm": {"name": "g", "phase": "warming"}},
                "queued, waiting for a GPU VM, VM g warming",
            ),
            ({"state": "queued", "waiting_for": "moon"}, "queued, waiting for moon"),
            ({"state": "running", "stage": "shape", "percent": 41.6}, "shape 42%"),
            ({"state": "running"}, "running"),
            ({"state": "succeeded", "stage": "upload"}, "succeeded"),
            (
                {"state": "failed", "error": {"message": "No.", "stage": "shape"}},
                "failed in shape: No.",
            ),
        ],
    )
    def test_says_what_happens(self, fields, expected):
        assert describe(JobStatus("a", **fields)) == expected


def test_details_tell_what_is_less_than_was_asked_for():
    figures = {"faces": 12, "watertight": False, "notes": ["Less detail.", "It is open."]}
    status = JobStatus("a", "succeeded", raw={"figures": figures})

    rows = dict(describe_details(status))

    assert (rows["model"], rows["but"]) == ("12 faces, not watertight", "Less detail. It is open.")


def test_details_tell_that_the_job_is_suspended():
    body = {"id": "a", "state": "running", "suspended": True}

    assert dict(describe_details(JobStatus.from_json(body)))["held"]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, expected):
    assert describe_seconds(seconds) == expected


class TestDescribeError:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (RefusedError("The file is a GIF."), "The file is a GIF."),
            (FileNotFoundError(2, "No such file", "a.jpg"), "[Errno 2] No such file: 'a.jpg'"),
        ],
    )
    def test_gives_the_message_of_our_own_errors_and_of_the_system(self, error, expected):
        assert describe_error(error) == expected

    @pytest.mark.parametrize(
        "error", [requests.exceptions.InvalidHeader("secret"), KeyError("secret")]
    )
    def test_gives_no_message_of_a_library(self, error):
        """Those of requests are an OSError, too."""
        text = describe_error(error)

        assert "secret" not in text
        assert type(error).__name__ in text

    def test_says_where_in_our_code_it_was(self):
        with pytest.raises(AttributeError) as caught:
            describe(None)

        assert "wording.py line " in describe_error(caught.value)


class TestMakeReadable:
    def test_leaves_nothing_that_a_terminal_or_an_encoding_stumbles_over(self):
        assert make_readable("b\udcff\n\x1b[31m.jpg") == "b\ufffd\ufffd\ufffd[31m.jpg"

    @pytest.mark.parametrize(
        "name", ["Stuhl für Ärzte.jpg", "写真.jpg", "👩\u200d🔧.jpg", "a b.jpg"]
    )
    def test_leaves_every_other_name_alone(self, name):
        assert make_readable(name) == name

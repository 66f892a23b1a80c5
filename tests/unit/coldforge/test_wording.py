"""What a person reads."""

import pytest

from coldforge.models import JobStatus
from coldforge.wording import describe, describe_details, describe_seconds


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


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, expected):
    assert describe_seconds(seconds) == expected

"""When the client asks again."""

import pytest

from coldforge.models import JobStatus
from coldforge.pacing import choose_poll_delay, choose_retry_delay


class TestChoosePollDelay:
    @pytest.mark.parametrize(
        ("fields", "expected_s"),
        [
            ({"retry_after_s": 7.0, "estimated_seconds_left": 1}, 7.0),
            ({"retry_after_s": 0.0}, 0.5),
            ({"estimated_seconds_left": 4}, 2.0),
            ({"estimated_seconds_left": 400}, 5.0),
            ({"estimated_seconds_left": 0}, 0.5),
            ({}, 1.0),
        ],
    )
    def test_follows_the_server_then_its_estimate(self, fields, expected_s):
        assert choose_poll_delay(JobStatus("a", "running", **fields)) == expected_s


class TestChooseRetryDelay:
    def test_doubles_up_to_a_limit(self):
        delays = [choose_retry_delay(n, draw=lambda: 0.0) for n in (1, 2, 3, 4, 5, 6, 60)]

        assert delays == [0.5, 1, 2, 4, 8, 15, 15]

    def test_is_spread_by_chance_and_never_undercuts_the_server(self):
        assert choose_retry_delay(3, draw=lambda: 1.0) == 1
        assert choose_retry_delay(1, retry_after_s=9, draw=lambda: 0.0) == 9

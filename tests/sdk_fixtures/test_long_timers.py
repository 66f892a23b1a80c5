"""What the SDK's ``tests/tasks/test_long_timers.py`` pins for its unit: the legs of a long timer.

There a timer of 20 hours, with a limit of 16 and steps of 8, takes a leg of 8 hours and then goes
to its end. The limits that the engine hands out are nine times as long.
"""

import json
from datetime import UTC, datetime, timedelta

import azure.durable_functions as df

from localcloud.functions_host.moments import from_text
from tests.sdk_fixtures.playback import Playback

START = datetime(2026, 1, 1, tzinfo=UTC)


def sleep(context):
    yield context.create_timer(context.current_utc_datetime + 9 * timedelta(hours=20))


def to_moments(playback):
    rows = [row for row in playback.read_rows() if row["EventType"] == 10]
    return [(row["EventId"], from_text(row["FireAt"])) for row in rows]


class TestLongTimer:
    def test_has_the_legs_that_the_sdk_gives_it(self, tmp_path):
        playback = Playback(tmp_path, df.Orchestrator.create(sleep))

        playback.play([{"EventType": 11, "TimerId": 0}, {"EventType": 11, "TimerId": 1}])

        assert to_moments(playback) == [
            (0, START + 9 * timedelta(hours=8)),
            (1, START + 9 * timedelta(hours=20)),
        ]
        assert json.loads(playback.read_instance().output or "null") is None
        assert playback.read_instance().status == "Completed"
        playback.close()

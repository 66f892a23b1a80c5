"""Small programs with one known end, whatever is delivered twice and whenever the host dies.

Quick, and without the other side: the mutants of `tests.mutants` name these tests.
"""

from datetime import timedelta

import azure.durable_functions as df
import pytest

from tests.differential.modes import MODES, make_pool, run_given
from tests.sdk_fixtures.playback import Playback

SEEDS = range(6)
CHILD = {"steps": [["do", ["call", "b"]]], "rounds": 2}
PROGRAMS = {
    "early-event": (
        [["do", ["cue", ["e"]]], ["do", ["call", "a"]], ["do", ["event", "e"]]],
        [1, "p-a-0", "e.0", ["s", 0]],
    ),
    "fan-out": (
        [["do", ["all", [["call", "a"], ["timer", 2], ["call", "b"], ["add", "a", 3]]]]],
        [["p-a-0", None, "p-b-0", 3], ["a", 3], ["s", 0]],
    ),
    "exhausted-retries": (
        [["try", ["retry", "a", 2, 2]], ["do", ["call", "b"]]],
        ["failed: p-a-0", "p-b-0", ["s", 0]],
    ),
    "entity": (
        [["do", ["add", "a", 2]], ["signal", "a", 3], ["do", ["add", "a", 4]]],
        [2, "signalled", 9, ["a", 9], ["s", 0]],
    ),
    "child": (
        [["do", ["child", "a", CHILD, True]], ["try", ["child_retry", "c", 2, 2]]],
        [["p-a-0-b-0", "p-a-0-b-1"], "failed: p-c-0-c-0", ["s", 0]],
    ),
}


@pytest.fixture(scope="module")
def pool():
    with make_pool(1) as pool:
        yield pool


class TestSmallPrograms:
    @pytest.mark.parametrize("mode", [*MODES, "late"])
    @pytest.mark.parametrize("name", PROGRAMS)
    def test_end_as_they_must(self, pool, name, mode):
        steps, output = PROGRAMS[name]
        program = {"steps": steps, "rounds": 1}

        runs = [pool.submit(run_given, program, "p", seed, mode).result() for seed in SEEDS]

        for run in runs:
            assert run.trace is not None, (run.seed, run.error)
            assert (run.trace.status, run.trace.output) == ("Completed", output), run.seed


@pytest.mark.filterwarnings("ignore:azure.functions df_loads was called")
class TestGenerations:
    def test_a_timer_of_an_earlier_generation_never_fires(self, tmp_path):
        playback = Playback(tmp_path, df.Orchestrator.create(sleep_after_beginning_anew))
        playback.play([{"EventType": 5, "TaskScheduledId": 1, "Result": "1"}])
        assert playback.has_begun_anew

        playback.pass_time(timedelta(hours=2))

        assert playback.read_instance().status == "Running"
        playback.pass_time(timedelta(hours=4))
        assert playback.read_instance().output == '"slept"'
        playback.close()


def sleep_after_beginning_anew(context):
    now = context.current_utc_datetime
    if context.get_input():
        yield context.create_timer(now + timedelta(hours=5))
        return "slept"
    timer = context.create_timer(now + timedelta(hours=1))
    yield context.task_any([timer, context.call_activity("quick", None)])
    timer.cancel()
    context.continue_as_new(True)
    return None

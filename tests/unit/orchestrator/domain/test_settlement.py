"""What becomes of a row whose workflow ended without writing it, or is gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.instances import LIVE
from orchestrator.domain.job import JobRow, JobState
from orchestrator.domain.settlement import (
    FORGOTTEN_S,
    LOOKS_APART_S,
    LOST_S,
    InstanceSeen,
    Step,
    next_step,
)

BEGIN = 1_700_000_000.0
NONE = InstanceSeen(None)
RUNNING = InstanceSeen("Running")
states = st.sampled_from([JobState.QUEUED, JobState.RUNNING])
ages = st.sampled_from([0.0, FORGOTTEN_S, FORGOTTEN_S + 1, LOST_S - 1, LOST_S, 9000.0])
instances = st.builds(
    InstanceSeen,
    st.sampled_from([None, *LIVE, "Terminated", "Canceled", "Failed", "Completed"]),
    st.sampled_from([None, "cancelled", "succeeded"]),
)


def make_row(state: JobState = JobState.RUNNING, missing_at: float | None = None) -> JobRow:
    return JobRow(job_id="a", created_at=BEGIN, state=state, missing_at=missing_at)


def step(row: JobRow, seen: InstanceSeen, age: float, batch: InstanceSeen | None = None) -> Step:
    return next_step(row, seen, batch, BEGIN + age)


class TestNextStep:
    def test_a_running_job_without_a_workflow_is_lost_at_the_second_look(self):
        first = step(make_row(), NONE, LOST_S)
        second = step(make_row(missing_at=BEGIN + LOST_S), NONE, LOST_S + LOOKS_APART_S)

        assert (first, second) == (Step.NOTE_MISSING, Step.LOSE)

    def test_two_looks_in_the_same_minute_are_one(self):
        row = make_row(missing_at=BEGIN + LOST_S)

        assert step(row, NONE, LOST_S + LOOKS_APART_S - 1) is Step.NOTHING

    def test_a_job_is_not_lost_in_its_first_five_minutes(self):
        assert step(make_row(), NONE, LOST_S - 1) is Step.NOTHING

    def test_a_workflow_that_is_there_again_is_noted(self):
        assert step(make_row(missing_at=BEGIN), RUNNING, 9000.0) is Step.NOTE_SEEN

    def test_a_queued_job_without_a_workflow_is_started(self):
        young = step(make_row(JobState.QUEUED), NONE, FORGOTTEN_S)
        old = step(make_row(JobState.QUEUED), NONE, FORGOTTEN_S + 1)

        assert (young, old) == (Step.NOTHING, Step.START)

    @pytest.mark.parametrize(
        ("batch", "expected"),
        [
            (NONE, Step.START),
            (RUNNING, Step.NOTHING),
            (InstanceSeen("Terminated"), Step.CANCEL),
            (InstanceSeen("Completed"), Step.NOTE_MISSING),
        ],
    )
    def test_a_queued_job_of_a_batch_goes_by_its_batch(self, batch: InstanceSeen, expected: Step):
        assert step(make_row(JobState.QUEUED), NONE, 9000.0, batch) is expected

    @pytest.mark.parametrize(
        ("seen", "expected"),
        [
            (InstanceSeen("Terminated"), Step.CANCEL),
            (InstanceSeen("Canceled"), Step.CANCEL),
            (InstanceSeen("Completed", "cancelled"), Step.CANCEL),
            (InstanceSeen("Completed", "succeeded"), Step.FAIL),
            (InstanceSeen("Failed"), Step.FAIL),
        ],
    )
    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
    def test_an_end_that_was_not_written_is_written(self, state, seen, expected):
        assert step(make_row(state), seen, 0.0) is expected

    @given(states, st.sampled_from([None, BEGIN]), instances, ages)
    def test_a_living_workflow_is_never_ended_nor_started_again(self, state, missing, seen, age):
        found = step(make_row(state, missing), seen, age)

        if seen.status in LIVE:
            assert found in (Step.NOTHING, Step.NOTE_SEEN)
        elif seen.status is not None:
            assert found in (Step.CANCEL, Step.FAIL)

    @given(states, instances.filter(lambda seen: seen.status not in LIVE))
    def test_a_row_without_a_living_workflow_is_seen_to_in_the_end(self, state, seen):
        row = make_row(state)
        found = step(row, seen, 9000.0)
        if found is Step.NOTE_MISSING:
            found = step(make_row(state, BEGIN + 9000.0), seen, 9000.0 + LOOKS_APART_S)

        assert found in (Step.START, Step.CANCEL, Step.FAIL, Step.LOSE)

"""The state's rules, by table and over random histories."""

from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gpu_agent.errors import (
    ClosedError,
    DrainingError,
    FullError,
    RequestError,
    StaleEpochError,
    StaleFenceError,
)
from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import JobKey, begin_job
from gpu_agent.jobs.stage_estimates import Expectation
from gpu_agent.wire import DrainRequest, JobState, Stage, Submission

SLOTS = 3


def submission(epoch: int = 1, timeout_s: float = 60.0) -> Submission:
    return Submission(
        epoch=epoch,
        input_path="jobs/jobs/a/input.png",
        output_prefix="jobs/jobs/a/1/",
        manifest_path="jobs/jobs/a/manifest.json",
        timeout_s=timeout_s,
    )


def submit(state: AgentState, job_id: str, fence: int, epoch: int = 1) -> AgentState:
    return agent_state.submit(
        state, JobKey(job_id, fence), submission(epoch), slots=SLOTS, now=0.0
    )[0]


def sign(epoch: int, drain: int) -> str:
    return f"signed-{epoch}-{drain}"


def ask_drain(
    state: AgentState,
    epoch: int = 1,
    drain: int = 1,
    *,
    final: bool = False,
    is_leased: bool = False,
):
    request = DrainRequest(epoch=epoch, drain=drain, final=final)
    return agent_state.drain(state, request, sign, is_leased=is_leased)


class TestSubmit:
    def test_joins_the_same_key(self):
        state = submit(AgentState(epoch=1), "a", 1)

        again, job = agent_state.submit(state, JobKey("a", 1), submission(), slots=SLOTS, now=9.0)

        assert again is state
        assert job.state is JobState.QUEUED

    def test_cancels_an_older_fence_and_queues_the_new_one(self):
        state = submit(submit(AgentState(epoch=1), "a", 1), "a", 2)

        assert state.jobs[JobKey("a", 1)].state is JobState.CANCELLED
        assert state.jobs[JobKey("a", 2)].state is JobState.QUEUED

    def test_takes_a_newer_fence_even_when_the_older_one_fills_the_last_slot(self):
        state = AgentState(epoch=1)
        for job_id in "abc":
            state = submit(state, job_id, 1)

        assert len(submit(state, "a", 2).live) == SLOTS

    def test_refuses_an_older_fence_even_when_the_newer_one_is_over(self):
        state, _ = agent_state.cancel(AgentState(epoch=1), JobKey("a", 5), now=0.0)

        with pytest.raises(StaleFenceError):
            submit(state, "a", 4)

    def test_does_not_revive_a_cancelled_key(self):
        state, _ = agent_state.cancel(AgentState(epoch=1), JobKey("a", 1), now=0.0)

        again, job = agent_state.submit(state, JobKey("a", 1), submission(), slots=SLOTS, now=1.0)

        assert again is state
        assert job.state is JobState.CANCELLED

    @pytest.mark.parametrize(
        ("state", "error"),
        [
            (AgentState(epoch=2), StaleEpochError),
            (AgentState(epoch=1, is_drained=True), DrainingError),
            (AgentState(epoch=1, is_drained=True, is_closed=True), ClosedError),
        ],
    )
    def test_refuses_behind_a_door(self, state: AgentState, error: type[RequestError]):
        with pytest.raises(error):
            submit(state, "a", 1)

    def test_refuses_more_live_jobs_than_slots(self):
        state = AgentState(epoch=1)
        for job_id in "abc":
            state = submit(state, job_id, 1)

        with pytest.raises(FullError) as full:
            submit(state, "d", 1)

        assert full.value.retry_after_s == 5

    @pytest.mark.parametrize(
        ("seconds", "retry_after_s"), [(0.2, 1), (20.4, 21), (900.0, 60), (0.0, 60)]
    )
    def test_tells_when_the_first_slot_should_be_free(self, seconds: float, retry_after_s: int):
        state = submit(submit(submit(AgentState(epoch=1), "a", 1), "b", 1), "c", 1)
        soon, late = Expectation(seconds=seconds), Expectation(seconds=seconds + 100)
        for job_id, expectation in (("a", late), ("b", soon)):
            job = begin_job(state.jobs[JobKey(job_id, 1)], expectation)
            state = agent_state.with_jobs(state, [job])

        with pytest.raises(FullError) as full:
            submit(state, "d", 1)

        assert full.value.retry_after_s == retry_after_s


class TestHearEpoch:
    def test_reopens_and_cancels_what_is_older(self):
        state = replace(submit(AgentState(epoch=1), "a", 1), is_drained=True)

        heard = agent_state.hear_epoch(state, 2, now=1.0)

        assert heard.epoch == 2
        assert not heard.is_drained
        assert heard.jobs[JobKey("a", 1)].state is JobState.CANCELLED

    def test_does_not_open_a_closed_agent(self):
        state = AgentState(epoch=1, is_drained=True, is_closed=True)

        with pytest.raises(ClosedError):
            submit(agent_state.hear_epoch(state, 2, now=0.0), "a", 1, epoch=2)

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_ignores_what_is_not_newer(self, epoch: int):
        state = submit(AgentState(epoch=2), "a", 1, epoch=2)

        assert agent_state.hear_epoch(state, epoch, now=0.0) is state


class TestDrain:
    def test_closes_an_empty_agent_and_signs_for_it(self):
        state, answer = ask_drain(AgentState(epoch=1))

        assert state.is_drained
        assert (answer.drained, answer.receipt) == (True, "signed-1-1")

    def test_names_the_jobs_that_it_is_refused_for(self):
        state, answer = ask_drain(submit(AgentState(epoch=1), "a", 1))

        assert not state.is_drained
        assert (answer.drained, answer.receipt, answer.jobs) == (False, None, ["a"])

    def test_repeats_a_refusal_even_when_the_agent_is_empty_by_now(self):
        refused, _ = ask_drain(submit(AgentState(epoch=1), "a", 1))
        emptied, _ = agent_state.cancel(refused, JobKey("a", 1), now=0.0)

        state, answer = ask_drain(emptied)

        assert not answer.drained
        assert not state.is_drained

    def test_repeats_a_yes_after_the_agent_has_been_reopened_without_closing_it_again(self):
        drained, first = ask_drain(AgentState(epoch=1))
        reopened = agent_state.hear_epoch(drained, 2, now=0.0)

        state, answer = ask_drain(reopened, final=True)

        assert answer == first
        assert (state.is_drained, state.is_closed) == (False, False)

    def test_is_not_made_final_by_an_older_epoch(self):
        first, _ = ask_drain(AgentState(epoch=1))
        second, _ = ask_drain(agent_state.hear_epoch(first, 2, now=0.0), epoch=2)

        state, _ = ask_drain(second, epoch=1, final=True)

        assert (state.is_drained, state.is_closed) == (True, False)

    def test_refuses_an_older_epoch_that_it_never_answered(self):
        with pytest.raises(StaleEpochError):
            ask_drain(AgentState(epoch=2))

    def test_stays_closed_when_it_is_final(self):
        state, _ = ask_drain(AgentState(epoch=1), final=True)

        assert state.is_closed

    def test_can_be_made_final_afterwards(self):
        state, _ = ask_drain(ask_drain(AgentState(epoch=1))[0], final=True)

        assert state.is_closed

    def test_is_not_final_while_the_lease_has_time_left(self):
        state, answer = ask_drain(AgentState(epoch=1), final=True, is_leased=True)

        assert (answer.drained, answer.receipt, answer.jobs) == (False, None, [])
        assert (state.is_drained, state.is_closed) == (False, False)

    def test_can_not_be_made_final_while_the_lease_has_time_left(self):
        state, _ = ask_drain(ask_drain(AgentState(epoch=1))[0], final=True, is_leased=True)

        assert (state.is_drained, state.is_closed) == (True, False)

    def test_does_not_mind_the_lease_when_it_is_not_final(self):
        state, answer = ask_drain(AgentState(epoch=1), is_leased=True)

        assert (answer.drained, state.is_drained) == (True, True)


class TestRecall:
    def test_interrupts_what_was_live_and_leaves_the_rest(self):
        state = submit(submit(AgentState(epoch=1), "a", 1), "b", 1)
        state, _ = agent_state.cancel(state, JobKey("b", 1), now=0.0)

        found = agent_state.recall(state, now=1.0)

        assert found.jobs[JobKey("a", 1)].state is JobState.INTERRUPTED
        assert found.jobs[JobKey("b", 1)].state is JobState.CANCELLED


class TestForget:
    def test_lets_go_of_the_oldest_and_of_no_live_job(self):
        state = submit(AgentState(epoch=1), "live", 1)
        for n in range(agent_state.MAX_REMEMBERED_JOBS + 5):
            state, _ = agent_state.cancel(state, JobKey(f"gone-{n}", 1), now=float(n))

        assert len(state.jobs) == agent_state.MAX_REMEMBERED_JOBS + 1
        assert JobKey("live", 1) in state.jobs
        assert JobKey("gone-4", 1) not in state.jobs
        assert JobKey("gone-5", 1) in state.jobs

    def test_lets_go_of_what_is_long_over(self):
        state, _ = agent_state.cancel(AgentState(epoch=1), JobKey("a", 1), now=0.0)

        assert JobKey("a", 1) in agent_state.forget(state, agent_state.MAX_AGE_S).jobs
        assert JobKey("a", 1) not in agent_state.forget(state, agent_state.MAX_AGE_S + 1).jobs


job_ids = st.sampled_from(["a", "b", "c", "d"])
fences = st.integers(0, 4)
epochs = st.integers(0, 4)
drains = st.integers(0, 3)
stages = st.sampled_from([Stage.FETCH, Stage.SHAPE])
percents = st.floats(0, 100) | st.floats()


class Histories(RuleBasedStateMachine):
    """Everything that callers, workers and restarts can do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = AgentState()
        self.now = 0.0
        self.cancelled: set[JobKey] = set()
        self.over: dict[JobKey, JobState] = {}
        self.seen: dict[JobKey, tuple[int, int]] = {}
        self.answers: dict[tuple[int, int], object] = {}

    @rule(job_id=job_ids, fence=fences, epoch=epochs)
    def submit(self, job_id: str, fence: int, epoch: int) -> None:
        key = JobKey(job_id, fence)
        self.state = agent_state.hear_epoch(self.state, epoch, self.now)
        try:
            self.state, job = agent_state.submit(
                self.state, key, submission(epoch), slots=SLOTS, now=self.now
            )
        except RequestError:
            return
        if job.state is JobState.QUEUED and job.epoch == epoch:
            assert not self.state.is_drained
            assert not self.state.is_closed

    @rule(job_id=job_ids, fence=fences)
    def cancel(self, job_id: str, fence: int) -> None:
        key = JobKey(job_id, fence)
        self.state, job = agent_state.cancel(self.state, key, self.now)
        assert not job.is_live
        if job.state is JobState.CANCELLED:
            self.cancelled.add(key)

    @rule(epoch=epochs)
    def hear_epoch(self, epoch: int) -> None:
        self.state = agent_state.hear_epoch(self.state, epoch, self.now)

    @rule(epoch=epochs, drain=drains, final=st.booleans(), is_leased=st.booleans())
    def drain(self, epoch: int, drain: int, *, final: bool, is_leased: bool) -> None:
        self.state = agent_state.hear_epoch(self.state, epoch, self.now)
        held = [job.key.job_id for job in self.state.live]
        is_new = (epoch, drain) not in self.answers
        try:
            was_closed = self.state.is_closed
            self.state, answer = ask_drain(
                self.state, epoch, drain, final=final, is_leased=is_leased
            )
        except StaleEpochError:
            return
        assert was_closed or not self.state.is_closed or not (held or is_leased)
        assert self.answers.setdefault((epoch, drain), answer) == answer
        if is_new:
            assert answer.drained == (not held and not (final and is_leased))
            assert self.state.is_drained or not answer.drained

    @precondition(lambda self: agent_state.find_next(self.state) is not None)
    @rule()
    def begin(self) -> None:
        job = agent_state.find_next(self.state)
        assert job is not None
        self.state = agent_state.with_jobs(self.state, [steps.begin_job(job)])

    @precondition(lambda self: self.state.live)
    @rule(place=st.integers(0, SLOTS - 1), stage=stages, percent=percents)
    def advance(self, place: int, stage: Stage, percent: float) -> None:
        live = self.state.live
        key = live[place % len(live)].key
        self._step(key, lambda job: steps.advance_job(job, stage, percent, self.now))

    @rule(job_id=job_ids, fence=fences)
    def pause(self, job_id: str, fence: int) -> None:
        self._step(JobKey(job_id, fence), lambda j: steps.end_stage(j, self.now))

    @rule(job_id=job_ids, fence=fences)
    def succeed(self, job_id: str, fence: int) -> None:
        self._step(JobKey(job_id, fence), lambda j: steps.succeed_job(j, {}, self.now))

    @rule(job_id=job_ids, fence=fences)
    def fail(self, job_id: str, fence: int) -> None:
        self._step(
            JobKey(job_id, fence),
            lambda j: steps.fail_job(j, code="x", message="", retryable=True, now=self.now),
        )

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        late = [steps.time_out_job(job, self.now) for job in self.state.live]
        self.state = agent_state.with_jobs(self.state, late)

    @rule()
    def restart(self) -> None:
        self.state = agent_state.recall(self.state, self.now)
        assert not self.state.live

    def _step(self, key: JobKey, step) -> None:
        if key in self.state.jobs:
            self.state = agent_state.with_jobs(self.state, [step(self.state.jobs[key])])

    @invariant()
    def never_two_live_fences_of_one_job(self) -> None:
        live = [job.key.job_id for job in self.state.live]
        assert len(live) == len(set(live)) <= SLOTS

    @invariant()
    def a_cancelled_key_never_revives(self) -> None:
        assert all(self.state.jobs[key].state is JobState.CANCELLED for key in self.cancelled)

    @invariant()
    def what_is_over_stays_as_it_is(self) -> None:
        for key, job in self.state.jobs.items():
            if not job.is_live:
                assert self.over.setdefault(key, job.state) is job.state
            assert job.is_live == (key not in self.over)

    @invariant()
    def drained_means_empty(self) -> None:
        assert not (self.state.is_drained and self.state.live)
        assert self.state.is_drained or not self.state.is_closed or self.state.epoch

    @invariant()
    def no_live_job_is_of_an_older_epoch(self) -> None:
        assert all(job.epoch == self.state.epoch for job in self.state.live)

    @invariant()
    def seq_only_grows_and_percent_never_falls(self) -> None:
        for key, job in self.state.jobs.items():
            seq, percent = self.seen.get(key, (0, 0))
            assert job.seq >= seq
            assert 0 <= percent <= job.percent <= 100
            assert job.turn_seq <= job.seq
            self.seen[key] = (job.seq, job.percent)


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis_settings(
    max_examples=150, stateful_step_count=40, deadline=None
)

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.switch.decision import (
    MAX_SILENCES,
    AgentSeen,
    CloseDoor,
    Deallocate,
    Observation,
    Policy,
    StopAgent,
    Wait,
    Why,
    decide,
    note_answer,
    note_refusal,
    note_silence,
    note_stopped,
)

POLICY = Policy(max_uptime_s=1000.0, warning_s=50.0, boot_grace_s=100.0)
BORN = Observation(booted_at=0.0)
IDLE = AgentSeen(epoch=7)
BUSY = AgentSeen(epoch=7, jobs=("a",))
CLOSED = AgentSeen(epoch=7, is_closed=True)

moments = st.floats(0.0, 2000.0)
agents = st.builds(
    AgentSeen,
    epoch=st.integers(0, 3),
    is_closed=st.booleans(),
    jobs=st.sampled_from([(), (), ("a",), ("a", "b")]),
    lease_left_s=st.none() | st.floats(0.0, 300.0),
)
observations = st.builds(
    Observation,
    booted_at=st.floats(0.0, 500.0),
    lease_until=st.none() | moments,
    agent=st.none() | agents,
    is_refused=st.booleans(),
    silences=st.integers(0, 6),
    stopped_for=st.sampled_from([None, Why.SILENT, Why.CAP]),
)


def silent(times: int, *, seen: Observation = BORN) -> Observation:
    for _ in range(times):
        seen = note_silence(seen)
    return seen


def leased(agent: AgentSeen, *, left_s: float, now: float) -> Observation:
    return note_answer(BORN, replace(agent, lease_left_s=left_s), now)


class TestDecide:
    @pytest.mark.parametrize(
        ("seen", "now", "action"),
        [
            (note_answer(BORN, IDLE, 99.0), 99.0, Wait(why=Why.BOOTING)),
            (note_answer(BORN, IDLE, 100.0), 100.0, CloseDoor(why=Why.LEASE_OVER, epoch=7)),
            (leased(IDLE, left_s=60.0, now=200.0), 259.9, Wait(why=Why.LEASED)),
            (
                leased(IDLE, left_s=60.0, now=200.0),
                260.0,
                CloseDoor(why=Why.LEASE_OVER, epoch=7),
            ),
            (leased(BUSY, left_s=60.0, now=200.0), 900.0, Wait(why=Why.HOLDS_JOBS)),
            (note_answer(BORN, CLOSED, 5.0), 5.0, Deallocate(why=Why.CLOSED)),
            (
                note_answer(BORN, replace(CLOSED, jobs=("a",)), 500.0),
                500.0,
                Wait(why=Why.HOLDS_JOBS),
            ),
            (silent(9), 99.0, Wait(why=Why.BOOTING)),
            (silent(2), 100.0, Wait(why=Why.SILENT)),
            (silent(3), 100.0, StopAgent(why=Why.SILENT)),
            (silent(9, seen=leased(IDLE, left_s=60.0, now=200.0)), 259.0, Wait(why=Why.LEASED)),
            (note_stopped(silent(3), Why.SILENT), 100.0, Deallocate(why=Why.SILENT)),
            (note_refusal(silent(9)), 500.0, Wait(why=Why.REFUSED)),
            (leased(IDLE, left_s=900.0, now=200.0), 950.0, Wait(why=Why.CAP_NEAR)),
            (leased(BUSY, left_s=900.0, now=200.0), 1000.0, StopAgent(why=Why.CAP)),
            (note_refusal(BORN), 1000.0, StopAgent(why=Why.CAP)),
            (silent(1), 1000.0, StopAgent(why=Why.CAP)),
            (note_answer(BORN, CLOSED, 1000.0), 1000.0, Deallocate(why=Why.CAP)),
            (note_stopped(silent(1), Why.CAP), 1000.0, Deallocate(why=Why.CAP)),
        ],
    )
    def test_follows_its_table(self, seen, now, action):
        assert decide(seen, now, POLICY) == action

    @given(observations, moments)
    def test_leaves_a_vm_that_holds_a_job_until_the_hard_cap(self, seen, now):
        if seen.agent is None or not seen.agent.jobs:
            seen = replace(seen, agent=BUSY)

        action = decide(seen, now, POLICY)

        assert isinstance(action, Wait) == (now - seen.booted_at < POLICY.max_uptime_s)

    @given(observations, moments)
    def test_never_waits_beyond_the_hard_cap(self, seen, now):
        now += POLICY.max_uptime_s + seen.booted_at

        assert isinstance(decide(seen, now, POLICY), StopAgent | Deallocate)

    @given(observations, moments)
    def test_closes_the_door_before_the_machine_goes(self, seen, now):
        action = decide(seen, now, POLICY)

        is_closed = seen.agent is not None and seen.agent.is_closed
        assert not isinstance(action, Deallocate) or is_closed or seen.stopped_for

    @given(observations, moments)
    def test_leaves_an_open_vm_while_it_has_permission(self, seen, now):
        seen = replace(seen, agent=IDLE if seen.agent is not None else None)
        allowed_until = (
            seen.booted_at + POLICY.boot_grace_s if seen.lease_until is None else seen.lease_until
        )
        is_capped = now - seen.booted_at >= POLICY.max_uptime_s

        assert now >= allowed_until or is_capped or isinstance(decide(seen, now, POLICY), Wait)

    @given(observations, moments)
    def test_stops_no_unit_that_has_not_been_silent_long_enough(self, seen, now):
        is_capped = now - seen.booted_at >= POLICY.max_uptime_s
        is_hung = seen.agent is None and seen.silences >= MAX_SILENCES

        assert is_capped or is_hung or not isinstance(decide(seen, now, POLICY), StopAgent)


class TestNoteAnswer:
    def test_keeps_the_lease_that_an_agent_started_again_has_forgotten(self):
        seen = leased(IDLE, left_s=60.0, now=200.0)

        assert note_answer(seen, IDLE, 210.0).lease_until == 260.0

    def test_takes_the_newest_lease_even_if_it_is_shorter(self):
        seen = leased(IDLE, left_s=600.0, now=200.0)

        assert note_answer(seen, replace(IDLE, lease_left_s=5.0), 210.0).lease_until == 215.0

    def test_begins_to_count_silences_anew(self):
        seen = silent(1, seen=note_answer(silent(5), IDLE, 10.0))

        assert seen.silences == 1

    def test_takes_back_that_a_hung_agent_was_stopped(self):
        seen = note_answer(note_stopped(silent(3), Why.SILENT), BUSY, 300.0)

        assert decide(silent(3, seen=seen), 400.0, POLICY) == StopAgent(why=Why.SILENT)

    def test_does_not_doubt_at_the_hard_cap_that_the_agent_was_stopped(self):
        seen = note_answer(note_stopped(BORN, Why.CAP), BUSY, 1000.0)

        assert decide(seen, 1000.0, POLICY) == Deallocate(why=Why.CAP)

import pytest

from orchestrator.domain.pool import VmPhase
from orchestrator.domain.pool.transitions import (
    TRANSITIONS,
    TransitionError,
    check_transition,
    draw,
)


class TestTransitions:
    def test_name_every_phase(self):
        assert TRANSITIONS.keys() == set(VmPhase)

    def test_refuse_what_is_not_named(self):
        with pytest.raises(TransitionError, match="ready is not followed by starting"):
            check_transition(VmPhase.READY, "Tick", VmPhase.STARTING)


class TestDraw:
    def test_draws_each_pair_of_phases_once(self):
        arrows = [line.strip().split(": ")[0] for line in draw().splitlines() if ": " in line]

        assert len(arrows) == len(set(arrows))
        assert "draining --> ready" in arrows

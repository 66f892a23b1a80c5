"""Waking one VM: start, poll, tell."""

import pytest

from orchestrator.workflows.wake_vm import wake_vm
from tests.fakes.workflow import Drive, script

ORDER = {"vm": "gpu-1", "epoch": 9, "wake_poll_s": 10.0, "ready_poll_s": 2.0, "kind": "WakeVm"}
WAKE = {"vm": "gpu-1", "epoch": 9}
ACCEPTED = {"outcome": "accepted"}


def drive(start: list, check: list) -> Drive:
    outcomes = [{"outcome": outcome} for outcome in check]
    return Drive(wake_vm, ORDER, script(start_vm=start, check_wake=outcomes))


class TestWakeVm:
    def test_polls_slowly_while_it_starts_and_quickly_while_it_warms_up(self):
        ran = drive([ACCEPTED], ["starting", "starting", "warming", "ready"])

        assert ran.names == ["start_vm", *["check_wake"] * 4]
        assert ran.waits == [10, 10, 2]
        assert ran.output == {"outcome": "ready"}
        assert all(given == WAKE for _, given in ran.calls)

    @pytest.mark.parametrize("outcome", ["failed", "stale"])
    def test_ends_when_the_start_did_not_go_through(self, outcome: str):
        ran = drive([{"outcome": outcome}], ["ready"])

        assert ran.names == ["start_vm"]
        assert ran.output == {"outcome": outcome}

    @pytest.mark.parametrize("outcome", ["failed", "stale"])
    def test_ends_when_the_wake_is_over_otherwise(self, outcome: str):
        ran = drive([ACCEPTED], ["starting", outcome])

        assert ran.output == {"outcome": outcome}

    def test_asks_again_as_late_as_azure_says(self):
        later = {"outcome": "later", "code": "TooManyRequests", "retry_after_s": 33.0}
        ran = drive([later, {**later, "retry_after_s": None}, ACCEPTED], ["ready"])

        assert ran.waits == [33, 20]
        assert ran.names == ["start_vm", "start_vm", "start_vm", "check_wake"]

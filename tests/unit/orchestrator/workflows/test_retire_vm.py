"""Retiring one VM: drain, deallocate, confirm."""

import pytest

from orchestrator.workflows.retire_vm import retire_vm
from tests.fakes.workflow import Drive, script

ORDER = {
    "vm": "gpu-1",
    "epoch": 9,
    "drain": 2,
    "lost": False,
    "wake_poll_s": 10.0,
    "unreachable_s": 60.0,
}
RETIRE = {"vm": "gpu-1", "epoch": 9, "drain": 2}
GO = {"outcome": "deallocate"}
SILENT = {"outcome": "unreachable"}
ACCEPTED = {"outcome": "accepted"}
LATER = {"outcome": "later", "code": "Conflict", "retry_after_s": None}
ON_ITS_WAY = {"outcome": "deallocating"}
OFF = {"outcome": "deallocated"}


def drive(*, lost: bool = False, **answers: list) -> Drive:
    good = {
        "drain_vm": [GO],
        "deallocate_vm": [ACCEPTED],
        "check_deallocated": [OFF],
        "apply_pool_command": [{"answer": "done"}],
    }
    return Drive(retire_vm, {**ORDER, "lost": lost}, script(**{**good, **answers}))


class TestDrain:
    def test_drains_deallocates_and_confirms(self):
        ran = drive(check_deallocated=[ON_ITS_WAY, OFF])

        assert ran.names == [
            "drain_vm",
            "deallocate_vm",
            "check_deallocated",
            "check_deallocated",
        ]
        assert all(given == RETIRE for _, given in ran.calls)
        assert ran.waits == [10]
        assert ran.output == OFF

    @pytest.mark.parametrize("outcome", ["refused", "reopened", "stale"])
    def test_leaves_a_vm_alone_that_is_wanted(self, outcome: str):
        ran = drive(drain_vm=[{"outcome": outcome}])

        assert ran.names == ["drain_vm"]
        assert ran.output == {"outcome": outcome}

    def test_a_silent_agent_is_asked_again(self):
        ran = drive(drain_vm=[SILENT, SILENT, GO])

        assert ran.waits == [2, 2]
        assert ran.output == OFF

    def test_a_minute_of_silence_is_told_as_a_loss(self):
        ran = drive(drain_vm=[SILENT])

        assert ran.names == [*["drain_vm"] * 31, "apply_pool_command"]
        assert ran.calls[-1][1] == {
            "kind": "VmLost",
            "vm": "gpu-1",
            "epoch": 9,
            "reason": "no answer to the drain",
        }

    def test_nobody_is_drained_on_a_lost_vm(self):
        ran = drive(lost=True)

        assert ran.names == ["deallocate_vm", "check_deallocated"]


class TestDeallocate:
    def test_asks_again_later_when_azure_refuses(self):
        ran = drive(deallocate_vm=[LATER, {**LATER, "retry_after_s": 40.0}, ACCEPTED])

        assert ran.waits == [15, 40]
        assert ran.output == OFF

    def test_asks_again_when_the_operation_failed(self):
        ran = drive(check_deallocated=[ON_ITS_WAY, {"outcome": "failed"}, OFF])

        assert ran.names.count("deallocate_vm") == 2
        assert ran.output == OFF

    @pytest.mark.parametrize("step", ["deallocate_vm", "check_deallocated"])
    def test_ends_when_the_pool_has_moved_on(self, step: str):
        ran = drive(**{step: [{"outcome": "stale"}]})

        assert ran.names[-1] == step
        assert ran.output == {"outcome": "stale"}

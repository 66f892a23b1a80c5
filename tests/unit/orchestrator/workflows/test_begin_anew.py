"""A workflow that polls for long begins anew: every replay reads the whole history."""

from orchestrator.workflows import retire_vm, wake_vm
from tests.fakes.workflow import Drive, script

WAKE = {"vm": "gpu-1", "epoch": 9, "wake_poll_s": 10.0, "ready_poll_s": 2.0}
RETIRE = {
    "vm": "gpu-1",
    "epoch": 9,
    "drain": 1,
    "lost": False,
    "wake_poll_s": 10.0,
    "unreachable_s": 60.0,
}


class TestWakeVm:
    def test_begins_anew_while_the_agent_never_gets_ready(self):
        ran = Drive(
            wake_vm.wake_vm,
            WAKE,
            script(start_vm=[{"outcome": "accepted"}], check_wake=[{"outcome": "warming"}]),
        )

        assert len(ran.calls) == 1 + wake_vm.MAX_ROUNDS
        assert ran.context.began_anew_with == {**WAKE, "is_started": True}

    def test_asks_for_no_second_start_then(self):
        ran = Drive(
            wake_vm.wake_vm,
            {**WAKE, "is_started": True},
            script(check_wake=[{"outcome": "ready"}]),
        )

        assert ran.output == {"outcome": "ready"}


class TestRetireVm:
    def test_begins_anew_while_the_deallocation_hangs(self):
        ran = Drive(
            retire_vm.retire_vm,
            RETIRE,
            script(
                drain_vm=[{"outcome": "deallocate"}],
                deallocate_vm=[{"outcome": "accepted"}],
                check_deallocated=[{"outcome": "deallocating"}],
            ),
        )

        assert len(ran.calls) == 2 + retire_vm.MAX_ROUNDS
        assert ran.context.began_anew_with == {**RETIRE, "deallocation": "deallocating"}

    def test_neither_drains_nor_deallocates_again_then(self):
        ran = Drive(
            retire_vm.retire_vm,
            {**RETIRE, "deallocation": "deallocating"},
            script(check_deallocated=[{"outcome": "deallocated"}]),
        )

        assert ran.output == {"outcome": "deallocated"}

    def test_asks_again_for_a_deallocation_that_azure_refused_to_the_last(self):
        later = {"outcome": "later", "code": "TooManyRequests", "retry_after_s": 5.0}
        ran = Drive(
            retire_vm.retire_vm,
            {**RETIRE, "lost": True},
            script(deallocate_vm=[later]),
        )

        assert ran.context.began_anew_with == {**RETIRE, "lost": True, "deallocation": "failed"}

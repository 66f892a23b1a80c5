import pytest

from gpu_agent.switch.agent import read_status
from gpu_agent.switch.decision import AgentSeen
from gpu_agent.switch.errors import AgentSilentError
from gpu_agent.wire import AgentStatus


def status(**more):
    whole = AgentStatus(vm="gpu-0", boot_id="b", epoch=3, phase="ready", slots=4)
    return {**whole.to_json(), **more}


class TestReadStatus:
    def test_holds_what_is_queued_or_running_and_nothing_that_is_over(self):
        states = ["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
        jobs = [{"job_id": state, "state": state} for state in states]

        seen = read_status(status(jobs=jobs, lease_left_s=2.5))

        assert seen == AgentSeen(epoch=3, jobs=("queued", "running"), lease_left_s=2.5)

    def test_holds_a_job_in_a_state_that_it_does_not_know(self):
        assert read_status(status(jobs=[{"job_id": "a", "state": "dreaming"}])).jobs == ("a",)

    def test_tells_a_closed_agent_from_a_drained_one(self):
        assert read_status(status(phase="closed")).is_closed
        assert not read_status(status(phase="draining")).is_closed

    @pytest.mark.parametrize(
        "body",
        [
            None,
            [],
            {},
            status(epoch="many"),
            status(jobs=None),
            status(jobs=[{"job_id": "a"}]),
            status(jobs=["a"]),
            status(lease_left_s="long"),
            status(lease_left_s=float("nan")),
            status(lease_left_s=-1),
        ],
    )
    def test_takes_a_senseless_answer_for_none(self, body):
        with pytest.raises(AgentSilentError):
            read_status(body)

"""A candidate for which Azure has no host: the next one is asked at once, by ARM's own record."""

import pytest

from tests.e2e.conftest import make_vm

pytestmark = pytest.mark.stack

FIRST, SECOND = "gpu-0", "gpu-1"
WAKE_POLL_S = 4.0
ACT_S = 2.0
"""What the control plane may take from knowing of a stock-out to the next start."""


def starts_of(cloud, vm: str) -> list[dict]:
    """List the starts that ARM was asked for, with its answers."""
    return [
        request
        for request in cloud.stack.requests_to_arm()
        if (request["vm"], request["target"]) == (vm, "start")
    ]


@pytest.fixture(name="cloud")
def _cloud(start_cloud):
    """A cloud with two candidates and no warmth."""
    vms = [make_vm(FIRST), make_vm(SECOND)]
    return start_cloud(vms=vms, WAKE_POLL_S=str(WAKE_POLL_S))


class TestStockOutOfTheFirstCandidate:
    def test_told_at_once_has_the_next_started_at_once(self, cloud, photo):
        """ARM refuses the start itself: nothing is polled in between."""
        cloud.stack.fault("no_capacity", vm=FIRST, sync=True)

        job = cloud.wait_for_job(cloud.post(photo))

        (refused,), (taken,) = starts_of(cloud, FIRST), starts_of(cloud, SECOND)
        assert job["state"] == "succeeded"
        assert (refused["status"], refused["code"]) == (409, "AllocationFailed")
        assert taken["status"] == 202
        assert taken["at"] - refused["at"] < WAKE_POLL_S + ACT_S

    def test_told_by_the_operation_has_the_next_started_after_one_poll(self, cloud, photo):
        """ARM takes the start, whose operation then fails."""
        cloud.stack.fault("no_capacity", vm=FIRST, after_s=1.0)

        job = cloud.wait_for_job(cloud.post(photo))

        (accepted,), (taken,) = starts_of(cloud, FIRST), starts_of(cloud, SECOND)
        failed_at = cloud.stack.meter()[FIRST]["intervals"][-1]["from"]
        assert job["state"] == "succeeded"
        assert (accepted["status"], taken["status"]) == (202, 202)
        assert accepted["at"] < failed_at < taken["at"] < failed_at + WAKE_POLL_S + ACT_S
        # A start that found no host is not billed, and is no fault of the VM's.
        assert cloud.vm(FIRST)["billed_seconds"] == 0
        assert cloud.vm(FIRST)["phase"] == "no_capacity"
        assert cloud.vm(FIRST)["failures"] == 0

"""A wake beside the long-polls of ten full VMs, on the Functions host with our host.json."""

import pytest

from benchmarks.wake.cloud import BUSY_VMS, SLOTS_PER_VM, HangingCloud

pytestmark = pytest.mark.stack

SLOTS = BUSY_VMS * SLOTS_PER_VM


class TestWake:
    def test_goes_ahead_while_every_slot_is_being_polled(self, tmp_path):
        """Each poll holds a place of the host's until it ends: there must be more places."""
        with HangingCloud(tmp_path, spare_vms=1) as cloud:
            cloud.wake(BUSY_VMS)
            cloud.fill()
            before = cloud.polls()

            cloud.wake(1)

            ended = cloud.polls()["ended"] - before["ended"]
        assert before["hanging"] == SLOTS
        # A wake that waited for places would have seen every poll end, and some again.
        assert ended < SLOTS

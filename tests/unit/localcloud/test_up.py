"""``make up``: how often the app may look."""

import pytest

from localcloud.arm.addresses import Target
from localcloud.arm.rate_limits import Buckets, admit
from localcloud.up import choose_wake_poll_s


class TestChooseWakePollS:
    @pytest.mark.parametrize("boot_s", [0.0, 5.0, 30.0, 90.0, 300.0, 1_200.0])
    def test_never_asks_azure_too_often(self, boot_s):
        """The wake's looks, and beside them a reconciler's and a sweep's each minute."""
        poll_s = choose_wake_poll_s(boot_s)
        looks = [step * poll_s for step in range(int(boot_s / poll_s) + 2)]
        others = [minute * 60.0 for minute in range(int(boot_s / 60) + 2)] * 2
        buckets: Buckets = {}
        refused = 0
        for moment in sorted(looks + others):
            admission = admit(buckets, Target.INSTANCE_VIEW, "gpu-0", now=moment)
            buckets = admission.buckets
            refused += admission.refused_by is not None

        assert refused == 0

    def test_is_quick_for_a_quick_boot(self):
        assert choose_wake_poll_s(5.0) == 1.0

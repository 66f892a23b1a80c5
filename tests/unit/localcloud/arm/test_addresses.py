"""Paths of Azure Resource Manager."""

import pytest

from localcloud.arm.addresses import Target, read_path

VMS = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines"


class TestReadPath:
    @pytest.mark.parametrize(
        ("path", "target", "vm"),
        [
            (VMS, Target.VMS_OF_GROUP, None),
            (f"{VMS}/gpu-0", Target.VM, "gpu-0"),
            (f"{VMS}/gpu-0/instanceView", Target.INSTANCE_VIEW, "gpu-0"),
            (f"{VMS}/gpu-0/start", Target.START, "gpu-0"),
            (f"{VMS}/gpu-0/DEALLOCATE", Target.DEALLOCATE, "gpu-0"),
            (f"{VMS.lower()}/gpu-0/poweroff", Target.POWER_OFF, "gpu-0"),
        ],
    )
    def test_knows_vms_and_what_is_done_to_them(self, path, target, vm):
        address = read_path(path)

        assert address is not None
        assert (address.target, address.subscription, address.group, address.vm) == (
            target,
            "sub",
            "rg",
            vm,
        )

    def test_knows_the_list_of_a_subscription(self):
        address = read_path("/subscriptions/sub/providers/Microsoft.Compute/virtualMachines")

        assert address is not None
        assert address.target is Target.VMS_OF_SUBSCRIPTION

    def test_knows_operations(self):
        path = "/subscriptions/sub/providers/Microsoft.Compute/locations/eastus/operations/op-1"

        address = read_path(path)

        assert address is not None
        assert (address.target, address.operation) == (Target.OPERATION, "op-1")

    @pytest.mark.parametrize(
        "path",
        ["/subscriptions/sub", f"{VMS}/gpu-0/redeploy", f"{VMS}/gpu-0/start/now", "/_local/meter"],
    )
    def test_knows_nothing_else(self, path):
        assert read_path(path) is None

"""Whose token may do what."""

import pytest

from localcloud.arm.addresses import read_path
from localcloud.arm.arm_routes import is_allowed

OWN = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/gpu-0"
OPERATION = "/subscriptions/s/providers/Microsoft.Compute/locations/eastus/operations/op"
OF_VM = {"xms_mirid": OWN}


class TestIsAllowed:
    @pytest.mark.parametrize("path", [f"{OWN}/deallocate", f"{OWN.upper()}/deallocate"])
    def test_lets_a_vm_deallocate_itself(self, path):
        assert is_allowed(OF_VM, read_path(path))

    @pytest.mark.parametrize(
        "path",
        [
            f"{OWN}1/deallocate",
            f"{OWN.replace('/rg/', '/other/')}/deallocate",
            f"{OWN.replace('/s/', '/t/')}/deallocate",
            f"{OWN}/start",
            f"{OWN}/powerOff",
            f"{OWN}/instanceView",
            OWN,
            OWN.removesuffix("/gpu-0"),
            OPERATION,
        ],
    )
    def test_lets_a_vm_do_nothing_else(self, path):
        assert not is_allowed(OF_VM, read_path(path))

    @pytest.mark.parametrize("path", [f"{OWN}/start", f"{OWN}/deallocate", OWN, OPERATION])
    def test_lets_the_function_app_do_what_it_does(self, path):
        assert is_allowed({"sub": "function-app"}, read_path(path))

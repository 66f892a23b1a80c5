import pytest

from scripts.installer import SetUpError, TorchUnavailableError
from scripts.plan import INSTALL_NODE_PACKAGES, INSTALL_PACKAGES, INSTALL_PROJECT
from scripts.set_up import (
    HEADROOM_MB,
    ON_DISK_MB,
    check_machine,
    check_torch_machine,
    estimate_need_mb,
)


class TestCheckMachine:
    @pytest.mark.parametrize(
        "machine", [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
    )
    def test_accepts_a_machine_with_wheels(self, machine):
        check_machine(*machine)

    @pytest.mark.parametrize("machine", [("darwin", "x86_64"), ("linux", "riscv64")])
    def test_says_which_machines_will_do(self, machine):
        with pytest.raises(SetUpError, match=r"no wheel for .*: use Linux on x86-64"):
            check_machine(*machine)


class TestCheckTorchMachine:
    def test_accepts_the_machine_of_the_build(self):
        check_torch_machine("linux", "x86_64")

    @pytest.mark.parametrize("machine", [("darwin", "arm64"), ("linux", "aarch64")])
    def test_says_that_there_is_no_build_for_another(self, machine):
        with pytest.raises(TorchUnavailableError, match=r"torch can't be had for .* on "):
            check_torch_machine(*machine)


class TestEstimateNeedMb:
    def test_adds_up_what_is_left_to_install(self):
        steps = [INSTALL_PACKAGES, INSTALL_PROJECT, INSTALL_NODE_PACKAGES]

        need_mb = estimate_need_mb("dev", steps)

        assert need_mb == ON_DISK_MB["dev"] + ON_DISK_MB["node"] + HEADROOM_MB

    def test_asks_for_no_room_where_nothing_is_downloaded(self):
        assert estimate_need_mb("dev", [INSTALL_PROJECT]) == 0

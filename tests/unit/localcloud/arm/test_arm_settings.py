"""The command line of the stand-in and the list of its VMs."""

import json

import pytest

from localcloud.arm.settings import SettingsError, read_settings, read_vms
from localcloud.arm.vm import Overlap

VM = {
    "name": "gpu-0",
    "resource_group": "rg",
    "size": "Standard_NC24ads_A100_v4",
    "location": "eastus",
    "agent": {"command": ["true"], "env": {"GPU_AGENT_TOKEN": "hush-7"}},
}


def write(tmp_path, *vms):
    path = tmp_path / "vms.json"
    path.write_text(json.dumps({"subscription_id": "sub", "vms": vms}))
    return path


class TestReadVms:
    def test_reads_figures_and_fills_in_the_rest(self, tmp_path):
        listed = {**VM, "boot_s": 3, "restart_agent_after_s": 2}

        subscription_id, vms = read_vms(write(tmp_path, listed), tmp_path)

        spec = vms["gpu-0"]
        assert subscription_id == "sub"
        assert (spec.pace.boot_s, spec.pace.restart_agent_after_s) == (3.0, 2.0)
        assert spec.pace.overlap is Overlap.CONFLICT
        assert spec.zone is None
        assert spec.agent.log == tmp_path / "gpu-0.log"

    def test_keeps_secrets_out_of_what_is_printed(self, tmp_path):
        _, vms = read_vms(write(tmp_path, VM), tmp_path)

        assert "hush-7" not in repr(vms)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"agent": {}}, "gpu-0: command is missing"),
            ({"boot_s": "soon"}, "gpu-0: could not convert"),
            ({"start_during_deallocation": "maybe"}, "maybe"),
        ],
    )
    def test_says_which_vm_is_wrong_and_why(self, tmp_path, change, said):
        with pytest.raises(SettingsError, match=said):
            read_vms(write(tmp_path, {**VM, **change}), tmp_path)

    def test_refuses_two_vms_of_one_name(self, tmp_path):
        with pytest.raises(SettingsError, match="one name"):
            read_vms(write(tmp_path, VM, {**VM, "name": "GPU-0"}), tmp_path)

    def test_refuses_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(SettingsError, match="absent"):
            read_vms(tmp_path / "absent.json", tmp_path)


class TestReadSettings:
    def test_takes_the_identity_header_from_the_environment(self, tmp_path):
        arguments = ["--port", "1", "--imds-port", "2", "--data", str(tmp_path)]
        arguments += ["--vms", str(write(tmp_path, VM))]

        settings = read_settings(arguments, {"IDENTITY_HEADER": "hush-7"})

        assert settings.identity_header == "hush-7"
        assert "hush-7" not in repr(settings)
        assert list(settings.vms) == ["gpu-0"]

    def test_wants_a_key_with_a_certificate(self, tmp_path):
        arguments = ["--port", "1", "--imds-port", "2", "--data", str(tmp_path)]
        arguments += ["--vms", str(write(tmp_path, VM)), "--cert", "cert.pem"]

        with pytest.raises(SettingsError, match="together"):
            read_settings(arguments, {})

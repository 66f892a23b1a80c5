"""The app's settings: the VMs that may be woken, the numbers of the pool, the token."""

import json

import pytest

from orchestrator.settings import Settings, SettingsError

FIRST = {
    "name": "gpu-0",
    "resource_group": "rg",
    "size": "Standard_NC24ads_A100_v4",
    "region": "eastus",
    "zone": "1",
    "price_per_hour_usd": 3.673,
    "agent_url": "http://10.0.1.4:8470/",
}
SECOND = {**FIRST, "name": "gpu-1", "region": "westus3", "zone": None}
ENVIRON = {
    "AZURE_SUBSCRIPTION_ID": "0000",
    "STORAGE_BLOB_URL": "https://blob.invalid",
    "STORAGE_TABLE_URL": "https://table.invalid",
    "GPU_AGENT_TOKEN": "token",
}


def read(*vms: dict, **more: str) -> Settings:
    return Settings.from_environ({**ENVIRON, "GPU_VMS": json.dumps(vms), **more})


class TestCandidates:
    def test_keep_the_order_of_preference(self):
        pool = read(SECOND, FIRST).pool

        assert [candidate.name for candidate in pool.candidates] == ["gpu-1", "gpu-0"]

    def test_are_what_was_said_of_them(self):
        (candidate, elsewhere) = read(FIRST, SECOND).pool.candidates

        assert candidate.size == "Standard_NC24ads_A100_v4"
        assert (candidate.region, candidate.zone) == ("eastus", "1")
        assert candidate.price_per_hour_usd == 3.673
        assert candidate.agent_url == "http://10.0.1.4:8470"
        assert elsewhere.zone is None

    @pytest.mark.parametrize(
        ("vms", "says"),
        [
            ([], "at least one VM"),
            ([FIRST, FIRST], "two VMs have one name"),
            ([{**FIRST, "price_per_hour_usd": "dear"}], "dear"),
            ([{name: value for name, value in FIRST.items() if name != "size"}], "size"),
        ],
    )
    def test_that_make_no_sense_are_refused_by_name(self, vms: list, says: str):
        with pytest.raises(SettingsError, match=rf"wrong settings: GPU_VMS \(.*{says}"):
            read(*vms)


class TestPool:
    def test_takes_its_numbers_from_the_environment(self):
        numbers = {
            "IDLE_WINDOW_S": "30",
            "LEASE_S": "8",
            "MAX_FAILED_WAKES": "2",
            "RECONCILER_OVERDUE_S": "4",
            "START_TIMEOUT_S": "60",
        }

        pool = read(FIRST, **numbers).pool

        assert (pool.idle_window_s, pool.lease_s, pool.max_failures) == (30.0, 8.0, 2)
        assert (pool.reconciler_overdue_s, pool.starting_s) == (4.0, 60.0)

    @pytest.mark.parametrize("text", ["0", "-1", "nan", "soon"])
    def test_refuses_a_time_that_is_none(self, text: str):
        with pytest.raises(SettingsError, match="LEASE_S"):
            read(FIRST, LEASE_S=text)

    def test_names_everything_that_is_missing_at_once(self):
        with pytest.raises(SettingsError) as caught:
            Settings.from_environ({})

        missing = [*ENVIRON, "GPU_VMS"]
        assert [name for name in missing if name not in str(caught.value)] == []


class TestToken:
    def test_is_no_reference_that_azure_did_not_resolve(self):
        reference = "@Microsoft.KeyVault(SecretUri=https://v.invalid/secrets/gpu-agent-token)"

        with pytest.raises(SettingsError, match=r"GPU_AGENT_TOKEN .*did not resolve"):
            read(FIRST, GPU_AGENT_TOKEN=reference)

    def test_is_not_shown(self):
        assert "a-secret" not in repr(read(FIRST, GPU_AGENT_TOKEN="a-secret"))

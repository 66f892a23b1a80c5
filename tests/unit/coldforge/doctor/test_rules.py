import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.errors import DeploymentError
from coldforge.doctor.facts import Budget, FoundVm, Grant, Host, Quota, Size, WantedVm
from coldforge.doctor.rules import access, account, app, machines
from tests.fakes.doctor_probes import FAMILY, GROUP, SETTINGS, SIZE, VM, grant_all

ROOT = Path(__file__).parents[4]
WANTED = app.read_vms(SETTINGS)[0]
SECOND = replace(WANTED, name="gpu-1", zone="2")
KEY = ("eastus", SIZE.lower())
SIZES = {KEY: Size(name=SIZE, family=FAMILY, vcpus=24, zones=frozenset({"1", "2"}))}


def codes(findings):
    return [finding.code for finding in findings]


class TestClock:
    @pytest.mark.parametrize("skew_s", [0.0, 59.0, -59.0])
    def test_is_right_within_a_minute(self, skew_s):
        assert account.judge_clock(skew_s) == []

    def test_tells_which_way_it_is_wrong(self):
        assert "ahead of" in account.judge_clock(90.0)[0].message
        assert "behind" in account.judge_clock(-90.0)[0].message


class TestQuota:
    def test_counts_every_vm_of_a_family_for_deallocated_ones_use_it_up(self):
        quota = {("eastus", FAMILY.lower()): Quota(family=FAMILY, used=24, limit=47)}

        findings = account.judge_quota([WANTED, SECOND], SIZES, quota)

        assert codes(findings) == ["quota.too_low"]
        assert "47 vCPUs; the VMs need 48" in findings[0].message

    def test_is_enough_when_it_just_is(self):
        quota = {("eastus", FAMILY.lower()): Quota(family=FAMILY, used=48, limit=48)}

        assert account.judge_quota([WANTED, SECOND], SIZES, quota) == []

    def test_is_also_one_of_all_families_together(self):
        quota = {
            ("eastus", FAMILY.lower()): Quota(family=FAMILY, used=0, limit=48),
            ("eastus", "cores"): Quota(family="cores", used=0, limit=10),
        }

        (finding,) = account.judge_quota([WANTED, SECOND], SIZES, quota)

        assert finding.subject == "Total Regional vCPUs"
        assert "is 10 vCPUs; the VMs need 48" in finding.message

    def test_counts_a_family_without_quota_as_none(self):
        assert codes(account.judge_quota([WANTED], SIZES, {})) == ["quota.too_low"]


class TestSizes:
    def test_complains_only_about_the_vm_in_the_closed_zone(self):
        sizes = {KEY: replace(SIZES[KEY], restricted_zones=frozenset({"2"}))}

        findings = account.judge_sizes([WANTED, SECOND], sizes)

        assert [(one.code, one.subject) for one in findings] == [("size.restricted", "gpu-1")]
        assert "Zones that are open: 1." in findings[0].fix

    def test_leaves_a_vm_without_a_zone_to_azure(self):
        sizes = {KEY: replace(SIZES[KEY], restricted_zones=frozenset({"1", "2"}))}

        assert account.judge_sizes([replace(WANTED, zone=None)], sizes) == []

    def test_knows_a_closed_region_and_a_size_that_is_not_offered(self):
        closed = {KEY: replace(SIZES[KEY], region_restricted="NotAvailableForSubscription")}

        assert codes(account.judge_sizes([WANTED], closed)) == ["size.restricted"]
        assert codes(account.judge_sizes([WANTED], {})) == ["size.not_offered"]
        assert codes(account.judge_sizes([replace(WANTED, zone="3")], SIZES)) == [
            "size.not_offered"
        ]


class TestBudget:
    @pytest.mark.parametrize(("spent", "expected"), [(99.99, []), (100.0, ["budget.used_up"])])
    def test_is_used_up_at_its_amount(self, spent, expected):
        budget = Budget(name="b", amount=100.0, spent=spent)

        assert codes(account.judge_budget(budget)) == expected


class TestRoles:
    def find(self, *grants, scope=VM.id, needs=access.APP_ON_VM):
        return access.find_missing_roles(
            code="c", who="The app", principals=["p"], scope=scope, needs=needs, grants=grants
        )

    def test_hold_where_they_are_given_and_below(self):
        assert self.find(grant_all(VM.id)) == []
        assert self.find(grant_all(GROUP.upper())) == []
        assert self.find(grant_all("/")) == []

    def test_do_not_hold_beside_or_above(self):
        assert codes(self.find(grant_all(VM.id[:-1]))) == ["c"]
        assert codes(self.find(grant_all(f"{VM.id}/extensions/x"))) == ["c"]

    def test_may_be_spread_over_several_grants(self):
        actions = access.APP_ON_VM[0].actions
        spread = [Grant(scope=GROUP, actions=(action,)) for action in actions]

        assert self.find(*spread) == []
        assert codes(self.find(*spread[1:])) == ["c"]

    def test_know_wildcards_and_exceptions(self):
        contributor = Grant(scope=GROUP, actions=("*",))
        bound = replace(contributor, not_actions=("Microsoft.Compute/*/deallocate/action",))

        assert self.find(contributor) == []
        assert codes(self.find(bound)) == ["c"]

    def test_of_our_own_definition_are_given_by_terraform_and_no_command_is_made_up(self):
        (finding,) = self.find()

        assert "Coldforge pool operator" in finding.message
        assert "make apply" in finding.fix
        assert "az role" not in finding.fix

    def test_of_management_say_nothing_about_data(self):
        owner = Grant(scope="/", actions=("*",))

        findings = self.find(owner, scope=GROUP, needs=access.APP_ON_STORAGE)

        assert len(findings) == 1
        assert findings[0].fix.count("az role assignment create") == 3


class TestSettings:
    def test_are_those_that_the_documents_call_required(self):
        text = (ROOT / "docs" / "settings.md").read_text("utf-8")
        section = text.split("## Function app\n", 1)[1].split("\n## ")[0]
        required = set(re.findall(r"(?m)^\| `([A-Z0-9_]+)` \| required \|", section))

        assert required == set(app.REQUIRED_SETTINGS)

    @pytest.mark.parametrize("name", app.REQUIRED_SETTINGS)
    def test_are_missed_by_name(self, name):
        findings = app.judge_settings({**SETTINGS, name: ""})

        assert [(one.code, one.subject) for one in findings] == [("setting.missing", name)]

    def test_may_refer_to_a_secret(self):
        reference = "@Microsoft.KeyVault(SecretUri=https://v.invalid/secrets/t/)"

        assert app.find_secret(reference) == "https://v.invalid/secrets/t"
        assert app.find_secret("a token") is None

    @pytest.mark.parametrize("text", ["nonsense", "[{}]", "7", '["gpu-0"]'])
    def test_with_vms_that_cannot_be_read_are_wrong(self, text):
        assert codes(app.judge_settings({**SETTINGS, "GPU_VMS": text})) == ["setting.wrong"]


class TestHealth:
    def test_is_what_the_app_says(self):
        findings = app.judge_health("intake_failing", "https://app.invalid")

        assert codes(findings) == ["health.intake_failing"]
        assert "restart" in findings[0].fix

    def test_is_well_without_a_code(self):
        assert app.judge_health("", "https://app.invalid") == []


class TestHost:
    WELL = Host(state="Running")
    UNWELL = Host(state="Error", errors=("Unable to read AccountKey=abc;x.", "And more"))

    def test_is_well(self):
        assert app.judge_host(self.WELL, {"AZUREWEBJOBSSTORAGE": ""}) == []

    @pytest.mark.parametrize("host", [WELL, UNWELL])
    @pytest.mark.parametrize("name", ["AzureWebJobsStorage", "AZUREWEBJOBSSTORAGE"])
    def test_has_a_connection_string_which_explains_all_else(self, host, name):
        findings = app.judge_host(host, {name: "AccountName=a;AccountKey="})

        assert [(one.code, one.subject) for one in findings] == [("host.storage_key", name)]

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            (UNWELL, "is Error: Unable to read AccountKey=…;x."),
            (Host(state=""), "is in an unknown state: it gives no reason."),
            (Host(state="Running", errors=("Odd.",)), "is Running: Odd."),
        ],
    )
    def test_says_what_it_complains_of_without_keys(self, host, said):
        (finding,) = app.judge_host(host, {})

        assert finding.code == "host.unwell"
        assert finding.message.endswith(said)

    def test_may_be_hindered_by_an_empty_setting(self):
        empty = {"AZUREWEBJOBSSTORAGE": "", "AzureWebJobsStorage__accountName": "a"}

        (finding,) = app.judge_host(self.UNWELL, empty)

        assert "appsettings delete" in finding.fix
        assert "--setting-names AZUREWEBJOBSSTORAGE." in finding.fix


class TestStorage:
    def test_may_be_written_with_and_without_a_slash(self):
        endpoints = {
            "blob": SETTINGS["STORAGE_BLOB_URL"].rstrip("/"),
            "table": SETTINGS["STORAGE_TABLE_URL"] + "/",
        }

        assert app.judge_storage_name(SETTINGS, endpoints) == []

    def test_lacks_what_is_not_there(self):
        findings = app.judge_storage_content({"jobs", "pool", "inbox"}, set(app.TABLES))

        assert [(one.code, one.subject) for one in findings] == [
            ("storage.container_missing", "failed")
        ]
        assert "make apply" in findings[0].fix

    def test_does_not_send_anybody_to_terraform_for_a_table_that_it_does_not_look_at(self):
        (finding,) = app.judge_storage_content(app.CONTAINERS, set(app.TABLES) - {"ledger"})

        assert finding.code == "storage.table_missing"
        assert "make apply" not in finding.fix
        assert "az storage table create" in finding.fix


class TestVm:
    @pytest.mark.parametrize(
        ("found", "code"),
        [
            (None, "vm.missing"),
            (replace(VM, size="Standard_D2s_v5"), "vm.wrong_size"),
            (replace(VM, power="stopped"), "vm.stopped_billed"),
            (replace(VM, failure="AllocationFailed"), "vm.failed"),
        ],
    )
    def test_has_one_fault_at_a_time(self, found, code):
        assert codes(machines.judge_vm(WANTED, found)) == [code]

    @pytest.mark.parametrize(
        ("version", "is_old"),
        [("1.9.0", True), ("1.10.0", False), ("1.10.1", False), ("2.0.0", False), ("", True)],
    )
    def test_is_made_from_an_older_image_by_number_not_by_letter(self, version, is_old):
        found = replace(VM, image_version=version)

        findings = machines.judge_image(WANTED, found, "1.10.0")

        assert codes(findings) == (["image.too_old"] if is_old else [])

    def test_is_not_held_against_an_image_that_nobody_named(self):
        assert machines.judge_image(WANTED, FoundVm(id="x", size="s", power=""), "") == []


BODY = {
    "subscription_id": "s",
    "app_id": f"{GROUP}/providers/Microsoft.Web/sites/app",
    "app_url": "https://app.invalid/",
    "storage_account_id": "x",
}


class TestDeployment:
    def test_is_read_from_a_file_of_its_own_form(self):
        deployment = Deployment.from_json(json.dumps(BODY))

        assert deployment.app_url == "https://app.invalid"
        assert deployment.jobs_container_id == "x/blobServices/default/containers/jobs"

    def test_is_read_from_terraforms_output(self):
        output = {
            "app": {"id": BODY["app_id"], "name": "app", "url": "https://app.invalid"},
            "vault": {"id": f"{GROUP}/providers/Microsoft.KeyVault/vaults/v", "name": "v"},
            "roles_input": {"name": "dev", "scopes": {"storage_account": "x"}},
            "vms": [],
        }

        deployment = Deployment.from_json(json.dumps(output))

        assert deployment.subscription_id == "s"
        assert deployment.storage_account_id == "x"
        assert deployment.budget_id.endswith("/Microsoft.Consumption/budgets/dev-budget")
        with pytest.raises(DeploymentError, match="'vault'"):
            Deployment.from_json(json.dumps({k: v for k, v in output.items() if k != "vault"}))

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("nonsense", "not valid JSON"),
            ("[]", "JSON object"),
            ("{}", "subscription_id, app_id, app_url, storage_account_id must be set"),
            (json.dumps({**BODY, "colour": "red"}), r"unknown: colour \(allowed: app_id, .*\)"),
        ],
    )
    def test_says_what_is_wrong_with_its_file(self, text, complaint):
        with pytest.raises(DeploymentError, match=complaint):
            Deployment.from_json(text)


class TestWantedVm:
    def test_is_read_from_the_setting(self):
        assert (
            WantedVm(
                name="gpu-0",
                resource_group="g",
                size=SIZE,
                region="eastus",
                zone="1",
                agent_url="http://10.0.0.4:8470",
            )
            == WANTED
        )

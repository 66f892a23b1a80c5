import pytest

from infra.deploy.guards import (
    Resource,
    find_made_by_azure,
    find_strangers,
    judge_apply,
    judge_destroy,
)

GROUP = "/subscriptions/s/resourceGroups/dev-rg"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/gpu-0"
STORE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/store"
IMAGE = f"{GROUP}/providers/Microsoft.Compute/galleries/g/images/i"
ENDPOINT = f"{GROUP}/providers/Microsoft.Network/privateEndpoints/vault-endpoint"
ASLEEP = {"vms": [{"name": "gpu-0", "phase": "deallocated", "slots": []}], "queue_length": 0}
BUSY = {"vms": [{"name": "gpu-0", "phase": "ready", "slots": ["j1", "j2"]}], "queue_length": 3}


def change(kind, actions, *, before=None, mode="managed"):
    return {
        "mode": mode,
        "type": kind,
        "address": f"module.coldforge.{kind}.this",
        "change": {"actions": actions, "before": before},
    }


def destroy_plan(*, takes_group=True):
    """A plan to destroy, of a group with a VM, a store, an image and a private endpoint."""
    actions = ["delete"] if takes_group else ["no-op"]
    return {
        "resource_changes": [
            change("azurerm_resource_group", actions, before={"id": GROUP, "name": "dev-rg"}),
            change("azurerm_storage_account", ["delete"]),
            change("azurerm_linux_virtual_machine", ["delete"]),
            change("azurerm_key_vault", ["read"], mode="data"),
        ],
        "prior_state": {
            "values": {
                "root_module": {
                    "child_modules": [
                        {
                            "resources": [
                                {"mode": "managed", "values": {"id": one}}
                                for one in (GROUP, VM, STORE, IMAGE, ENDPOINT)
                            ]
                        }
                    ]
                }
            }
        },
    }


INVENTORY = [
    Resource(id=VM, type="Microsoft.Compute/virtualMachines"),
    Resource(id=STORE.replace("dev-rg", "DEV-RG"), type="Microsoft.Storage/storageAccounts"),
    Resource(
        id=f"{GROUP}/providers/Microsoft.Compute/disks/gpu-0_OsDisk_1_abc",
        type="Microsoft.Compute/disks",
        managed_by=VM,
    ),
    Resource(
        id=f"{GROUP}/providers/Microsoft.Network/networkInterfaces/vault-endpoint.nic.1f",
        type="Microsoft.Network/networkInterfaces",
    ),
    Resource(
        id=f"{GROUP}/providers/microsoft.alertsmanagement/smartDetectorAlertRules/"
        "Failure Anomalies - dev",
        type="microsoft.alertsmanagement/smartDetectorAlertRules",
    ),
    Resource(id=f"{VM}/extensions/x", type="Microsoft.Compute/virtualMachines/extensions"),
]
STRANGER = Resource(
    id=f"{GROUP}/providers/Microsoft.Sql/servers/somebody-elses", type="Microsoft.Sql/servers"
)


class TestJudgeApply:
    @pytest.mark.parametrize("actions", [["update"], ["delete"], ["delete", "create"]])
    def test_refuses_to_touch_a_vm_while_jobs_run(self, actions):
        plan = {"resource_changes": [change("azurerm_linux_virtual_machine", actions)]}

        reasons = judge_apply(plan, BUSY)

        assert len(reasons) == 1
        assert "gpu-0 ready with 2 jobs, 3 jobs wait" in reasons[0]

    def test_refuses_to_touch_a_vm_when_nobody_says_what_it_does(self):
        plan = {"resource_changes": [change("azurerm_network_interface", ["update"])]}

        assert "does not say" in judge_apply(plan, None)[0]

    def test_makes_a_vm_anew_that_azure_had_no_room_for_though_there_is_no_app_yet(self):
        failed = change("azurerm_linux_virtual_machine", ["delete", "create"])
        asked = {**failed, "action_reason": "replace_by_request"}
        unborn = {**failed, "action_reason": "replace_because_tainted"}

        assert judge_apply({"resource_changes": [unborn]}, None) == []
        assert "does not say" in judge_apply({"resource_changes": [asked]}, None)[0]

    def test_lets_a_vm_be_changed_while_it_sleeps_and_made_at_any_time(self):
        updated = {"resource_changes": [change("azurerm_linux_virtual_machine", ["update"])]}
        made = {"resource_changes": [change("azurerm_linux_virtual_machine", ["create"])]}

        assert judge_apply(updated, ASLEEP) == []
        assert judge_apply(made, BUSY) == []

    @pytest.mark.parametrize("actions", [["delete", "create"], ["create", "delete"], ["delete"]])
    @pytest.mark.parametrize(
        "kind",
        [
            "azurerm_storage_account",
            "azurerm_key_vault",
            "azurerm_resource_group_template_deployment",
        ],
    )
    def test_never_takes_along_what_no_apply_brings_back(self, kind, actions):
        (reason,) = judge_apply({"resource_changes": [change(kind, actions)]}, ASLEEP)

        assert f"deletes module.coldforge.{kind}.this with all that is in it" in reason

    def test_lets_terraform_forget_what_stays(self):
        plan = {"resource_changes": [change("azurerm_storage_table", ["forget"])]}

        assert judge_apply(plan, BUSY) == []

    def test_lets_all_else_be_changed_while_jobs_run(self):
        plan = {
            "resource_changes": [
                change("azurerm_key_vault", ["update"]),
                change("azurerm_linux_virtual_machine", ["no-op"]),
            ]
        }

        assert judge_apply(plan, BUSY) == []


class TestFindStrangers:
    def test_knows_what_terraform_made_and_what_azure_made_with_it(self):
        assert find_strangers(destroy_plan(), INVENTORY) == []

    @pytest.mark.parametrize(
        "one", ["microsoft.insights/actiongroups/ours", "microsoft.alertsmanagement/x/ours"]
    )
    def test_takes_no_alert_of_somebody_elses_for_azures(self, one):
        mine = Resource(id=f"{GROUP}/providers/{one}", type=one.rsplit("/", 1)[0])

        assert find_strangers(destroy_plan(), [mine]) == [mine.id]
        assert find_made_by_azure([mine, *INVENTORY]) == [INVENTORY[4].id]

    def test_names_what_somebody_else_put_into_a_group_that_goes(self):
        assert find_strangers(destroy_plan(), [*INVENTORY, STRANGER]) == [STRANGER.id]

    def test_counts_an_image_version_as_somebodys_work(self):
        version = Resource(
            id=f"{IMAGE}/versions/1.0.0", type="Microsoft.Compute/galleries/images/versions"
        )

        assert find_strangers(destroy_plan(), [version]) == [version.id]

    def test_minds_nothing_in_a_group_that_stays(self):
        assert find_strangers(destroy_plan(takes_group=False), [STRANGER]) == []

    def test_does_not_take_a_group_for_another_whose_name_begins_like_it(self):
        other = Resource(
            id=STRANGER.id.replace("dev-rg", "dev-rg-2"), type="Microsoft.Sql/servers"
        )

        assert find_strangers(destroy_plan(), [other]) == []


class TestJudgeDestroy:
    def judge(self, *, inventory=INVENTORY, pool=ASLEEP, confirmed="dev"):
        return judge_destroy(destroy_plan(), inventory, pool, name="dev", confirmed=confirmed)

    def test_lets_a_sleeping_environment_go_that_was_named(self):
        assert self.judge() == []

    def test_refuses_while_a_job_runs_or_waits(self):
        waiting = {**ASLEEP, "queue_length": 1}

        assert "gpu-0 ready with 2 jobs" in self.judge(pool=BUSY)[0]
        assert "1 jobs wait" in self.judge(pool=waiting)[0]

    def test_refuses_when_nobody_says_whether_a_job_runs(self):
        assert "does not say" in self.judge(pool=None)[0]

    def test_lets_an_environment_go_that_never_had_a_vm_or_an_app_that_starts(self):
        plan = destroy_plan()
        plan["resource_changes"] = [
            one
            for one in plan["resource_changes"]
            if one["type"] != "azurerm_linux_virtual_machine"
        ]

        assert judge_destroy(plan, INVENTORY, None, name="dev", confirmed="dev") == []

    def test_says_that_models_go_with_a_container_of_somebody_elses_account(self):
        plan = {"resource_changes": [change("azurerm_storage_container", ["delete"])]}

        (reason,) = judge_destroy(plan, [], None, name="dev", confirmed="")

        assert "with every model in it" in reason

    def test_refuses_what_it_did_not_create(self):
        reasons = self.judge(inventory=[STRANGER])

        assert len(reasons) == 1
        assert STRANGER.id in reasons[0]

    @pytest.mark.parametrize("confirmed", ["", "prod", "DEV"])
    def test_refuses_until_the_environment_is_named(self, confirmed):
        reasons = self.judge(confirmed=confirmed)

        assert len(reasons) == 1
        assert "3 resources would go with every model in it" in reasons[0]
        assert "CONFIRM=dev" in reasons[0]

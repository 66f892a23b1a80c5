"""What must not be done now. Pure: from Terraform's plan, Azure's inventory and the app's pool."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A change of any of these stops a running VM, or ends it.
_OF_A_VM = frozenset(
    {
        "azurerm_linux_virtual_machine",
        "azurerm_managed_disk",
        "azurerm_network_interface",
        "azurerm_virtual_machine_data_disk_attachment",
    }
)
# What is in these is gone with them, and comes back with no later apply.
_KEEPS = frozenset(
    {
        "azurerm_key_vault",
        # It holds the tables.
        "azurerm_resource_group_template_deployment",
        "azurerm_storage_account",
        "azurerm_storage_container",
        # Of a state that is older than the template.
        "azurerm_storage_table",
    }
)
_STORES = frozenset({"azurerm_storage_account", "azurerm_storage_container"})
_GROUP = "azurerm_resource_group"
# Azure makes these by itself, next to Application Insights: how their names begin, by type.
_MADE_BY_AZURE = {
    "microsoft.alertsmanagement/smartdetectoralertrules": "failure anomalies - ",
    "microsoft.insights/actiongroups": "application insights smart detection",
}
_IMAGE_VERSION = "microsoft.compute/galleries/images/versions"
_ENDPOINT = "/providers/microsoft.network/privateendpoints/"
_ASLEEP = frozenset({"deallocated", "no_capacity", "broken"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A resource as Azure lists it.

    Attributes:
        id: Its resource id.
        type: Such as ``Microsoft.Compute/disks``.
        managed_by: Id of the resource that it belongs to, or empty.
    """

    id: str
    type: str
    managed_by: str = ""


def list_changes(plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """List what a plan changes: actions joined by ``/``, type and address.

    Args:
        plan: What ``terraform show -json`` prints of it.
    """
    return [
        ("/".join(change["change"]["actions"]), change["type"], change["address"])
        for change in plan.get("resource_changes") or ()
        if change["mode"] == "managed" and change["change"]["actions"] not in (["no-op"], ["read"])
    ]


def list_unborn(plan: Mapping[str, Any]) -> frozenset[str]:
    """Return the addresses of what a plan makes anew because it failed when it was made.

    Such a VM, for which Azure had no room, has never run a job.
    """
    return frozenset(
        change["address"]
        for change in plan.get("resource_changes") or ()
        if change.get("action_reason") == "replace_because_tainted"
    )


def judge_apply(plan: Mapping[str, Any], pool: Mapping[str, Any] | None) -> list[str]:
    """Return why a plan must not be applied now; empty if it may.

    Args:
        plan: What ``terraform show -json`` prints of it.
        pool: What ``GET /api/pool`` answers; None if there is no app yet, or it does not answer.
    """
    changes = list_changes(plan)
    lost = [
        address
        for actions, kind, address in changes
        if kind in _KEEPS and "delete" in actions.split("/")
    ]
    if lost:
        return [
            f"The plan deletes {', '.join(lost)} with all that is in it. Take back what asks for "
            "that (a zone-redundant storage_replication in the place of another, a new name); an "
            "account is converted in place by az storage account migration start."
        ]
    unborn = list_unborn(plan)
    touched = [
        address
        for actions, kind, address in changes
        if kind in _OF_A_VM and actions != "create" and address not in unborn
    ]
    if not touched:
        return []
    if pool is None:
        return [
            f"The plan changes {', '.join(touched)}, and the app does not say whether jobs run."
        ]
    busy = find_busy(pool)
    return [f"The plan changes {', '.join(touched)}, which may end jobs: {busy}."] if busy else []


def judge_images(wanted: Collection[str], published: Collection[str], *, name: str) -> list[str]:
    """Return why an environment can't be planned with the images that it wants; empty if it can.

    Args:
        wanted: Versions that VMs are to be made from.
        published: Versions in the gallery; empty where there is no gallery yet.
        name: Of the environment.
    """
    missing = sorted(set(wanted) - set(published))
    if not missing:
        return []
    listed = ", ".join(missing)
    if not published:
        return [
            f"The variables ask for image_version {listed}, and no image is published yet. Leave "
            f"image_version empty for the first make apply ENV={name}, then make image "
            f"ENV={name} VERSION={missing[0]}."
        ]
    return [
        f"The variables ask for image_version {listed}, which is not published: there are "
        f"{', '.join(sorted(published))}. First make image ENV={name} VERSION={missing[0]}, or "
        "name one of those."
    ]


def judge_destroy(
    plan: Mapping[str, Any],
    inventory: Collection[Resource],
    pool: Mapping[str, Any] | None,
    *,
    name: str,
    confirmed: str,
) -> list[str]:
    """Return why an environment must not be destroyed now; empty if it may.

    Args:
        plan: What ``terraform show -json`` prints of the plan to destroy.
        inventory: All resources in the resource groups that the plan deletes.
        pool: What ``GET /api/pool`` answers; None if it does not.
        name: Of the environment.
        confirmed: What the operator said is to be destroyed.
    """
    reasons = []
    deleted = [
        (kind, address)
        for actions, kind, address in list_changes(plan)
        if "delete" in actions.split("/")
    ]
    strangers = find_strangers(plan, inventory)
    if strangers:
        reasons.append(
            "Resource groups that would go hold what Terraform did not create; move or delete it "
            "first (an image version: az sig image-version delete): " + ", ".join(strangers) + "."
        )
    # Jobs run on VMs alone, so an app that has none, and does not start for that, need not answer.
    has_vms = any(kind == "azurerm_linux_virtual_machine" for kind, _ in deleted)
    if pool is None and has_vms:
        reasons.append(
            "The app does not say whether jobs run; coldforge doctor says why. If it is beyond "
            "mending: deallocate the VMs, then terraform destroy by itself."
        )
    elif pool is not None and (busy := find_busy(pool)):
        reasons.append(f"Jobs are under way: {busy}. Cancel them or wait.")
    if confirmed != name:
        stores = [address for kind, address in deleted if kind in _STORES]
        models = " with every model in it" if stores else ""
        reasons.append(
            f"{len(deleted)} resources would go{models}. If that is meant: CONFIRM={name}"
        )
    return reasons


def find_strangers(plan: Mapping[str, Any], inventory: Iterable[Resource]) -> list[str]:
    """Return what deleting a group would take along although Terraform did not make it: its ids.

    A group that the plan leaves alone takes nothing along, whatever is in it.
    """
    own = {one.lower() for one in list_own_ids(plan)}
    endpoints = [f"{one.rsplit('/', 1)[-1]}.nic." for one in own if _ENDPOINT in one]
    groups = [
        str(change["change"]["before"]["id"]).lower() + "/"
        for change in plan.get("resource_changes") or ()
        if change["type"] == _GROUP and "delete" in change["change"]["actions"]
    ]
    return sorted(
        one.id
        for one in inventory
        if any(one.id.lower().startswith(group) for group in groups)
        and one.id.lower() not in own
        and one.managed_by.lower() not in own
        and not _comes_with(one, own, endpoints)
    )


def find_made_by_azure(inventory: Iterable[Resource]) -> list[str]:
    """Return what Azure has made by itself next to Application Insights: its ids."""
    return sorted(one.id for one in inventory if _is_made_by_azure(one))


def list_deleted_groups(plan: Mapping[str, Any]) -> list[str]:
    """Return the names of the resource groups that a plan deletes."""
    return [
        str(change["change"]["before"]["name"])
        for change in plan.get("resource_changes") or ()
        if change["type"] == _GROUP and "delete" in change["change"]["actions"]
    ]


def find_busy(pool: Mapping[str, Any]) -> str:
    """Return what the pool is at, in words; empty if nothing."""
    parts = [
        f"{vm['name']} {vm['phase']}" + (f" with {len(vm['slots'])} jobs" if vm["slots"] else "")
        for vm in pool.get("vms") or ()
        if vm["slots"] or vm["phase"] not in _ASLEEP
    ]
    if pool.get("queue_length"):
        parts.append(f"{pool['queue_length']} jobs wait")
    return ", ".join(parts)


def list_own_ids(plan: Mapping[str, Any]) -> Sequence[str]:
    """List the ids of all that Terraform made so far, in whatever module."""
    values = plan.get("prior_state", {}).get("values", {})
    module = values.get("root_module") or {}
    found: list[str] = []
    modules = [module]
    while modules:
        module = modules.pop()
        modules += module.get("child_modules") or ()
        found += [
            str(resource["values"]["id"])
            for resource in module.get("resources") or ()
            if resource.get("mode") == "managed" and resource.get("values", {}).get("id")
        ]
    return found


def _comes_with(one: Resource, own: Collection[str], endpoints: Iterable[str]) -> bool:
    """Tell whether Azure made a resource by itself, as a part of one that Terraform made."""
    kind, (parent, name) = one.type.lower(), one.id.lower().rsplit("/", 1)
    if _is_made_by_azure(one) or any(name.startswith(prefix) for prefix in endpoints):
        return True
    # What lies below something is a part of it; an image version was days of somebody's work.
    return parent.rsplit("/", 1)[0] in own and kind != _IMAGE_VERSION


def _is_made_by_azure(one: Resource) -> bool:
    beginning = _MADE_BY_AZURE.get(one.type.lower())
    return beginning is not None and one.id.lower().rsplit("/", 1)[-1].startswith(beginning)

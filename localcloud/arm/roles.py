"""Role definitions and assignments as Microsoft.Authorization tells them. Pure.

Nothing here is enforced: the stand-ins let the app do what it does. They are there to be asked.
"""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from localcloud.arm.estate import APP_SUBJECT, Estate, principal_of

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
_QUEUES = "Microsoft.Storage/storageAccounts/queueServices/queues"
_TABLES = "Microsoft.Storage/storageAccounts/tableServices"
_VMS = "Microsoft.Compute/virtualMachines"


class RoleTarget(StrEnum):
    """On what the app has roles; a fault takes those on one of them away."""

    STORAGE = "storage"
    VM = "vm"
    KEY_VAULT = "key_vault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role definition; built-in ones have the same id everywhere."""

    id: str
    name: str
    actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    is_built_in: bool = True


BLOB_OWNER = Role(
    id="b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    name="Storage Blob Data Owner",
    actions=(f"{_BLOBS}/containers/*", f"{_BLOBS}/generateUserDelegationKey/action"),
    data_actions=(f"{_BLOBS}/containers/blobs/*",),
)
QUEUE_CONTRIBUTOR = Role(
    id="974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    name="Storage Queue Data Contributor",
    actions=tuple(f"{_QUEUES}/{verb}" for verb in ("delete", "read", "write")),
    data_actions=tuple(
        f"{_QUEUES}/messages/{verb}" for verb in ("delete", "read", "write", "process/action")
    ),
)
TABLE_CONTRIBUTOR = Role(
    id="0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    name="Storage Table Data Contributor",
    actions=tuple(f"{_TABLES}/tables/{verb}" for verb in ("read", "write", "delete")),
    data_actions=tuple(
        f"{_TABLES}/tables/entities/{verb}"
        for verb in ("read", "write", "delete", "add/action", "update/action")
    ),
)
BLOB_CONTRIBUTOR = Role(
    id="ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    name="Storage Blob Data Contributor",
    actions=(f"{_BLOBS}/containers/*", f"{_BLOBS}/generateUserDelegationKey/action"),
    data_actions=tuple(
        f"{_BLOBS}/containers/blobs/{verb}"
        for verb in ("delete", "read", "write", "move/action", "add/action")
    ),
)
SECRETS_USER = Role(
    id="4633458b-17de-408a-b874-0445c86b69e6",
    name="Key Vault Secrets User",
    data_actions=(
        "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    ),
)
VM_OPERATOR = Role(
    id="5d0a1d5e-7a39-5e0c-8f5e-6d2f7c2b9a01",
    name="Coldforge GPU VM operator",
    actions=(
        f"{_VMS}/read",
        f"{_VMS}/instanceView/read",
        f"{_VMS}/start/action",
        f"{_VMS}/deallocate/action",
    ),
    is_built_in=False,
)
VM_SWITCH = Role(
    id="5d0a1d5e-7a39-5e0c-8f5e-6d2f7c2b9a02",
    name="Coldforge GPU VM switch",
    actions=(f"{_VMS}/deallocate/action",),
    is_built_in=False,
)
ROLES = (
    BLOB_OWNER,
    BLOB_CONTRIBUTOR,
    QUEUE_CONTRIBUTOR,
    TABLE_CONTRIBUTOR,
    SECRETS_USER,
    VM_OPERATOR,
    VM_SWITCH,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A role that an identity has on a scope."""

    principal: str
    role: Role
    scope: str


def list_assignments(
    estate: Estate, vm_ids: dict[str, str], subscription_id: str, taken: frozenset[RoleTarget]
) -> list[Assignment]:
    """List the assignments of a deployment.

    Args:
        estate: What there is besides VMs.
        vm_ids: The VMs' ids, by name.
        subscription_id: Whose all of it is.
        taken: Where the app's roles are missing.
    """
    app = principal_of(APP_SUBJECT)
    storage, vault = estate.storage_id(subscription_id), estate.vault_id(subscription_id)
    of_app = [
        *(
            (RoleTarget.STORAGE, role, storage)
            for role in (BLOB_OWNER, QUEUE_CONTRIBUTOR, TABLE_CONTRIBUTOR)
        ),
        (RoleTarget.KEY_VAULT, SECRETS_USER, vault),
        # On the group, as Terraform gives it: it holds on every VM in it.
        (RoleTarget.VM, VM_OPERATOR, estate.group_id(subscription_id)),
    ]
    return [
        *(
            Assignment(principal=app, role=role, scope=scope)
            for target, role, scope in of_app
            if target not in taken
        ),
        *(
            Assignment(principal=principal_of(name), role=role, scope=scope)
            for name, vm_id in vm_ids.items()
            for role, scope in (
                (VM_SWITCH, vm_id),
                (BLOB_CONTRIBUTOR, f"{storage}/blobServices/default/containers/jobs"),
                *((SECRETS_USER, f"{vault}/secrets/{secret}") for secret in estate.secrets),
            )
        ),
    ]


def render_assignment(assignment: Assignment, subscription_id: str) -> dict[str, Any]:
    """Return an assignment as Azure does."""
    name = str(uuid.uuid5(uuid.NAMESPACE_URL, repr(assignment)))
    return {
        "id": f"{assignment.scope}/providers/Microsoft.Authorization/roleAssignments/{name}",
        "name": name,
        "type": "Microsoft.Authorization/roleAssignments",
        "properties": {
            "roleDefinitionId": _definition_id(assignment.role, subscription_id),
            "principalId": assignment.principal,
            "principalType": "ServicePrincipal",
            "scope": assignment.scope,
            "condition": None,
        },
    }


def render_role(role: Role, subscription_id: str) -> dict[str, Any]:
    """Return a role definition as Azure does."""
    return {
        "id": _definition_id(role, subscription_id),
        "name": role.id,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": role.name,
            "type": "BuiltInRole" if role.is_built_in else "CustomRole",
            "permissions": [
                {
                    "actions": list(role.actions),
                    "notActions": [],
                    "dataActions": list(role.data_actions),
                    "notDataActions": [],
                }
            ],
            "assignableScopes": ["/" if role.is_built_in else f"/subscriptions/{subscription_id}"],
        },
    }


def _definition_id(role: Role, subscription_id: str) -> str:
    return (
        f"/subscriptions/{subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
        f"{role.id}"
    )

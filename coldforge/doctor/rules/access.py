"""Who may do what: grants held against what the programs need."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coldforge.doctor.facts import Grant
from coldforge.doctor.findings import Finding

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
_QUEUES = "Microsoft.Storage/storageAccounts/queueServices/queues/messages"
_TABLES = "Microsoft.Storage/storageAccounts/tableServices/tables/entities"
_VMS = "Microsoft.Compute/virtualMachines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one role is for.

    Attributes:
        role: Name of the role to assign; of one that Terraform defines, what it begins with.
        actions: What it must allow.
        data_actions: What it must allow on data.
        symptom: What happens without it.
        is_custom: Whether Terraform defines it, once for each deployment and region.
    """

    role: str
    actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    symptom: str
    is_custom: bool = False


APP_ON_STORAGE = (
    Need(
        role="Storage Blob Data Owner",
        actions=(f"{_BLOBS}/generateUserDelegationKey/action",),
        data_actions=tuple(
            f"{_BLOBS}/containers/blobs/{verb}" for verb in ("read", "write", "delete")
        ),
        symptom="the app does not start, or jobs fail with storage_unavailable",
    ),
    Need(
        role="Storage Queue Data Contributor",
        data_actions=tuple(f"{_QUEUES}/{verb}" for verb in ("read", "write", "delete")),
        symptom="jobs stay queued forever",
    ),
    Need(
        role="Storage Table Data Contributor",
        data_actions=tuple(f"{_TABLES}/{verb}" for verb in ("read", "write", "delete")),
        symptom="POST /api/jobs answers 500",
    ),
)
APP_ON_VM = (
    Need(
        role="Coldforge pool operator",
        actions=(
            f"{_VMS}/read",
            f"{_VMS}/instanceView/read",
            f"{_VMS}/start/action",
            f"{_VMS}/deallocate/action",
        ),
        symptom="the VM becomes `broken` with AuthorizationFailed, or is never stopped",
        is_custom=True,
    ),
)
APP_ON_VAULT = (
    Need(
        role="Key Vault Secrets User",
        data_actions=("Microsoft.KeyVault/vaults/secrets/getSecret/action",),
        symptom="the app does not start: GPU_AGENT_TOKEN holds the text of its reference",
    ),
)
VM_ON_JOBS = (
    Need(
        role="Storage Blob Data Contributor",
        data_actions=tuple(f"{_BLOBS}/containers/blobs/{verb}" for verb in ("read", "write")),
        symptom="jobs on it fail in the stage fetch",
    ),
)
VM_ON_TOKEN = (
    Need(
        role="Key Vault Secrets User",
        data_actions=("Microsoft.KeyVault/vaults/secrets/getSecret/action",),
        symptom="the agent does not start, and the wake is given up",
    ),
)
VM_ON_ITSELF = (
    Need(
        role="Coldforge dead-man's switch",
        actions=(f"{_VMS}/deallocate/action",),
        symptom="the dead-man's switch can't deallocate the VM, which is billed on",
        is_custom=True,
    ),
)


def find_missing_roles(
    *,
    code: str,
    who: str,
    principals: Sequence[str],
    scope: str,
    needs: Iterable[Need],
    grants: Sequence[Grant],
) -> list[Finding]:
    """Return one finding that names every role that is missing, or none.

    Args:
        code: Of the finding.
        who: Whose roles they are, for people.
        principals: Object ids of the identity.
        scope: Resource id on which the roles must hold.
        needs: What must be allowed.
        grants: What is, on this scope or elsewhere.
    """
    missing = [need for need in needs if not _is_met(need, scope, grants)]
    if not missing:
        return []
    principal = principals[0] if principals else "PRINCIPAL_ID"
    roles = ", ".join(need.role for need in missing)
    return [
        Finding(
            code=code,
            subject=scope.rsplit("/", 1)[-1],
            message=f"{who} lacks on {scope.rsplit('/', 1)[-1]}: {roles}. "
            f"Symptom: {missing[0].symptom}.",
            fix="Ask someone who may assign roles to run make plan ENV=…, then make apply ENV=… "
            "(where roles are assigned separately: apply infra/terraform/roles)"
            + "".join(
                f'; or: az role assignment create --assignee-object-id {principal} --role "'
                f'{need.role}" --assignee-principal-type ServicePrincipal --scope {scope}'
                for need in missing
                if not need.is_custom
            )
            + ". It takes some minutes to have an effect.",
        )
    ]


def _is_met(need: Need, scope: str, grants: Sequence[Grant]) -> bool:
    holding = [grant for grant in grants if reaches(grant.scope, scope)]
    return all(
        any(allows(grant.actions, grant.not_actions, action) for grant in holding)
        for action in need.actions
    ) and all(
        any(allows(grant.data_actions, grant.not_data_actions, action) for grant in holding)
        for action in need.data_actions
    )


def reaches(scope: str, target: str) -> bool:
    """Tell whether what is given on a scope holds on a resource: it is that, or above it."""
    above, below = scope.lower().rstrip("/"), target.lower().rstrip("/")
    return not above or below == above or below.startswith(above + "/")


def allows(patterns: Iterable[str], exceptions: Iterable[str], action: str) -> bool:
    """Tell whether a role's patterns allow an action; ``*`` stands for anything."""
    return _matches(patterns, action) and not _matches(exceptions, action)


def _matches(patterns: Iterable[str], action: str) -> bool:
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE)
        for pattern in patterns
    )

"""The function app: its state, its settings, its storage and its Key Vault."""

import json
import re
from collections.abc import Collection, Mapping

from coldforge.doctor.facts import Host, Site, WantedVm
from coldforge.doctor.findings import Finding

REQUIRED_SETTINGS = (
    "AZURE_SUBSCRIPTION_ID",
    "GPU_AGENT_TOKEN",
    "GPU_VMS",
    "STORAGE_BLOB_URL",
    "STORAGE_TABLE_URL",
)
"""Those of docs/settings.md that the app does not start without; a test compares them."""

TOKEN_SETTING = "GPU_AGENT_TOKEN"  # noqa: S105 - its name
TOKEN_SECRETS = ("gpu-agent-token", "gpu-agent-token-other")
"""Agents accept both; the app shows one of them, and which is its setting's to say."""
CONTAINERS = ("jobs", "pool", "inbox", "failed")
TABLES = ("jobs", "idempotency", "results", "deliveries", "ledger")
"""Terraform makes all of them. Nothing uses `inbox`, `failed`, `results` and `deliveries` yet:
they are for jobs from a folder, for results found again, and for webhooks."""

HEALTH_CODES = {
    "storage_unavailable": (
        "The app runs, but its storage does not answer.",
        "See the findings on storage and roles above; if there are none, see Azure's status page.",
    ),
    "intake_failing": (
        "The app can't start the processes that read images: every POST answers 503. It tries "
        "again when it is asked for health, at most once a minute.",
        "Look again in two minutes. If it is still so, az functionapp restart -n NAME "
        "-g RESOURCE_GROUP. If it comes back, the app's log says "
        "why ('a decoding process failed to start'): too little memory (INTAKE_MEMORY_MB and the "
        "instance's size), or a deployment that lacks packages (make deploy ENV=…)",
    ),
}
"""What ``GET /api/health`` may say is wrong, what that means, and what to do."""

_REFERENCE = re.compile(r"@Microsoft\.KeyVault\(SecretUri=(?P<url>https://[^)]+)\)")
_HOST_STORAGE = "azurewebjobsstorage"
_ON_KEYS = re.compile(r"((?:AccountKey|SharedAccessSignature|sig)=)[^;&\s]+", re.IGNORECASE)
# Terraform sets it once; later it is `make rotate` that changes it.
_SET_REFERENCE = (
    "az functionapp config appsettings set -g RESOURCE_GROUP -n NAME --settings "
    "'GPU_AGENT_TOKEN=@Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/"
    "gpu-agent-token)'"
)
_APPLY = "make plan ENV=…, then make apply ENV=…"


def judge_site(site: Site, name: str) -> list[Finding]:
    """Complain about an app that does not run."""
    if site.state.lower() == "running":
        return []
    return [
        Finding(
            code="app.stopped",
            subject=name,
            message=f"The function app {name} is {site.state or 'in an unknown state'}.",
            fix=f"az functionapp start -n {name} -g RESOURCE_GROUP",
        )
    ]


def judge_host(host: Host, settings: Mapping[str, str]) -> list[Finding]:
    """Complain about a Functions host that can't use its storage, or is unwell otherwise.

    Args:
        host: What it says of itself.
        settings: The app's.
    """
    storage = {name: value for name, value in settings.items() if name.lower() == _HOST_STORAGE}
    if any(storage.values()):
        (name, *_) = (name for name, value in storage.items() if value)
        return [
            Finding(
                code="host.storage_key",
                subject=name,
                message=f"The app's setting {name} holds a connection string, which the Functions "
                "host uses before the app's identity; the storage account has no keys.",
                fix=f"{_APPLY}, which leaves it empty.",
            )
        ]
    if host.state.lower() == "running" and not host.errors:
        return []
    reason = _ON_KEYS.sub(r"\1…", " ".join(host.errors[:1] or ["it gives no reason"]).strip())
    fix = "az functionapp restart -n NAME -g RESOURCE_GROUP, then look again."
    if storage:
        fix += (
            " If it is about storage and the roles are right, the empty setting may be the reason "
            "(azure-functions-host issue 11796): az functionapp config appsettings delete -n NAME "
            f"-g RESOURCE_GROUP --setting-names {next(iter(storage))}. The next make apply sets "
            "it again."
        )
    return [
        Finding(
            code="host.unwell",
            subject="the Functions host",
            message=f"The Functions host is {host.state or 'in an unknown state'}: "
            f"{reason.rstrip('.')}.",
            fix=fix,
        )
    ]


def judge_settings(settings: Mapping[str, str]) -> list[Finding]:
    """Complain about each setting without which the app does not start."""
    findings = [
        Finding(
            code="setting.missing",
            subject=name,
            message=f"The app's setting {name} is missing: the app does not start.",
            fix=_SET_REFERENCE
            if name == TOKEN_SETTING
            else f"{_APPLY}; docs/settings.md says what belongs there.",
        )
        for name in REQUIRED_SETTINGS
        if not settings.get(name)
    ]
    try:
        read_vms(settings)
    except ValueError as error:
        findings.append(
            Finding(
                code="setting.wrong",
                subject="GPU_VMS",
                message=f"The app's setting GPU_VMS can't be read: {error}.",
                fix=f"{_APPLY}; docs/settings.md says what belongs there.",
            )
        )
    return findings


def judge_health(code: str, url: str) -> list[Finding]:
    """Complain about what the app says is wrong with itself, one of `HEALTH_CODES`."""
    if code not in HEALTH_CODES:
        return []
    message, fix = HEALTH_CODES[code]
    return [Finding(code=f"health.{code}", subject=url, message=message, fix=fix)]


def read_vms(settings: Mapping[str, str]) -> tuple[WantedVm, ...]:
    """Read the VMs that the app may wake; none where the setting is missing.

    Raises:
        ValueError: Saying what is wrong with it.
    """
    text = settings.get("GPU_VMS") or "[]"
    try:
        return tuple(
            WantedVm(
                name=str(item["name"]),
                resource_group=str(item["resource_group"]),
                size=str(item["size"]),
                region=str(item["region"]),
                zone=str(item["zone"]) if item.get("zone") else None,
                agent_url=str(item["agent_url"]).rstrip("/"),
            )
            for item in json.loads(text)
        )
    except KeyError as error:
        raise ValueError(f"a VM has no {error.args[0]}") from error
    except (TypeError, AttributeError) as error:
        raise ValueError("it is not a list of objects") from error


def judge_storage_name(settings: Mapping[str, str], endpoints: Mapping[str, str]) -> list[Finding]:
    """Complain if the app is sent to another account than that of the deployment.

    Args:
        settings: The app's.
        endpoints: The account's own, by service: ``blob``, ``table``.
    """
    for name, service in (("STORAGE_BLOB_URL", "blob"), ("STORAGE_TABLE_URL", "table")):
        told, own = settings.get(name, "").rstrip("/"), endpoints.get(service, "").rstrip("/")
        if told.lower() != own.lower():
            return [
                Finding(
                    code="storage.wrong_name",
                    subject=name,
                    message=f"The app's setting {name} is {told}, but the deployment's storage "
                    f"account answers at {own}.",
                    fix=f"{_APPLY}, which sets it to {own}.",
                )
            ]
    return []


def judge_storage_content(containers: Collection[str], tables: Collection[str]) -> list[Finding]:
    """Complain about each container and table that is missing.

    Terraform makes the tables by a template, and does not look whether they are still there.
    """
    return [
        Finding(
            code=f"storage.{kind}_missing",
            subject=name,
            message=f"The storage account has no {kind} {name!r}: jobs fail.",
            fix=("" if kind == "table" else f"{_APPLY}, which makes it; or: ")
            + f"az storage {kind} create --auth-mode login --account-name ACCOUNT --name {name}",
        )
        for kind, wanted, there in (
            ("container", CONTAINERS, containers),
            ("table", TABLES, tables),
        )
        for name in wanted
        if name not in there
    ]


def find_secret(value: str) -> str | None:
    """Return the URL of the secret that a setting refers to; None if it holds the value itself."""
    match = _REFERENCE.fullmatch(value.strip())
    return match["url"].rstrip("/") if match else None


def judge_references(statuses: Mapping[str, str]) -> list[Finding]:
    """Complain about each reference to a Key Vault that Azure could not resolve."""
    return [
        Finding(
            code="setting.unresolved",
            subject=name,
            message=f"Azure could not resolve what the app's setting {name} refers to: {status}. "
            "The app does not start.",
            fix="If the vault and the role are right, Azure tries again within a day, or at once: "
            "az functionapp restart -n NAME -g RESOURCE_GROUP",
        )
        for name, status in statuses.items()
        if status != "Resolved"
    ]


def judge_secrets(names: Collection[str], vault: str) -> list[Finding]:
    """Complain about each of the agents' tokens that the Key Vault lacks; `names` it has."""
    return [
        Finding(
            code="vault.secret_missing",
            subject=secret,
            message=f"The Key Vault {vault} has no secret {secret!r}, or it is disabled:"
            " app and agents can't share it.",
            fix="make deploy ENV=…, which makes it; a disabled one: az keyvault secret "
            f"set-attributes --vault-name NAME --name {secret} --enabled true",
        )
        for secret in TOKEN_SECRETS
        if secret not in names
    ]

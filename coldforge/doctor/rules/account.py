"""The subscription: providers, quota, sizes, budget, and the clock of this machine."""

from collections.abc import Mapping, Sequence

from coldforge.doctor.facts import Budget, Quota, Size, WantedVm
from coldforge.doctor.findings import Finding

PROVIDERS = (
    "Microsoft.App",
    "Microsoft.Web",
    "Microsoft.Compute",
    "Microsoft.Network",
    "Microsoft.Storage",
    "Microsoft.Insights",
    "Microsoft.OperationalInsights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Consumption",
    "Microsoft.DevTestLab",
    "Microsoft.AlertsManagement",
)

ALL_FAMILIES = "cores"
"""Azure's name for the quota of all VM families of a region together."""

MAX_SKEW_S = 60.0
"""Azure bears five minutes in a token, but a link is valid from the signer's now."""


def judge_clock(skew_s: float) -> list[Finding]:
    """Complain about a clock that is wrong; `skew_s` above 0: this machine is ahead."""
    if abs(skew_s) <= MAX_SKEW_S:
        return []
    side = "ahead of" if skew_s > 0 else "behind"
    return [
        Finding(
            code="clock.skewed",
            subject="this machine",
            message=f"This machine's clock is {abs(skew_s):.0f} s {side} Azure's: tokens and "
            "links get refused.",
            fix="Set the clock by the network: timedatectl set-ntp true (Linux), "
            "sntp -sS time.apple.com (macOS); in WSL: wsl --shutdown.",
        )
    ]


def judge_subscription(state: str, subscription_id: str) -> list[Finding]:
    """Complain about a subscription that is not open; `state` is Azure's word."""
    if state == "Enabled":
        return []
    return [
        Finding(
            code="subscription.closed",
            subject=subscription_id,
            message=f"The subscription is {state or 'in an unknown state'}: nothing can be "
            "started in it.",
            fix="Let its owner enable it in the portal under Subscriptions.",
        )
    ]


def judge_providers(states: Mapping[str, str]) -> list[Finding]:
    """Complain about each resource provider that is not registered; `states` by namespace."""
    known = {namespace.lower(): state for namespace, state in states.items()}
    return [
        Finding(
            code="provider.not_registered",
            subject=namespace,
            message=f"The resource provider {namespace} is not registered in the subscription.",
            fix=f"az provider register --namespace {namespace} --wait",
        )
        for namespace in PROVIDERS
        if known.get(namespace.lower()) != "Registered"
    ]


def judge_sizes(vms: Sequence[WantedVm], sizes: Mapping[tuple[str, str], Size]) -> list[Finding]:
    """Complain about each VM whose size is not to be had where it is wanted.

    Args:
        vms: The VMs that the app may wake.
        sizes: By region and size, both in lower case.
    """
    findings = []
    for vm in vms:
        size = sizes.get((vm.region.lower(), vm.size.lower()))
        place = f"{vm.region}, zone {vm.zone}" if vm.zone else vm.region
        others = sorted(size.zones - size.restricted_zones) if size else []
        if size is None:
            code, why = "size.not_offered", f"{vm.size} is not offered in {vm.region}"
        elif size.region_restricted:
            code = "size.restricted"
            why = f"{vm.size} in {vm.region} is closed to this subscription"
            why += f" ({size.region_restricted})"
        elif vm.zone and vm.zone in size.restricted_zones:
            code, why = "size.restricted", f"{vm.size} in {place} is closed to this subscription"
        elif vm.zone and vm.zone not in size.zones:
            code, why = "size.not_offered", f"{vm.size} is not offered in {place}"
        else:
            continue
        hint = f"Zones that are open: {', '.join(others)}. " if vm.zone and others else ""
        findings.append(
            Finding(
                code=code,
                subject=vm.name,
                message=f"{why}: {vm.name} can't be started there.",
                fix=f"{hint}Set another zone, region or size in the Terraform variables (this "
                "recreates the VM), or ask Azure's support to open it. "
                f"List: az vm list-skus -l {vm.region} --size {vm.size} --all -o table",
            )
        )
    return findings


def judge_quota(
    vms: Sequence[WantedVm],
    sizes: Mapping[tuple[str, str], Size],
    quotas: Mapping[tuple[str, str], Quota],
) -> list[Finding]:
    """Complain about each family whose quota does not hold all VMs of it in a region.

    Deallocated VMs use up quota too, so the limit must hold all of them; and the limit on all
    families together must.

    Args:
        vms: The VMs that the app may wake.
        sizes: By region and size, both in lower case.
        quotas: By region and family, both in lower case.
    """
    needed: dict[tuple[str, str], int] = {}
    for vm in vms:
        if size := sizes.get((vm.region.lower(), vm.size.lower())):
            for family in (size.family.lower(), ALL_FAMILIES):
                key = (vm.region.lower(), family)
                needed[key] = needed.get(key, 0) + size.vcpus
    findings = []
    for key, vcpus in sorted(needed.items()):
        quota = quotas.get(key)
        limit = quota.limit if quota else 0
        is_total = key[1] == ALL_FAMILIES
        if limit >= vcpus or (is_total and quota is None):
            continue
        region, family = key[0], quota.family if quota else key[1]
        if is_total:
            family = "Total Regional vCPUs"
        findings.append(
            Finding(
                code="quota.too_low",
                subject=family,
                message=f"The quota of {family} in {region} is {limit} vCPUs; the VMs need "
                f"{vcpus}.",
                fix=f"Ask for {vcpus} vCPUs: portal, Quotas, Compute, {region}, {family}; or "
                "az quota update. It may take days. List: az vm list-usage -o table -l "
                f"{region}",
            )
        )
    return findings


def judge_budget(budget: Budget) -> list[Finding]:
    """Complain about a budget that is used up."""
    if budget.amount <= 0 or budget.spent < budget.amount:
        return []
    return [
        Finding(
            code="budget.used_up",
            subject=budget.name,
            message=f"The budget {budget.name} is used up: {budget.spent:.2f} of "
            f"{budget.amount:.2f}. Azure does not stop anything because of it.",
            fix="See `coldforge pool` for what the VMs cost and why; then shorten IDLE_WINDOW_S "
            "and WARM_WINDOWS, or raise the budget's amount in the Terraform variables.",
        )
    ]

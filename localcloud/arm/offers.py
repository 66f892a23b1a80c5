"""What a subscription may have: providers, VM sizes and quotas, as Azure tells them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

PROVIDERS = (
    "Microsoft.AlertsManagement",
    "Microsoft.App",
    "Microsoft.Authorization",
    "Microsoft.Compute",
    "Microsoft.Consumption",
    "Microsoft.DevTestLab",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.OperationalInsights",
    "Microsoft.Resources",
    "Microsoft.Storage",
    "Microsoft.Web",
)
_ZONES = ("1", "2", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    size: str
    family: str
    vcpus: int
    gpus: int


_OFFERS = (
    _Offer(size="Standard_NC24ads_A100_v4", family="standardNCADSA100v4Family", vcpus=24, gpus=1),
    _Offer(size="Standard_NC48ads_A100_v4", family="standardNCADSA100v4Family", vcpus=48, gpus=2),
    _Offer(size="Standard_NC40ads_H100_v5", family="standardNCADSH100v5Family", vcpus=40, gpus=1),
)


def render_provider(
    namespace: str, subscription_id: str, *, is_registered: bool
) -> dict[str, Any]:
    """Return a resource provider."""
    return {
        "id": f"/subscriptions/{subscription_id}/providers/{namespace}",
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": "Registered" if is_registered else "NotRegistered",
        "resourceTypes": [],
    }


def list_skus(region: str, closed_zones: frozenset[str]) -> list[dict[str, Any]]:
    """List the VM sizes of a region; those zones are closed to this subscription."""
    closed = sorted(closed_zones)
    restriction = {
        "type": "Zone",
        "values": [region],
        "restrictionInfo": {"locations": [region], "zones": closed},
        "reasonCode": "NotAvailableForSubscription",
    }
    return [
        {
            "resourceType": "virtualMachines",
            "name": offer.size,
            "tier": "Standard",
            "size": offer.size.removeprefix("Standard_"),
            "family": offer.family,
            "locations": [region],
            "locationInfo": [{"location": region, "zones": list(_ZONES), "zoneDetails": []}],
            "capabilities": [
                {"name": "vCPUs", "value": str(offer.vcpus)},
                {"name": "GPUs", "value": str(offer.gpus)},
                {"name": "HyperVGenerations", "value": "V2"},
            ],
            "restrictions": [restriction] if closed else [],
        }
        for offer in _OFFERS
    ]


def list_usages(sizes: Iterable[str], *, limit: int, total: int) -> list[dict[str, Any]]:
    """List the quotas of a region.

    Args:
        sizes: Of the VMs that are there, deallocated ones included: they use quota up too.
        limit: vCPUs of each family.
        total: vCPUs of all families together.
    """
    there = [size.lower() for size in sizes]
    used: dict[str, int] = {}
    for offer in _OFFERS:
        count = there.count(offer.size.lower())
        used[offer.family] = used.get(offer.family, 0) + count * offer.vcpus
    rows = [(family, family, vcpus, limit) for family, vcpus in used.items()]
    rows.append(("cores", "Total Regional vCPUs", sum(used.values()), total))
    return [
        {
            "limit": most,
            "unit": "Count",
            "currentValue": vcpus,
            "name": {"value": name, "localizedValue": words},
        }
        for name, words, vcpus, most in rows
    ]

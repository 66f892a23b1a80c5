"""Answers what is asked about a deployment besides its VMs: reads only, in Azure's own shapes."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.arm.errors import not_found
from localcloud.arm.estate import APP_SUBJECT, Estate, principal_of
from localcloud.arm.faults import Fault, FaultName
from localcloud.arm.offers import PROVIDERS, list_skus, list_usages, render_provider
from localcloud.arm.region import Region
from localcloud.arm.roles import (
    ROLES,
    RoleTarget,
    list_assignments,
    render_assignment,
    render_role,
)

_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)"
_COMPUTE = rf"{_SUBSCRIPTION}/providers/Microsoft\.Compute"
_PRINCIPAL = re.compile(r"(?:assignedTo\(|principalId eq )'(?P<principal>[^']+)'\)?")
_LOCATION = re.compile(r"location eq '(?P<location>[^']+)'")


class EstateRoutes:
    """Finds answers by path; `None` where a path is about nothing of it."""

    def __init__(self, estate: Estate, region: Region, subscription_id: str) -> None:
        """Answer for a deployment.

        Args:
            estate: What it has besides VMs.
            region: Where its VMs are, and the faults that are set.
            subscription_id: Whose it is.
        """
        self._estate = estate
        self._region = region
        self._subscription_id = subscription_id
        self._routes: tuple[
            tuple[str, re.Pattern[str], Callable[[re.Match[str], Mapping[str, str]], Any]], ...
        ] = tuple(
            (method, re.compile(pattern + "/?", re.IGNORECASE), answer)
            for method, pattern, answer in (
                ("GET", _SUBSCRIPTION, self._subscription),
                ("GET", rf"{_SUBSCRIPTION}/providers", self._providers),
                ("GET", rf"{_COMPUTE}/skus", self._skus),
                ("GET", rf"{_COMPUTE}/locations/(?P<location>[^/]+)/usages", self._usages),
                (
                    "GET",
                    r"(?P<scope>.*)/providers/Microsoft\.Authorization/roleAssignments",
                    self._assignments,
                ),
                (
                    "GET",
                    r".*/providers/Microsoft\.Authorization/roleDefinitions/(?P<role>[^/]+)",
                    self._role,
                ),
                ("GET", re.escape(estate.budget_id(subscription_id)), self._budget),
                ("GET", re.escape(estate.vault_id(subscription_id)) + "/secrets", self._secrets),
                ("GET", re.escape(estate.app_id(subscription_id)), self._site),
                (
                    "POST",
                    re.escape(estate.app_id(subscription_id)) + "/config/appsettings/list",
                    self._settings,
                ),
                (
                    "GET",
                    re.escape(estate.app_id(subscription_id))
                    + "/config/configreferences/appsettings",
                    self._references,
                ),
                (
                    "GET",
                    re.escape(estate.app_id(subscription_id)) + "/hostruntime/admin/host/status",
                    self._host,
                ),
                ("GET", re.escape(estate.storage_id(subscription_id)), self._storage),
            )
        )

    def answer(self, method: str, path: str, query: Mapping[str, str]) -> Any | None:
        """Return the body of an answer, or None.

        Raises:
            ArmError: There is no such thing.
        """
        for wanted, pattern, answer in self._routes:
            match = pattern.fullmatch(path)
            if match and method == wanted:
                return answer(match, query)
        return None

    def list_secrets(self) -> Mapping[str, str]:
        """Return the Key Vault's secrets, by name."""
        gone = {fault.options["secret"] for fault in self._faults(FaultName.SECRET_MISSING)}
        return {name: v for name, v in self._estate.secrets.items() if name not in gone}

    def _subscription(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        return {
            "id": f"/subscriptions/{self._subscription_id}",
            "subscriptionId": self._subscription_id,
            "displayName": "local",
            "state": "Enabled",
        }

    def _providers(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        missing = {
            fault.options["namespace"].lower()
            for fault in self._faults(FaultName.PROVIDER_UNREGISTERED)
        }
        return {
            "value": [
                render_provider(
                    name, self._subscription_id, is_registered=name.lower() not in missing
                )
                for name in PROVIDERS
            ]
        }

    def _skus(self, _: re.Match[str], query: Mapping[str, str]) -> Any:
        match = _LOCATION.search(query.get("$filter", ""))
        region = match["location"] if match else self._estate.location
        closed = frozenset(
            fault.options["zone"] for fault in self._faults(FaultName.SIZE_RESTRICTED)
        )
        return {"value": list_skus(region, closed)}

    def _usages(self, match: re.Match[str], _: Mapping[str, str]) -> Any:
        limits = [fault.options["limit"] for fault in self._faults(FaultName.QUOTA)]
        sizes = [
            spec.size
            for _vm, spec in self._region.list_vms()
            if spec.location.lower() == match["location"].lower()
        ]
        vcpus = self._estate.vcpus
        return {"value": list_usages(sizes, limit=min([vcpus, *limits]), total=vcpus)}

    def _assignments(self, match: re.Match[str], query: Mapping[str, str]) -> Any:
        """List what holds on a scope, inherited or below it, as Azure does without atScope()."""
        scope = match["scope"].lower()
        asked = _PRINCIPAL.search(query.get("$filter", ""))
        taken = frozenset(
            RoleTarget(fault.options["on"]) for fault in self._faults(FaultName.ROLE_MISSING)
        )
        vm_ids = {
            spec.name: spec.resource_id(self._subscription_id)
            for _vm, spec in self._region.list_vms()
        }
        return {
            "value": [
                render_assignment(one, self._subscription_id)
                for one in list_assignments(self._estate, vm_ids, self._subscription_id, taken)
                if scope.startswith(one.scope.lower()) or one.scope.lower().startswith(scope)
                if asked is None or asked["principal"] == one.principal
            ]
        }

    def _role(self, match: re.Match[str], _: Mapping[str, str]) -> Any:
        for role in ROLES:
            if role.id == match["role"].lower():
                return render_role(role, self._subscription_id)
        raise not_found(
            "RoleDefinitionDoesNotExist",
            f"The specified role definition with ID '{match['role']}' does not exist.",
        )

    def _budget(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        shares = [fault.options["share"] for fault in self._faults(FaultName.BUDGET_SPENT)]
        amount = self._estate.budget_amount
        spent = amount * max(shares, default=0.25)
        return {
            "id": self._estate.budget_id(self._subscription_id),
            "name": self._estate.budget,
            "type": "Microsoft.Consumption/budgets",
            "properties": {
                "category": "Cost",
                "amount": amount,
                "timeGrain": "Monthly",
                "currentSpend": {"amount": spent, "unit": "USD"},
                "notifications": {},
            },
        }

    def _secrets(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        vault_id = self._estate.vault_id(self._subscription_id)
        return {
            "value": [
                {
                    "id": f"{vault_id}/secrets/{name}",
                    "name": name,
                    "type": "Microsoft.KeyVault/vaults/secrets",
                    "properties": {"attributes": {"enabled": True}},
                }
                for name in self.list_secrets()
            ]
        }

    def _site(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        return {
            "id": self._estate.app_id(self._subscription_id),
            "name": self._estate.app,
            "type": "Microsoft.Web/sites",
            "kind": "functionapp,linux",
            "location": self._estate.location,
            "identity": {
                "type": "SystemAssigned",
                "principalId": principal_of(APP_SUBJECT),
            },
            "properties": {
                "state": "Running",
                "enabled": True,
                "defaultHostName": self._estate.app_host,
                "httpsOnly": True,
            },
        }

    def _settings(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        settings = dict(self._estate.settings)
        for fault in self._faults(FaultName.APP_SETTING):
            name, value = fault.options["setting"], fault.options["value"]
            settings.pop(name, None)
            if value:
                settings[name] = value
        return {
            "id": f"{self._estate.app_id(self._subscription_id)}/config/appsettings",
            "name": "appsettings",
            "type": "Microsoft.Web/sites/config",
            "properties": settings,
        }

    def _references(self, match: re.Match[str], query: Mapping[str, str]) -> Any:
        settings = self._settings(match, query)["properties"]
        failures = self._faults(FaultName.REFERENCE_UNRESOLVED)
        status = failures[-1].options["status"] if failures else "Resolved"
        return {
            "value": [
                {
                    "id": f"{self._estate.app_id(self._subscription_id)}/config/configreferences"
                    f"/appsettings/{name}",
                    "name": name,
                    "type": "Microsoft.Web/sites/config/configreferences",
                    "properties": {"reference": value, "status": status},
                }
                for name, value in settings.items()
                if value.startswith("@Microsoft.KeyVault(")
            ]
        }

    def _host(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        errors = [fault.options["message"] for fault in self._faults(FaultName.HOST_ERROR)]
        # Azure hands the host's own answer on, so it has not the shape of a resource.
        return {
            "id": self._estate.app,
            "state": "Error" if errors else "Running",
            "version": "4.0.0",
            "errors": errors,
        }

    def _storage(self, _: re.Match[str], __: Mapping[str, str]) -> Any:
        return {
            "id": self._estate.storage_id(self._subscription_id),
            "name": self._estate.storage,
            "type": "Microsoft.Storage/storageAccounts",
            "kind": "StorageV2",
            "location": self._estate.location,
            "sku": {"name": "Standard_LRS", "tier": "Standard"},
            "properties": {
                "provisioningState": "Succeeded",
                "allowSharedKeyAccess": False,
                "primaryEndpoints": dict(self._estate.endpoints),
            },
        }

    def _faults(self, name: FaultName) -> list[Fault]:
        return [fault for fault in self._region.faults if fault.name is name]

"""`AccountProbes`, `AppProbes` and `MachineProbes` over a deployment that is well, until told."""

import json
from dataclasses import dataclass, field, replace

from coldforge.doctor.deployment import Deployment
from coldforge.doctor.facts import (
    AgentAnswer,
    Budget,
    FoundVm,
    Grant,
    Host,
    PoolVm,
    Quota,
    Site,
    Size,
)
from coldforge.doctor.rules import access, account, app

GROUP = "/subscriptions/s/resourceGroups/g"
DEPLOYMENT = Deployment(
    subscription_id="s",
    app_id=f"{GROUP}/providers/Microsoft.Web/sites/app",
    app_url="https://app.invalid",
    storage_account_id=f"{GROUP}/providers/Microsoft.Storage/storageAccounts/store",
    key_vault_id=f"{GROUP}/providers/Microsoft.KeyVault/vaults/vault",
    budget_id="/subscriptions/s/providers/Microsoft.Consumption/budgets/monthly",
    image_versions={"gpu-0": "1.0.0"},
)
SIZE = "Standard_NC24ads_A100_v4"
FAMILY = "standardNCADSA100v4Family"
SETTINGS = {
    "AZURE_SUBSCRIPTION_ID": "s",
    "STORAGE_BLOB_URL": "https://store.blob.invalid/",
    "STORAGE_TABLE_URL": "https://store.table.invalid",
    "GPU_AGENT_TOKEN": "secret of the agents",
    "GPU_VMS": json.dumps(
        [
            {
                "name": "gpu-0",
                "resource_group": "g",
                "size": SIZE,
                "region": "eastus",
                "zone": "1",
                "price_per_hour_usd": 3.673,
                "agent_url": "http://10.0.0.4:8470",
            }
        ]
    ),
}
VM = FoundVm(
    id=f"{GROUP}/providers/Microsoft.Compute/virtualMachines/gpu-0",
    size=SIZE,
    power="deallocated",
    image_version="1.0.0",
    principals=("of-gpu-0",),
)


def grant_all(scope):
    """A grant of everything that anybody needs."""
    needs = [
        *access.APP_ON_STORAGE,
        *access.APP_ON_VM,
        *access.APP_ON_VAULT,
        *access.VM_ON_ITSELF,
        *access.VM_ON_JOBS,
        *access.VM_ON_TOKEN,
    ]
    return Grant(
        scope=scope,
        actions=tuple(action for need in needs for action in need.actions),
        data_actions=tuple(action for need in needs for action in need.data_actions),
    )


def answer(value):
    """Give a value, or raise it if it is an error."""
    if isinstance(value, Exception):
        raise value
    return value() if callable(value) else value


@dataclass
class FakeAccountProbes:
    """A subscription. Every answer may be an error instead, which is raised."""

    skew_s: object = 0.2
    login: object = "me"
    subscription: object = "Enabled"
    providers: object = field(
        default_factory=lambda: dict.fromkeys(account.PROVIDERS, "Registered")
    )
    size: Size = field(
        default_factory=lambda: Size(
            name=SIZE, family=FAMILY, vcpus=24, zones=frozenset({"1", "2", "3"})
        )
    )
    quota: Quota = field(default_factory=lambda: Quota(family=FAMILY, used=24, limit=96))
    budget: object = Budget(name="monthly", amount=100.0, spent=25.0)
    granted: bool = True

    def measure_skew_s(self):
        return answer(self.skew_s)

    def log_in(self):
        return answer(self.login)

    def read_subscription(self):
        return answer(self.subscription)

    def list_providers(self):
        return answer(self.providers)

    def list_sizes(self, region):
        return {(region, self.size.name.lower()): self.size}

    def list_quotas(self, region):
        return {(region, self.quota.family.lower()): self.quota}

    def read_budget(self, budget_id):
        return answer(self.budget)

    def list_grants(self, scope, principals):
        return [grant_all(scope)] if self.granted and principals else []


@dataclass
class FakeAppProbes:
    """A function app. Every answer may be an error instead, which is raised."""

    site: object = field(default_factory=lambda: Site(state="Running", principals=("of-app",)))
    settings: object = field(default_factory=lambda: dict(SETTINGS))
    endpoints: object = field(
        default_factory=lambda: {
            "blob": SETTINGS["STORAGE_BLOB_URL"],
            "table": SETTINGS["STORAGE_TABLE_URL"],
        }
    )
    host: object = Host(state="Running")
    references: object = field(default_factory=lambda: {"GPU_AGENT_TOKEN": "Resolved"})
    containers: object = frozenset(app.CONTAINERS)
    tables: object = frozenset(app.TABLES)
    secrets: object = frozenset(app.TOKEN_SECRETS)
    secret: object = "secret of the vault"
    health: object = ""
    phase: str = "deallocated"
    wakes_to: str = "ready"
    reason: str = ""

    def read_site(self):
        return answer(self.site)

    def read_settings(self):
        return answer(self.settings)

    def read_host(self):
        return answer(self.host)

    def list_references(self):
        return answer(self.references)

    def read_endpoints(self):
        return answer(self.endpoints)

    def list_containers(self, blob_url):
        return answer(self.containers)

    def list_tables(self, table_url):
        return answer(self.tables)

    def list_secrets(self, vault_id):
        return answer(self.secrets)

    def read_secret(self, url):
        return answer(self.secret)

    def read_health(self):
        return answer(self.health)

    def read_pool(self):
        return {"gpu-0": PoolVm(name="gpu-0", phase=self.phase, reason=self.reason)}

    def wake(self, limit_s):
        self.phase = self.wakes_to
        return self.read_pool()


@dataclass
class FakeMachineProbes:
    """One GPU VM, and its agent."""

    vm: FoundVm | None = VM
    agent: AgentAnswer = AgentAnswer.READY
    door: AgentAnswer | None = None
    token: str = ""

    def read_vm(self, vm):
        return answer(self.vm)

    def knock(self, vm):
        return self.door

    def ask_agent(self, vm, token):
        self.token = token
        return self.agent


def running():
    """The VM, running."""
    return replace(VM, power="running")

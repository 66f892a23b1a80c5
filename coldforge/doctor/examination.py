"""Makes all checks in order: asks a probe, applies a rule, and reports the outcome.

A check that depends on a failed one is skipped, so that one fault is one finding. A check that
could not be made is reported as unknown, never left out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from coldforge.doctor.deadline import run_within
from coldforge.doctor.deployment import Deployment
from coldforge.doctor.errors import NotLoggedInError, NotThereError, ProbeError
from coldforge.doctor.facts import AgentAnswer, Facts, FoundVm, Quota, Size, WantedVm
from coldforge.doctor.findings import Finding, Outcome, Verdict
from coldforge.doctor.ports import AccountProbes, AppProbes, MachineProbes
from coldforge.doctor.rules import access, account, app, machines
from coldforge.wording import describe_error

T = TypeVar("T")

WAKE_SLACK_S = 30.0
"""So that the wake's own limit, which cleans up, comes before the doctor's."""


class _SkipError(Exception):
    """A check has nothing to look at; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExaminationOptions:
    """How to examine.

    Attributes:
        limit_s: Limit for each question, in seconds.
        wakes: Whether to have a VM woken, which costs.
        wake_limit_s: Limit for that.
    """

    limit_s: float = 30.0
    wakes: bool = False
    wake_limit_s: float = 1500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    name: str
    needs: tuple[str, ...]
    make: Callable[[], tuple[list[Finding], str]]


@dataclass(slots=True, kw_only=True)
class Examination:
    """One examination of one deployment; run it once."""

    deployment: Deployment
    account: AccountProbes
    app: AppProbes
    machines: MachineProbes
    options: ExaminationOptions = field(default_factory=ExaminationOptions)
    _facts: Facts = field(default_factory=Facts)

    def run(self, on_begin: Callable[[str], None] = lambda _: None) -> Iterable[Outcome]:
        """Make all checks; give each outcome as soon as it is there.

        Args:
            on_begin: Told the name of each check before it is made.
        """
        ended: dict[str, Verdict] = {}
        for check in self._list():
            on_begin(check.name)
            outcome = self._make(check, ended)
            ended[check.name] = outcome.verdict
            yield outcome

    def _list(self) -> tuple[_Check, ...]:
        login, site, settings = ("login",), ("login", "app"), ("login", "app", "settings")
        return tuple(
            _Check(name=name, needs=needs, make=make)
            for name, needs, make in (
                ("clock", (), self._clock),
                ("login", (), self._login),
                ("subscription", login, self._subscription),
                ("providers", (*login, "subscription"), self._providers),
                ("app", (*login, "subscription"), self._site),
                ("settings", site, self._settings),
                ("storage", settings, self._storage),
                ("storage content", (*settings, "storage"), self._storage_content),
                ("key vault", login, self._vault),
                ("sizes", settings, self._sizes),
                ("quota", (*settings,), self._quota),
                ("vms", settings, self._vms),
                ("images", settings, self._images),
                ("roles on storage", (*settings, "storage"), self._storage_roles),
                ("host", (*settings, "storage", "roles on storage"), self._host),
                ("roles on vms", settings, self._vm_roles),
                ("roles on key vault", site, self._vault_roles),
                (
                    "references to key vault",
                    (*settings, "key vault", "roles on key vault"),
                    self._references,
                ),
                ("budget", login, self._budget),
                ("health", (), self._health),
                ("wake", ("health",), self._wake),
                ("pool", ("health",), self._pool),
                ("agents", settings, self._agents),
            )
        )

    def _make(self, check: _Check, ended: Mapping[str, Verdict]) -> Outcome:
        bad = [name for name in check.needs if ended[name] is not Verdict.OK]
        if bad:
            note = f"not checked: it depends on {bad[0]!r}"
            return Outcome(check=check.name, verdict=Verdict.SKIPPED, note=note)
        try:
            findings, note = check.make()
        except _SkipError as reason:
            return Outcome(check=check.name, verdict=Verdict.SKIPPED, note=str(reason))
        except ProbeError as error:
            return Outcome(check=check.name, verdict=Verdict.UNKNOWN, note=error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are made
            return Outcome(check=check.name, verdict=Verdict.UNKNOWN, note=describe_error(error))
        verdict = Verdict.FAULT if findings else Verdict.OK
        return Outcome(check=check.name, verdict=verdict, note=note, findings=tuple(findings))

    def _ask(self, question: Callable[[], T], limit_s: float | None = None) -> T:
        return run_within(question, limit_s or self.options.limit_s)

    def _know(self, facts: Facts) -> None:
        self._facts = facts

    def _clock(self) -> tuple[list[Finding], str]:
        skew_s = self._ask(self.account.measure_skew_s)
        findings = account.judge_clock(skew_s)
        self._know(replace(self._facts, clock_is_right=not findings))
        return findings, f"{abs(skew_s):.0f} s from Azure's"

    def _login(self) -> tuple[list[Finding], str]:
        try:
            return [], f"as {self._ask(self.account.log_in)}"
        except NotLoggedInError as error:
            if not self._facts.clock_is_right:
                raise _SkipError("no token, and the wrong clock may be the reason") from error
            finding = Finding(
                code="login.none",
                subject="this machine",
                message=f"Nobody is logged in to Azure on this machine ({error.message}).",
                fix=f"az login && az account set -s {self.deployment.subscription_id}",
            )
            return [finding], ""

    def _subscription(self) -> tuple[list[Finding], str]:
        wanted = self.deployment.subscription_id
        try:
            state = self._ask(self.account.read_subscription)
        except NotThereError:
            finding = Finding(
                code="subscription.not_seen",
                subject=wanted,
                message=f"This login does not see the subscription {wanted}.",
                fix="Log in to its tenant (az login --tenant TENANT), or ask its owner for a "
                "role in it.",
            )
            return [finding], ""
        return account.judge_subscription(state, wanted), state

    def _providers(self) -> tuple[list[Finding], str]:
        findings = account.judge_providers(self._ask(self.account.list_providers))
        return findings, f"{len(account.PROVIDERS) - len(findings)} registered"

    def _site(self) -> tuple[list[Finding], str]:
        name = self.deployment.app_id.rsplit("/", 1)[-1]
        try:
            site = self._ask(self.app.read_site)
        except NotThereError:
            finding = Finding(
                code="app.missing",
                subject=name,
                message=f"There is no function app {name}.",
                fix="make plan ENV=…, make apply ENV=…, then make deploy ENV=…",
            )
            return [finding], ""
        self._know(replace(self._facts, site=site))
        return app.judge_site(site, name), name

    def _settings(self) -> tuple[list[Finding], str]:
        settings = self._ask(self.app.read_settings)
        findings = app.judge_settings(settings)
        if not findings:
            self._know(replace(self._facts, settings=settings, vms=app.read_vms(settings)))
        return findings, f"{len(settings)} set"

    def _storage(self) -> tuple[list[Finding], str]:
        name = self.deployment.storage_account_id.rsplit("/", 1)[-1]
        try:
            endpoints = self._ask(self.app.read_endpoints)
        except NotThereError:
            finding = Finding(
                code="storage.account_missing",
                subject=name,
                message=f"There is no storage account {name}.",
                fix="If it was deleted, restore it first, within 14 days (portal, Storage "
                "accounts, Restore deleted account): a new one of its name rules that out. Only "
                "then make plan ENV=…, make apply ENV=…",
            )
            return [finding], ""
        return app.judge_storage_name(self._facts.settings, endpoints), name

    def _storage_content(self) -> tuple[list[Finding], str]:
        settings = self._facts.settings
        containers = self._ask(lambda: self.app.list_containers(settings["STORAGE_BLOB_URL"]))
        tables = self._ask(lambda: self.app.list_tables(settings["STORAGE_TABLE_URL"]))
        note = f"{len(containers)} containers, {len(tables)} tables"
        return app.judge_storage_content(containers, tables), note

    def _vault(self) -> tuple[list[Finding], str]:
        vault_id = self.deployment.key_vault_id
        if not vault_id:
            raise _SkipError("the deployment has no Key Vault")
        name = vault_id.rsplit("/", 1)[-1]
        names = self._ask(lambda: self.app.list_secrets(vault_id))
        return app.judge_secrets(names, name), name

    def _sizes(self) -> tuple[list[Finding], str]:
        sizes: dict[tuple[str, str], Size] = {}
        for region in self._regions():
            sizes |= self._ask(partial(self.account.list_sizes, region))
        self._know(replace(self._facts, sizes=sizes))
        names = sorted({vm.size for vm in self._facts.vms})
        return account.judge_sizes(self._facts.vms, sizes), ", ".join(names)

    def _quota(self) -> tuple[list[Finding], str]:
        if not self._facts.sizes:
            raise _SkipError("the families of the VM sizes are not known")
        quotas: dict[tuple[str, str], Quota] = {}
        for region in self._regions():
            quotas |= self._ask(partial(self.account.list_quotas, region))
        findings = account.judge_quota(self._facts.vms, self._facts.sizes, quotas)
        return findings, ", ".join(self._regions())

    def _vms(self) -> tuple[list[Finding], str]:
        findings, found, notes = [], {}, []
        for vm in self._facts.vms:
            seen = self._ask(partial(self.machines.read_vm, vm))
            if seen is not None:
                found[vm.name] = seen
                notes.append(f"{vm.name} {seen.power or 'in an unknown state'}")
            findings += machines.judge_vm(vm, seen)
        self._know(replace(self._facts, found=found))
        return findings, ", ".join(notes)

    def _images(self) -> tuple[list[Finding], str]:
        wanted = self.deployment.image_versions
        if not wanted:
            raise _SkipError("the deployment does not say which image it wants")
        pairs = self._pairs()
        findings = [
            finding
            for vm, found in pairs
            for finding in machines.judge_image(vm, found, wanted.get(vm.name, ""))
        ]
        return findings, ", ".join(f"{vm.name} {found.image_version}" for vm, found in pairs)

    def _storage_roles(self) -> tuple[list[Finding], str]:
        scope = self.deployment.storage_account_id
        return self._app_roles("role.storage", scope, access.APP_ON_STORAGE), "of the app"

    def _host(self) -> tuple[list[Finding], str]:
        host = self._ask(self.app.read_host)
        return app.judge_host(host, self._facts.settings), host.state

    def _vault_roles(self) -> tuple[list[Finding], str]:
        scope, site = self.deployment.key_vault_id, self._facts.site
        if not scope:
            raise _SkipError("the deployment has no Key Vault")
        # Azure resolves references to secrets with the system-assigned identity.
        principals = tuple(reversed(site.principals)) if site else ()
        needs = access.APP_ON_VAULT
        return self._roles("role.key_vault", "The app", principals, scope, needs), "of the app"

    def _references(self) -> tuple[list[Finding], str]:
        statuses = self._ask(self.app.list_references)
        return app.judge_references(statuses), ", ".join(statuses)

    def _vm_roles(self) -> tuple[list[Finding], str]:
        findings = []
        for vm, found in self._pairs():
            findings += self._app_roles("role.vm", found.id, access.APP_ON_VM)
            vault_id = self.deployment.key_vault_id
            secret_ids = [f"{vault_id}/secrets/{name}" for name in app.TOKEN_SECRETS if vault_id]
            for code, scope, needs in (
                ("role.vm_itself", found.id, access.VM_ON_ITSELF),
                ("role.vm_jobs", self.deployment.jobs_container_id, access.VM_ON_JOBS),
                *(("role.vm_key_vault", one, access.VM_ON_TOKEN) for one in secret_ids),
            ):
                if scope:
                    who = f"The VM {vm.name}"
                    findings += self._roles(code, who, found.principals, scope, needs)
        return findings, "of the app and of each VM"

    def _app_roles(self, code: str, scope: str, needs: tuple[access.Need, ...]) -> list[Finding]:
        site = self._facts.site
        return self._roles(code, "The app", site.principals if site else (), scope, needs)

    def _roles(
        self,
        code: str,
        who: str,
        principals: tuple[str, ...],
        scope: str,
        needs: tuple[access.Need, ...],
    ) -> list[Finding]:
        grants = self._ask(lambda: self.account.list_grants(scope, principals))
        return access.find_missing_roles(
            code=code, who=who, principals=principals, scope=scope, needs=needs, grants=grants
        )

    def _budget(self) -> tuple[list[Finding], str]:
        budget_id = self.deployment.budget_id
        if not budget_id:
            raise _SkipError("the deployment has no budget")
        try:
            budget = self._ask(lambda: self.account.read_budget(budget_id))
        except NotThereError:
            raise _SkipError(
                "the budget does not exist, so no one is told what is spent"
            ) from None
        return account.judge_budget(budget), f"{budget.spent:.2f} of {budget.amount:.2f}"

    def _health(self) -> tuple[list[Finding], str]:
        url = self.deployment.app_url
        return app.judge_health(self._ask(self.app.read_health), url), url

    def _wake(self) -> tuple[list[Finding], str]:
        if not self.options.wakes:
            raise _SkipError("not asked for (--wake); a VM would be billed for a few minutes")
        limit_s = self.options.wake_limit_s
        pool = self._ask(lambda: self.app.wake(limit_s), limit_s + WAKE_SLACK_S)
        # What the VMs are now is not what was seen before.
        found = {
            vm.name: seen
            for vm in self._facts.vms
            if (seen := self._ask(partial(self.machines.read_vm, vm))) is not None
        }
        self._know(replace(self._facts, pool=pool, found=found))
        ready = [vm.name for vm in pool.values() if vm.phase == "ready"]
        return machines.judge_wake(pool, limit_s), f"{', '.join(ready)} ready"

    def _pool(self) -> tuple[list[Finding], str]:
        pool = self._ask(self.app.read_pool)
        self._know(replace(self._facts, pool=pool))
        notes = [f"{vm.name} {vm.phase}" for vm in pool.values()]
        return machines.judge_pool(pool), ", ".join(notes)

    def _agents(self) -> tuple[list[Finding], str]:
        findings, notes, asked = [], [], 0
        for vm, found in self._pairs():
            if found.power != "running":
                notes.append(f"{vm.name} is {found.power}: not asked (--wake wakes one)")
                continue
            answer = self._ask(partial(self.machines.knock, vm)) or self._ask_agent(vm)
            pool = self._facts.pool.get(vm.name)
            if machines.is_out_of_sight(answer, pool):
                notes.append(f"{vm.name} can't be seen from this machine, but the app sees it")
                continue
            asked += 1
            notes.append(f"{vm.name} {answer.value}")
            findings += machines.judge_agent(vm, answer, pool)
        if not asked:
            raise _SkipError("; ".join(notes) or "there is no VM")
        return findings, "; ".join(notes)

    def _ask_agent(self, vm: WantedVm) -> AgentAnswer:
        token = self._facts.settings[app.TOKEN_SETTING]
        if secret := app.find_secret(token):
            token = self._ask(lambda: self.app.read_secret(secret))
        return self._ask(lambda: self.machines.ask_agent(vm, token))

    def _regions(self) -> list[str]:
        return sorted({vm.region for vm in self._facts.vms})

    def _pairs(self) -> list[tuple[WantedVm, FoundVm]]:
        found = self._facts.found
        pairs = [(vm, found[vm.name]) for vm in self._facts.vms if vm.name in found]
        if not pairs:
            raise _SkipError("no VM could be checked")
        return pairs

"""What can be made to go wrong, by name.

Pure: which faults are set is a tuple, and using one up returns another tuple.

===============  ========================================================  ======================
name             what happens                                              options
===============  ========================================================  ======================
no_capacity      a start fails, in its operation or (`sync`) at once       sync, code, message,
                                                                           after_s
slow_start       a start takes longer                                      seconds
never_ready      the VM runs, but its agent is not started
stuck_release    a deallocation's operation fails: the VM ends as          code, message
                 stopped, and is still billed
refused          a 4xx answer with any code                                status, code, message,
                                                                           requests
throttled        429 with Retry-After                                      retry_after_s, requests
server_error     a 5xx answer                                              status, requests
dropped          the connection is closed without an answer, nothing done  requests
lost_reply       the same after the request was carried out                requests
agent_dies       at once: the agent is killed                              stays_dead
power_lost       at once: the VM is deallocated, as its host failed
guest_shutdown   at once: the VM shuts itself down, and is still billed
agent_setting    the agent is started with another setting                 setting, value
vm_missing       the VM is not there when it is asked about
image            the VM was made from another version of the image         version
role_missing     the app has no role on storage, vm or key_vault           on
app_setting      the app has another setting; none if the value is empty   setting, value
host_error       the Functions host is in the state Error               message
secret_missing   the Key Vault lacks a secret                              secret
reference_       a setting's reference to the Key Vault is not resolved    status
unresolved
provider_        a resource provider is not registered                     namespace
unregistered
quota            the quota of every VM family is that many vCPUs           limit
size_restricted  every VM size is closed to the subscription in a zone     zone
budget_spent     that share of the budget is spent                         share
clock_skew       Azure's clock is ahead of this machine's by so much       seconds
===============  ========================================================  ======================

Every fault takes ``vm`` (all VMs if absent); those that don't happen at once also take ``count``
(how often; until cleared if absent). ``requests`` is ``all`` (default), ``read`` or ``write``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from localcloud.arm.addresses import Target
from localcloud.arm.errors import ArmDetail, ArmError, ThrottledError, bad_request
from localcloud.arm.rate_limits import find_group
from localcloud.arm.vm import StartPlan


class FaultName(StrEnum):
    """The names."""

    NO_CAPACITY = "no_capacity"
    SLOW_START = "slow_start"
    NEVER_READY = "never_ready"
    STUCK_RELEASE = "stuck_release"
    REFUSED = "refused"
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    DROPPED = "dropped"
    LOST_REPLY = "lost_reply"
    AGENT_DIES = "agent_dies"
    POWER_LOST = "power_lost"
    GUEST_SHUTDOWN = "guest_shutdown"
    AGENT_SETTING = "agent_setting"
    VM_MISSING = "vm_missing"
    IMAGE = "image"
    ROLE_MISSING = "role_missing"
    APP_SETTING = "app_setting"
    HOST_ERROR = "host_error"
    SECRET_MISSING = "secret_missing"  # noqa: S105 - a name
    REFERENCE_UNRESOLVED = "reference_unresolved"
    PROVIDER_UNREGISTERED = "provider_unregistered"
    QUOTA = "quota"
    SIZE_RESTRICTED = "size_restricted"
    BUDGET_SPENT = "budget_spent"
    CLOCK_SKEW = "clock_skew"


_IMMEDIATE = frozenset({FaultName.AGENT_DIES, FaultName.POWER_LOST, FaultName.GUEST_SHUTDOWN})

_DEFAULTS: dict[FaultName, dict[str, Any]] = {
    FaultName.NO_CAPACITY: {
        "sync": False,
        "code": "AllocationFailed",
        "message": "Allocation failed. We do not have sufficient capacity for the requested VM "
        "size in this region.",
        "after_s": 0.0,
    },
    FaultName.SLOW_START: {"seconds": 30.0},
    FaultName.NEVER_READY: {},
    FaultName.STUCK_RELEASE: {
        "code": "InternalExecutionError",
        "message": "An internal execution error occurred. Please retry later.",
    },
    FaultName.REFUSED: {
        "status": 403,
        "code": "AuthorizationFailed",
        "message": "The client does not have authorization to perform this action.",
        "requests": "all",
    },
    FaultName.THROTTLED: {"retry_after_s": 5, "requests": "all"},
    FaultName.SERVER_ERROR: {"status": 500, "requests": "all"},
    FaultName.DROPPED: {"requests": "all"},
    FaultName.LOST_REPLY: {"requests": "all"},
    FaultName.AGENT_DIES: {"stays_dead": False},
    FaultName.POWER_LOST: {},
    FaultName.GUEST_SHUTDOWN: {},
    FaultName.AGENT_SETTING: {"setting": "GPU_AGENT_TOKEN", "value": "another"},
    FaultName.VM_MISSING: {},
    FaultName.IMAGE: {"version": "0.0.1"},
    FaultName.ROLE_MISSING: {"on": "storage"},
    FaultName.APP_SETTING: {"setting": "GPU_AGENT_TOKEN", "value": ""},
    FaultName.HOST_ERROR: {
        "message": "Unable to get blob container 'azure-webjobs-secrets': "
        "AuthorizationPermissionMismatch.",
    },
    FaultName.SECRET_MISSING: {"secret": "gpu-agent-token"},
    FaultName.REFERENCE_UNRESOLVED: {"status": "AccessToKeyVaultDenied"},
    FaultName.PROVIDER_UNREGISTERED: {"namespace": "Microsoft.Compute"},
    FaultName.QUOTA: {"limit": 0},
    FaultName.SIZE_RESTRICTED: {"zone": "1"},
    FaultName.BUDGET_SPENT: {"share": 1.0},
    FaultName.CLOCK_SKEW: {"seconds": 600.0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault that is set.

    Attributes:
        id: Its number.
        name: What happens.
        vm: To which VM; None: to any.
        remaining: How often still; None: until cleared.
        options: All options of its name.
    """

    id: int
    name: FaultName
    vm: str | None = None
    remaining: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_immediate(self) -> bool:
        """Whether it happens once, when it is set."""
        return self.name in _IMMEDIATE

    def concerns(self, vm: str | None) -> bool:
        """Tell whether it can hit a request about a VM (None: about no VM in particular)."""
        return self.vm is None or (vm is not None and self.vm.lower() == vm.lower())

    def to_json(self) -> dict[str, Any]:
        """Return what the list of faults shows."""
        shown = {"id": self.id, "name": self.name, "vm": self.vm, "remaining": self.remaining}
        return {**shown, **self.options}


def read_fault(body: Any, *, fault_id: int) -> Fault:
    """Read a fault from the JSON of a request.

    Raises:
        ArmError: 400, saying which names and options there are.
    """
    if not isinstance(body, dict) or body.get("name") not in list(FaultName):
        raise bad_request("InvalidFault", f"name must be one of {', '.join(FaultName)}")
    name = FaultName(body["name"])
    defaults = _DEFAULTS[name]
    given = {key: value for key, value in body.items() if key not in ("name", "vm", "count")}
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(["vm", "count", *defaults])
            raise bad_request("InvalidFault", f"{name} knows no {key!r}, only {known}")
        if not _fits(value, defaults[key]):
            kind = type(defaults[key]).__name__
            raise bad_request("InvalidFault", f"{name}: {key} must be a {kind}")
    options = {**defaults, **given}
    if options.get("requests", "all") not in ("all", "read", "write"):
        raise bad_request("InvalidFault", f"{name}: requests must be all, read or write")
    lowest = 400 if name is FaultName.REFUSED else 500
    status = options.get("status", lowest)
    if isinstance(status, int) and not lowest <= status <= lowest + 99:
        raise bad_request("InvalidFault", f"{name}: status must be {lowest} to {lowest + 99}")
    if options.get("retry_after_s", 0) < 0:
        raise bad_request("InvalidFault", f"{name}: retry_after_s must not be negative")
    if options.get("on", "vm") not in ("storage", "vm", "key_vault"):
        raise bad_request("InvalidFault", f"{name}: on must be storage, vm or key_vault")
    vm, count = body.get("vm"), body.get("count")
    if not (vm is None or isinstance(vm, str)):
        raise bad_request("InvalidFault", "vm must be the name of a VM")
    if not (count is None or (type(count) is int and count > 0)):
        raise bad_request("InvalidFault", "count must be a whole number above 0")
    return Fault(id=fault_id, name=name, vm=vm, remaining=count, options=options)


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return type(value) in (int, float) and value >= 0
    return type(value) is type(default)


def find(faults: tuple[Fault, ...], name: FaultName, vm: str | None) -> list[Fault]:
    """List the faults of a name that concern a VM; they are not used up by that."""
    return [fault for fault in faults if fault.name is name and fault.concerns(vm)]


def take(
    faults: tuple[Fault, ...], names: set[FaultName], vm: str | None, *, is_write: bool = True
) -> tuple[Fault | None, tuple[Fault, ...]]:
    """Use up one turn of the first fault that hits a request.

    Returns:
        That fault, or None, and the faults that are left.
    """
    for index, fault in enumerate(faults):
        wanted = fault.options.get("requests", "all")
        if wanted not in ("all", "write" if is_write else "read"):
            continue
        if fault.name in names and fault.concerns(vm):
            return fault, _use_up(faults, index)
    return None, faults


def _use_up(faults: tuple[Fault, ...], index: int) -> tuple[Fault, ...]:
    fault = faults[index]
    if fault.remaining is None:
        return faults
    left = replace(fault, remaining=fault.remaining - 1)
    return (*faults[:index], *([left] if left.remaining else []), *faults[index + 1 :])


def plan_start(
    faults: tuple[Fault, ...], vm: str
) -> tuple[StartPlan | ArmError, tuple[Fault, ...]]:
    """Decide how a start of a VM will turn out.

    Returns:
        The plan, or the error that answers the request at once; and the faults that are left.
    """
    capacity, faults = take(faults, {FaultName.NO_CAPACITY}, vm)
    if capacity:
        options = capacity.options
        if options["sync"]:
            return ArmError(HTTPStatus.CONFLICT, options["code"], options["message"]), faults
        failure = ArmDetail(options["code"], options["message"])
        return StartPlan(boot_s=options["after_s"], failure=failure), faults
    slow, faults = take(faults, {FaultName.SLOW_START}, vm)
    unready, faults = take(faults, {FaultName.NEVER_READY}, vm)
    extra_boot_s = slow.options["seconds"] if slow else 0.0
    return StartPlan(extra_boot_s=extra_boot_s, agent_starts=unready is None), faults


def plan_release(faults: tuple[Fault, ...], vm: str) -> tuple[ArmDetail | None, tuple[Fault, ...]]:
    """Decide how a deallocation of a VM will turn out.

    Returns:
        Why it will fail, or None; and the faults that are left.
    """
    stuck, faults = take(faults, {FaultName.STUCK_RELEASE}, vm)
    if stuck is None:
        return None, faults
    return ArmDetail(stuck.options["code"], stuck.options["message"]), faults


def find_refusal(fault: Fault, target: Target) -> ArmError:
    """Return the answer of a `throttled`, `refused` or `server_error` fault to a request."""
    options = fault.options
    if fault.name is FaultName.THROTTLED:
        group = find_group(target)
        allowed = (group.vm or group.subscription).refill
        return ThrottledError(
            options["retry_after_s"], f"{group.name}Resource", {"allowedRequestCount": allowed}
        )
    if fault.name is FaultName.REFUSED:
        return ArmError(options["status"], options["code"], options["message"])
    return ArmError(options["status"], "InternalServerError", "The server encountered an error.")

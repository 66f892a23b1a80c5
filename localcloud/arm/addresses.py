"""Reads the paths of Azure Resource Manager. Pure; case does not matter, as in Azure."""

import re
from dataclasses import dataclass
from enum import StrEnum


class Target(StrEnum):
    """What a path is about; a value is the method that it takes and its last segment."""

    VM = "GET"
    VMS_OF_GROUP = "GET virtualMachines"
    VMS_OF_SUBSCRIPTION = "GET subscription/virtualMachines"
    INSTANCE_VIEW = "GET instanceView"
    START = "POST start"
    DEALLOCATE = "POST deallocate"
    POWER_OFF = "POST powerOff"
    OPERATION = "GET operations"

    @property
    def method(self) -> str:
        """The only HTTP method that it takes."""
        return self.value.split()[0]


_ACTS = {
    None: Target.VM,
    "instanceview": Target.INSTANCE_VIEW,
    "start": Target.START,
    "deallocate": Target.DEALLOCATE,
    "poweroff": Target.POWER_OFF,
}

_SUBSCRIPTION = r"/subscriptions/(?P<subscription>[^/]+)"
_COMPUTE = r"/providers/Microsoft\.Compute"
_VMS = re.compile(
    rf"{_SUBSCRIPTION}/resourceGroups/(?P<group>[^/]+){_COMPUTE}/virtualMachines"
    r"(?:/(?P<vm>[^/]+)(?:/(?P<act>[^/]+))?)?/?",
    re.IGNORECASE,
)
_ALL_VMS = re.compile(rf"{_SUBSCRIPTION}{_COMPUTE}/virtualMachines/?", re.IGNORECASE)
_OPERATION = re.compile(
    rf"{_SUBSCRIPTION}{_COMPUTE}/locations/[^/]+/operations/(?P<operation>[^/]+)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """What a request is about, in the words of its path."""

    target: Target
    subscription: str
    group: str | None = None
    vm: str | None = None
    operation: str | None = None


def read_path(path: str) -> Address | None:
    """Read a path; None if it is about nothing that there is."""
    if match := _VMS.fullmatch(path):
        act = match["act"] and match["act"].lower()
        if act not in _ACTS:
            return None
        target = _ACTS[act] if match["vm"] else Target.VMS_OF_GROUP
        return Address(
            target=target, subscription=match["subscription"], group=match["group"], vm=match["vm"]
        )
    if match := _ALL_VMS.fullmatch(path):
        return Address(target=Target.VMS_OF_SUBSCRIPTION, subscription=match["subscription"])
    if match := _OPERATION.fullmatch(path):
        return Address(
            target=Target.OPERATION,
            subscription=match["subscription"],
            operation=match["operation"],
        )
    return None

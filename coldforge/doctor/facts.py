"""What the probes saw, as values. Times are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The function app as Azure describes it.

    Attributes:
        state: Azure's word, ``Running`` when all is well.
        principals: Object ids of its identities: where roles are assigned to.
    """

    state: str
    principals: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The Functions host that runs the app, by its own account.

    Attributes:
        state: Its word, ``Running`` when all is well.
        errors: What it complains of, such as storage that it may not read.
    """

    state: str
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedVm:
    """A VM that the app may wake, from its setting ``GPU_VMS``."""

    name: str
    resource_group: str
    size: str
    region: str
    zone: str | None
    agent_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundVm:
    """A VM as Azure describes it.

    Attributes:
        id: Its resource id.
        size: Its VM size.
        power: Azure's word, such as ``deallocated``; empty if Azure does not say.
        failure: Code of its last operation if that failed.
        image_version: Version of the gallery image that it was made from; empty if of none.
        principals: Object ids of its identities.
    """

    id: str
    size: str
    power: str
    failure: str = ""
    image_version: str = ""
    principals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A VM size in one region.

    Attributes:
        name: Such as ``Standard_NC24ads_A100_v4``.
        family: Whose quota it uses up.
        vcpus: How much of it.
        region_restricted: Azure's reason if it is closed to this subscription, else empty.
        zones: Where it is offered.
        restricted_zones: Where it is offered, but not to this subscription.
    """

    name: str
    family: str
    vcpus: int
    region_restricted: str = ""
    zones: frozenset[str] = frozenset()
    restricted_zones: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many vCPUs of a family a subscription may have in a region, and has."""

    family: str
    used: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role that was given: its permissions, and the scope from which they hold downwards."""

    scope: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    data_actions: tuple[str, ...] = ()
    not_data_actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A budget of Azure and what was spent of it in its period, in its currency."""

    name: str
    amount: float
    spent: float


class AgentAnswer(StrEnum):
    """What an agent says to a caller with the app's token."""

    READY = "ready"
    LOADING = "loading"
    TOKEN_REFUSED = "token_refused"  # noqa: S105 - a word, no token
    ODD = "odd"
    CLOSED = "closed"
    """Something at that address refuses connections to that port."""
    SILENT = "silent"
    """Nothing comes back: a firewall, no route, or nobody there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolVm:
    """A VM as the app's pool sees it."""

    name: str
    phase: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known so far; empty where nobody has looked."""

    clock_is_right: bool = True
    site: Site | None = None
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)
    vms: tuple[WantedVm, ...] = ()
    found: Mapping[str, FoundVm] = field(default_factory=dict)
    sizes: Mapping[tuple[str, str], Size] = field(default_factory=dict)
    pool: Mapping[str, PoolVm] = field(default_factory=dict)

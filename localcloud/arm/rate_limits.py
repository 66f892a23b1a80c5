"""How many requests Microsoft.Compute takes, in token buckets. Pure.

Each group of requests has a bucket for each VM and one for the subscription. A bucket begins full,
a request takes a token out of both, and each minute puts the refill in. The figures are those of
Microsoft's page "Compute throttling limits"; the names are those seen in answers of the real
service, except for ``DeleteVM``, which is named like its siblings.

============  ====================================  ============  =================
group         requests                              a VM          a subscription
============  ====================================  ============  =================
LowCostGet    one VM, its instance view             12, full 36   8000, full 24000
HighCostGet   lists of VMs                                        300, full 900
UpdateVM      start, power off                      4, full 12    500, full 1500
DeleteVM      deallocate                            4, full 12    500, full 1500
GetOperation  how far an operation is               15, full 45   5000, full 15000
============  ====================================  ============  =================
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from localcloud.arm.addresses import Target

WINDOW_S = 60.0
"""A bucket is filled up once in this time, not bit by bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Size of a bucket.

    Attributes:
        refill: Tokens that each minute brings.
        capacity: Tokens that it holds at most, and at first.
    """

    refill: int
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Requests that share their buckets."""

    name: str
    vm: Limit | None
    subscription: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What a bucket holds.

    Attributes:
        name: As the header says it.
        limit: Its size.
        tokens: Those that are left.
        since: Begin of its present minute; epoch seconds.
        asked: Requests of that minute, refused ones included.
    """

    name: str
    limit: Limit
    tokens: int
    since: float
    asked: int = 0


Buckets = Mapping[tuple[str, str | None], Bucket]
"""By the bucket's name and the VM's, which is None for the subscription's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What becomes of a request.

    Attributes:
        buckets: As they are afterwards.
        touched: Those that it was charged to, the subscription's first.
        refused_by: The empty one; None: the request is admitted.
        retry_after_s: Whole seconds until that one is filled up again.
    """

    buckets: Buckets = field(repr=False)
    touched: tuple[Bucket, ...]
    refused_by: Bucket | None = None
    retry_after_s: int = 0

    @property
    def remaining(self) -> str:
        """Value of the header ``x-ms-ratelimit-remaining-resource``."""
        return ",".join(f"Microsoft.Compute/{b.name};{b.tokens}" for b in self.touched)


_LOW_COST_GET = Group(
    name="LowCostGet",
    vm=Limit(refill=12, capacity=36),
    subscription=Limit(refill=8_000, capacity=24_000),
)
_HIGH_COST_GET = Group(name="HighCostGet", vm=None, subscription=Limit(refill=300, capacity=900))
_UPDATE_VM = Group(
    name="UpdateVM",
    vm=Limit(refill=4, capacity=12),
    subscription=Limit(refill=500, capacity=1_500),
)
_DELETE_VM = replace(_UPDATE_VM, name="DeleteVM")
_GET_OPERATION = Group(
    name="GetOperation",
    vm=Limit(refill=15, capacity=45),
    subscription=Limit(refill=5_000, capacity=15_000),
)

_GROUPS = {
    Target.VM: _LOW_COST_GET,
    Target.INSTANCE_VIEW: _LOW_COST_GET,
    Target.VMS_OF_GROUP: _HIGH_COST_GET,
    Target.VMS_OF_SUBSCRIPTION: _HIGH_COST_GET,
    Target.START: _UPDATE_VM,
    Target.POWER_OFF: _UPDATE_VM,
    Target.DEALLOCATE: _DELETE_VM,
    Target.OPERATION: _GET_OPERATION,
}


def find_group(target: Target) -> Group:
    """Return the group that a kind of request belongs to."""
    return _GROUPS[target]


def admit(buckets: Buckets, target: Target, vm: str | None, *, now: float) -> Admission:
    """Charge a request to its buckets; one that is refused costs nothing.

    Args:
        buckets: Those used before; others are full.
        target: What is asked.
        vm: About which VM; None: about none, or one that there is not.
        now: Epoch seconds.
    """
    group = find_group(target)
    wanted: list[tuple[str, str | None, Limit]] = [
        (f"{group.name}SubscriptionMaximum", None, group.subscription)
    ]
    if group.vm and vm is not None:
        wanted.append((f"{group.name}Resource", vm, group.vm))
    touched = [_ask(buckets.get((name, owner)), name, limit, now) for name, owner, limit in wanted]
    empty = next((bucket for bucket in touched if bucket.tokens == 0), None)
    if empty is None:
        touched = [replace(bucket, tokens=bucket.tokens - 1) for bucket in touched]
    keys = [(name, owner) for name, owner, _ in wanted]
    left = {**buckets, **dict(zip(keys, touched, strict=True))}
    if empty is None:
        return Admission(buckets=left, touched=tuple(touched))
    return Admission(
        buckets=left,
        touched=tuple(touched),
        refused_by=empty,
        retry_after_s=max(1, math.ceil(empty.since + WINDOW_S - now)),
    )


def _ask(bucket: Bucket | None, name: str, limit: Limit, now: float) -> Bucket:
    if bucket is None:
        return Bucket(name=name, limit=limit, tokens=limit.capacity, since=now, asked=1)
    minutes = max(0, int((now - bucket.since) // WINDOW_S))
    if minutes == 0:
        return replace(bucket, asked=bucket.asked + 1)
    return replace(
        bucket,
        tokens=min(limit.capacity, bucket.tokens + minutes * limit.refill),
        since=bucket.since + minutes * WINDOW_S,
        asked=1,
    )

"""What ARM's error codes mean for a start.

Only ``error.code`` is common to a refusal at once and to an operation that failed later.
"""

_CAPACITY = frozenset(
    {
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
        "SkuNotAvailable",
    }
)
_TRANSIENT = frozenset(
    {
        "Conflict",
        "OperationPreempted",
        "TooManyRequests",
        "OperationNotAllowed",
        "InternalServerError",
        "ServerTimeout",
        "Unreachable",
    }
)


def is_capacity_code(code: str) -> bool:
    """Tell whether Azure has no host for the VM now: try the next candidate."""
    return code in _CAPACITY


def is_transient_code(code: str) -> bool:
    """Tell whether the same call may succeed in half a minute."""
    return code in _TRANSIENT

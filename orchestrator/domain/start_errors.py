"""What ARM's error codes mean for a start.

Only ``error.code`` is common to a refusal at once and to an operation that failed later; quota
alone needs a look at the message, for Azure gives it the code of several other conditions.
"""

from enum import StrEnum


class StartProblem(StrEnum):
    """What to do about a start that did not go through."""

    CAPACITY = "capacity"
    """No host has room: cool the candidate down and try the next at once."""
    CONFIGURATION = "configuration"
    """Nothing but a person's act will help: quota, rights, a size that is not offered."""
    BUSY = "busy"
    """Another operation holds the VM, or Azure is throttling: the same call may do soon."""
    PLATFORM = "platform"
    """Azure failed: count it and try again later."""


NOT_FOUND = "ResourceNotFound"
"""There is no VM of that name."""

_CAPACITY = frozenset(
    {
        "AllocationFailed",
        "ZonalAllocationFailed",
        "OverconstrainedAllocationRequest",
        "OverconstrainedZonalAllocationRequest",
    }
)
_CONFIGURATION = frozenset(
    {
        "SkuNotAvailable",
        "QuotaExceeded",
        "AuthorizationFailed",
        "LinkedAuthorizationFailed",
        "AuthenticationFailed",
        "InvalidAuthenticationTokenTenant",
        NOT_FOUND,
        "ResourceGroupNotFound",
        "SubscriptionNotFound",
        "MissingSubscriptionRegistration",
    }
)
_BUSY = frozenset(
    {
        "Conflict",
        "OperationPreempted",
        "TooManyRequests",
        "OperationNotAllowed",
        "InternalServerError",
        "ServiceUnavailable",
        "ServerTimeout",
        "GatewayTimeout",
        "Unreachable",
    }
)
_UNANSWERED = frozenset(
    {
        "InternalServerError",
        "ServiceUnavailable",
        "ServerTimeout",
        "GatewayTimeout",
        "Unreachable",
    }
)
_QUOTA_WORDS = ("quota", "approved cores", "core limit")


def classify_start_error(code: str, message: str = "") -> StartProblem:
    """Tell what a start's error asks for.

    Args:
        code: ``error.code`` of ARM's answer.
        message: Its text, looked at for quota only.
    """
    if code in _CAPACITY:
        return StartProblem.CAPACITY
    if code == "OperationNotAllowed" and any(w in message.lower() for w in _QUOTA_WORDS):
        return StartProblem.CONFIGURATION
    if code in _CONFIGURATION:
        return StartProblem.CONFIGURATION
    return StartProblem.BUSY if code in _BUSY else StartProblem.PLATFORM


def may_have_acted(code: str) -> bool:
    """Tell whether ARM may have done what it was asked for, although this is its answer.

    Args:
        code: ``error.code`` of ARM's answer, ``Unreachable`` if there was none.
    """
    return code in _UNANSWERED or code.startswith("http_5")

"""Counts requests, and refuses those that are too many."""

from collections.abc import Callable

from localcloud.arm.addresses import Target
from localcloud.arm.errors import ThrottledError
from localcloud.arm.rate_limits import WINDOW_S, Admission, Buckets, admit
from localcloud.arm.rendering import format_moment


class Throttle:
    """Owns the buckets. They are not kept: a stand-in that is started again has full ones."""

    def __init__(self, clock: Callable[[], float], *, is_on: bool) -> None:
        """Begin with full buckets.

        Args:
            clock: Gives epoch seconds.
            is_on: Whether anything is refused; if not, nothing is counted either.
        """
        self._clock = clock
        self._is_on = is_on
        self._buckets: Buckets = {}
        self.refused = 0

    def count(self, target: Target, vm: str | None) -> Admission | None:
        """Charge a request to its buckets; None if nothing is counted."""
        if not self._is_on:
            return None
        admission = admit(self._buckets, target, vm, now=self._clock())
        self._buckets = admission.buckets
        if admission.refused_by:
            self.refused += 1
        return admission


def find_throttling(admission: Admission) -> ThrottledError | None:
    """Return the answer to a request that was refused."""
    bucket = admission.refused_by
    if bucket is None:
        return None
    violation = {
        "startTime": format_moment(bucket.since),
        "endTime": format_moment(bucket.since + WINDOW_S),
        "allowedRequestCount": bucket.limit.refill,
        "measuredRequestCount": bucket.asked,
    }
    return ThrottledError(admission.retry_after_s, bucket.name, violation)

"""From samples to the few figures that are shown."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the middle half of some samples lies.

    Attributes:
        q1: A quarter of them are not above it.
        median: Half of them are not above it.
        q3: Three quarters of them are not above it.
    """

    q1: float
    median: float
    q3: float

    def text(self, digits: int) -> str:
        """Write it as ``median (q1-q3)``."""
        return f"{self.median:.{digits}f} ({self.q1:.{digits}f}-{self.q3:.{digits}f})"


def spread_of(samples: Sequence[float]) -> Spread:
    """Compute quartiles, between neighbours in proportion.

    Args:
        samples: One or more, in any order.
    """
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0])
    q1, median, q3 = statistics.quantiles(samples, n=4, method="inclusive")
    return Spread(q1, median, q3)


def percentile_of(samples: Sequence[float], percent: float) -> float:
    """Give the smallest sample that so many of them are not above.

    Args:
        samples: One or more, in any order.
        percent: Above 0, at most 100.
    """
    return sorted(samples)[math.ceil(len(samples) * percent / 100) - 1]

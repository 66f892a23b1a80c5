"""Figures that are held to a bound."""

from dataclasses import dataclass

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is held to a bound.

    Attributes:
        name: The figure.
        value: What was measured, or None if there was no sample.
        bound: What it should be at least, or at most.
        is_floor: Whether the bound is the least.
    """

    name: str
    value: float | None
    bound: float
    is_floor: bool

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps to its bound; one that was not measured does not."""
        if self.value is None:
            return False
        return self.value >= self.bound if self.is_floor else self.value <= self.bound

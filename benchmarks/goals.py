"""Figures that are held to a bound."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is held to a bound.

    Attributes:
        name: The figure.
        value: What was measured.
        bound: What it should be at least, or at most.
        is_floor: Whether the bound is the least.
    """

    name: str
    value: float
    bound: float
    is_floor: bool

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps to its bound."""
        return self.value >= self.bound if self.is_floor else self.value <= self.bound

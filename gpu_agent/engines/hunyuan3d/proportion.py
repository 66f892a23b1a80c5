"""How the time of a shape divides between diffusion and decoding, learned from shapes made. Pure.

Base weights spend most of it in one, turbo weights in the other, so no fixed share is honest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gpu_agent.engines.hunyuan3d.health import Step
from gpu_agent.engines.hunyuan3d.model import ShapeSettings

_MOST_REMEMBERED = 32
_WEIGHT_OF_NEW = 0.25
_FIRST_GUESS = 0.5


@dataclass(frozen=True, slots=True)
class Proportions:
    """Share of the diffusion in the time of a shape, 0 to 1, by settings.

    The settings last seen are the last in it; only so many are remembered.
    """

    shares: Mapping[ShapeSettings, float] = field(default_factory=dict)

    def learn(self, settings: ShapeSettings, seconds: Mapping[Step, float]) -> "Proportions":
        """Take in how long a shape took, by step."""
        diffuse_s, decode_s = seconds.get(Step.DIFFUSE, 0.0), seconds.get(Step.DECODE, 0.0)
        if diffuse_s + decode_s <= 0:
            return self
        seen = diffuse_s / (diffuse_s + decode_s)
        before = self.shares.get(settings, seen)
        shares = {key: share for key, share in self.shares.items() if key != settings}
        shares[settings] = before + _WEIGHT_OF_NEW * (seen - before)
        return replace(self, shares=dict(list(shares.items())[-_MOST_REMEMBERED:]))

    def percent(self, settings: ShapeSettings, step: Step, share: float) -> float:
        """Tell how far a shape is, 0 to 100, from how far its step is, 0 to 1."""
        diffusion = min(0.95, max(0.05, self.shares.get(settings, _FIRST_GUESS)))
        share = min(1.0, max(0.0, share))
        if step is Step.DIFFUSE:
            return 100 * diffusion * share
        return 100 * (diffusion + (1 - diffusion) * share)

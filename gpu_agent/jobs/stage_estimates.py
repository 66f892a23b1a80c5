"""How long the stages of a job take, learned from the jobs that this agent has finished. Pure.

A percent is honest when equal steps of it take equal time, so each stage gets the share of the
percent that it had of the time of jobs asked for in the same way.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gpu_agent.wire import Stage

Spans = Mapping[Stage, tuple[float, float]]

FIRST_SPANS: Spans = MappingProxyType(
    {
        Stage.FETCH: (0, 3),
        Stage.BACKGROUND: (3, 12),
        Stage.SHAPE: (12, 60),
        Stage.TEXTURE: (60, 85),
        Stage.FINISH: (85, 92),
        Stage.EXPORT: (92, 96),
        Stage.UPLOAD: (96, 99),
    }
)
"""Where each stage lies in the percent of the whole job before anything was learned; 100 is for
what has succeeded."""

_DONE = 99.0
_LEAST_SPAN = 0.5
"""A stage that took place gets no less: it may take longer the next time."""

_MOST_KINDS = 32
_WEIGHT_OF_NEW = 0.25


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of one job.

    Attributes:
        spans: Where each stage lies in the percent of the whole job.
        seconds: What all stages take together, waiting between them not counted; None before
            anything was learned.
    """

    spans: Spans = field(default_factory=lambda: FIRST_SPANS)
    seconds: float | None = None

    def left_s(self, percent: int) -> float | None:
        """Give the seconds of work that are left at a percent of the whole job."""
        if self.seconds is None:
            return None
        return round(self.seconds * max(0.0, 1 - percent / _DONE), 1)


@dataclass(frozen=True, slots=True)
class StageEstimates:
    """Seconds by stage, by kind of job; the kinds last seen are the last in it.

    Only so many kinds are remembered, each as a mean in which the newest job has a fixed weight.
    """

    kinds: Mapping[str, Mapping[Stage, float]] = field(default_factory=dict)

    def learn(self, kind: str, stage_seconds: Mapping[str, float]) -> "StageEstimates":
        """Take in how long a job took; one that made no shape teaches nothing."""
        if Stage.SHAPE not in stage_seconds:
            return self
        before = self.kinds.get(kind, {})
        mean = {}
        for stage in Stage:
            seen = stage_seconds.get(stage, 0.0)
            was = before.get(stage, seen)
            mean[stage] = was + _WEIGHT_OF_NEW * (seen - was)
        kinds = {name: seconds for name, seconds in self.kinds.items() if name != kind}
        kinds[kind] = mean
        return replace(self, kinds=dict(list(kinds.items())[-_MOST_KINDS:]))

    def expect(self, kind: str) -> Expectation:
        """Say what to expect of a job; of a new kind, what was guessed at first."""
        seconds = self.kinds.get(kind)
        if seconds is None:
            return Expectation()
        total = sum(seconds.values())
        happens = [stage for stage in Stage if seconds[stage] > 0]
        if total <= 0 or not happens:
            return Expectation()
        free = _DONE - _LEAST_SPAN * len(happens)
        spans: dict[Stage, tuple[float, float]] = {}
        low = 0.0
        for stage in Stage:
            width = _LEAST_SPAN + free * seconds[stage] / total if stage in happens else 0.0
            spans[stage] = (low, min(_DONE, low + width))
            low = spans[stage][1]
        return Expectation(spans=spans, seconds=total)

    def to_text(self) -> str:
        """Give it as one line of JSON."""
        return json.dumps(self.kinds)

    @classmethod
    def from_text(cls, text: str) -> "StageEstimates":
        """Read what `to_text` gave; nothing learned if it can't be read."""
        try:
            found = json.loads(text)
            return cls(
                {
                    str(kind): {stage: float(seconds.get(stage, 0.0)) for stage in Stage}
                    for kind, seconds in found.items()
                }
            )
        except (ValueError, TypeError, AttributeError):
            return cls()


def kind_of(options: Mapping[str, Any]) -> str:
    """Name the kind of a job: all that was asked of it but the seed."""
    asked = {name: value for name, value in options.items() if name != "seed"}
    return json.dumps(asked, sort_keys=True, default=str)[:500]

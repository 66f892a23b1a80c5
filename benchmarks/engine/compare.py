"""Runs the rounds of all sides in turn, so that whatever else the machine does meets all alike."""

import itertools
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engine.process import FULL, NORMAL, PEER, SideProcess
from benchmarks.engine.workloads import CHAIN, FAN_OUT, Round

SIDES = (NORMAL, PEER, FULL)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run.

    Attributes:
        rounds: Measured rounds of each side and workload.
        in_flight: Instances at any time.
        instances: Instances of a round, by workload.
    """

    rounds: int = 9
    in_flight: int = 20
    instances: Mapping[str, int] | None = None

    def instances_of(self, workload: str) -> int:
        """Tell how many instances make a round, about two seconds of work."""
        return (self.instances or {CHAIN: 100, FAN_OUT: 40})[workload]


QUICK = Plan(rounds=1, in_flight=4, instances={CHAIN: 8, FAN_OUT: 4})
"""Enough to see that all of it works; its figures mean nothing."""

Samples = Mapping[tuple[str, str], list[Round]]
"""Rounds by workload and side, in the order they were run."""


def compare_engines(folder: Path, plan: Plan, say: Callable[[str], None]) -> Samples:
    """Run every workload on every side.

    One round of each goes before and is thrown away; the side that begins changes with each
    round.

    Args:
        folder: For the sides' files; empty.
        plan: How much is run.
        say: Told of each round.
    """
    samples: dict[tuple[str, str], list[Round]] = {}
    with ExitStack() as stack:
        sides = [stack.enter_context(SideProcess(name, folder / name)) for name in SIDES]
        for workload, number in itertools.product((CHAIN, FAN_OUT), range(plan.rounds + 1)):
            first = number % len(sides)
            for side in (*sides[first:], *sides[:first]):
                taken = side.run_round(
                    workload, instances=plan.instances_of(workload), in_flight=plan.in_flight
                )
                if number == 0:
                    continue
                samples.setdefault((workload, side.name), []).append(taken)
                rate = len(taken.latencies_s) / taken.seconds
                say(f"{workload} {number}/{plan.rounds} {side.name}: {rate:.1f} instances/s")
    return samples

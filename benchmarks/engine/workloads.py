"""What both engines are made to run, and how a round of it is driven.

The orchestrators are written twice, each in the words of its own SDK; names, sizes and the answers
that are checked stand here. A round is driven in one way for both: so many callers, each of which
starts an instance, waits until it is over and starts the next.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

CHAIN = "chain_of_10"
FAN_OUT = "fan_out_of_100"
CHAIN_STEPS = 10
FAN_OUT_WIDTH = 100

ANSWERS = {CHAIN: CHAIN_STEPS, FAN_OUT: sum(range(1, FAN_OUT_WIDTH + 1))}
"""What an instance of each workload must answer: every activity adds one to its number."""


class WrongAnswerError(Exception):
    """An instance did not come to the answer of its workload."""


class Side(Protocol):
    """An engine with its worker, ready to run the workloads."""

    def run_instance(self, workload: str) -> Any:
        """Start one instance, wait until it is over and give its output."""
        ...

    def close(self) -> None:
        """End all that it started."""
        ...


@dataclass(frozen=True)
class Round:
    """What one round of a workload took.

    Attributes:
        seconds: From the first start to the last end.
        cpu_s: Processor time of the side's process meanwhile.
        latencies_s: Of each instance, from its start to its end, in no order.
    """

    seconds: float
    cpu_s: float
    latencies_s: tuple[float, ...]


def run_round(side: Side, workload: str, *, instances: int, in_flight: int) -> Round:
    """Run a number of instances, so many at a time.

    Args:
        side: The engine.
        workload: What to run.
        instances: How many in all.
        in_flight: How many at any time.

    Raises:
        WrongAnswerError: An instance came to something else.
    """

    def run_one(_: int) -> float:
        began = time.perf_counter()
        answer = side.run_instance(workload)
        if answer != ANSWERS[workload]:
            raise WrongAnswerError(f"{workload} came to {answer!r}, not {ANSWERS[workload]}")
        return time.perf_counter() - began

    with ThreadPoolExecutor(in_flight, "caller") as callers:
        cpu, began = time.process_time(), time.perf_counter()
        latencies = tuple(callers.map(run_one, range(instances)))
        return Round(time.perf_counter() - began, time.process_time() - cpu, latencies)

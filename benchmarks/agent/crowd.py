"""Clients of a server: some who each wait for their model, or many who all come at once."""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field

from benchmarks.agent.live import Asked, LivePoller
from benchmarks.agent.meshes import Verdict, judge
from benchmarks.agent.sides import Made, Side, open_session
from benchmarks.agent.tasks import Task
from benchmarks.surfaces import Surface


@dataclass(frozen=True, slots=True)
class Round:
    """What a round came to.

    Attributes:
        seconds: From the first request to the last model, or to the end of the last attempt.
        cpu_s: Processor time of the server's processes meanwhile.
        latencies_s: Of each job that gave a model.
        verdicts: How many jobs were right, wrong, missing.
        refusals: How often a client was told to come back later.
        problems: The first few reasons why a model is missing.
        live: What the poller saw meanwhile, where there was one.
    """

    seconds: float
    cpu_s: float
    latencies_s: list[float]
    verdicts: Mapping[str, int]
    refusals: int
    problems: list[str]
    live: list[Asked] = field(default_factory=list)

    @property
    def right_per_s(self) -> float:
        """Right models per second."""
        return self.verdicts[Verdict.RIGHT] / self.seconds


def run_round(
    side: Side,
    tasks: Sequence[Task],
    references: Mapping[str, Surface],
    *,
    clients: int,
    is_burst: bool = False,
    is_polled: bool = False,
) -> Round:
    """Have tasks done by some clients, each of which takes the next one when it has its model.

    Models are judged after the round, so that it costs neither side time.

    Args:
        side: The server.
        tasks: In this order.
        references: By name of the task.
        clients: At one time, one or more.
        is_burst: Whether the jobs are meant to come all at once; `clients` is their number then.
        is_polled: Whether the cheapest answer is asked for meanwhile.
    """
    rest = iter(tasks)
    lock = threading.Lock()
    start = threading.Barrier(clients + 1)

    def work() -> list[Made]:
        made: list[Made] = []
        with open_session() as session:
            start.wait()
            while True:
                with lock:
                    task = next(rest, None)
                if task is None:
                    return made
                made.append(side.make(session, task, is_burst=is_burst))

    poller = LivePoller(side.address, side.live_path)
    with poller if is_polled else nullcontext(), ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(work) for _ in range(clients)]
        cpu_s = side.server.cpu_s()
        start.wait()
        began = time.monotonic()
        made = [one for future in futures for one in future.result()]
        seconds = time.monotonic() - began
        cpu_s = side.server.cpu_s() - cpu_s
    verdicts = Counter(judge(one, references) for one in made)
    return Round(
        seconds=seconds,
        cpu_s=cpu_s,
        latencies_s=[one.seconds for one in made if one.glb],
        verdicts={str(verdict): verdicts[verdict] for verdict in Verdict},
        refusals=sum(one.refusals for one in made),
        problems=[one.problem for one in made if one.problem][:5],
        live=poller.asked,
    )

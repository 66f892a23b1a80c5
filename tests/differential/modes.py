"""The ways in which our side runs a program, each in worker processes."""

import logging
import random
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

from localcloud.functions_host.delays import Delays
from localcloud.functions_host.worker import Worker
from tests.differential.our_side import OurSide
from tests.differential.programs import Program, make_program
from tests.differential.sdk_app import make_worker
from tests.differential.stepping import KillAtEvery, KillAtOne, Kills
from tests.differential.trace import Trace

MODES = ("plain", "doubled", "killed", "killed-once")
"""See `run_program`."""


@dataclass(frozen=True)
class Run:
    """One run of one program.

    Attributes:
        seed: Of the program and of the order of things.
        trace: What it came to; None if it came to nothing.
        error: Why it came to nothing.
        kills: How many hosts died.
    """

    seed: int
    trace: Trace | None
    error: str
    kills: int


def run_program(program: Program, name: str, seed: int, mode: str, worker: Worker) -> Run:
    """Run a program.

    Args:
        program: See `programs`.
        name: Id of its instance.
        seed: Decides on the order in which things happen.
        mode: ``plain``; ``doubled`` with every activity and every result delivered twice;
            ``killed`` at every commit; ``killed-once`` at one commit, and doubled; ``late`` with
            every message and activity delivered late, and doubled.
        worker: Has been started.
    """
    source = random.Random(f"{seed} {mode}")
    kills = Kills()
    if mode == "killed":
        kills = KillAtEvery(source)
    elif mode == "killed-once":
        kills = KillAtOne(source.randint(1, 30), source.choice(["before", "after"]))
    is_doubled = mode in ("doubled", "killed-once", "late")
    lateness = Delays(seed, timedelta(seconds=10)) if mode == "late" else None
    with tempfile.TemporaryDirectory() as folder:
        side = OurSide(
            Path(folder),
            worker,
            source,
            kills=kills,
            is_doubled=is_doubled,
            lateness=lateness,
        )
        try:
            trace = side.run(program, name)
        except AssertionError as error:
            return Run(seed, None, str(error), kills.count)
    return Run(seed, trace, "", kills.count)


def make_pool(processes: int) -> ProcessPoolExecutor:
    """Make a pool in which `run_seed` and `run_given` run."""
    return ProcessPoolExecutor(processes, get_context("spawn"), initializer=begin_process)


_workers: list[Worker] = []


def begin_process() -> Worker:
    """Start the worker of a process: the SDK keeps much that is global."""
    logging.disable(logging.ERROR)
    worker = make_worker()
    worker.start("")
    warnings.filterwarnings("ignore", message="azure.functions df_loads was called")
    _workers.append(worker)
    return worker


def run_seed(seed: int, mode: str) -> Run:
    """Run a seed's program in a process that has begun, see `run_program`."""
    return run_program(make_program(seed), f"p{seed}", seed, mode, _workers[0])


def run_given(program: Program, name: str, seed: int, mode: str) -> Run:
    """Run a given program in a process that has begun, see `run_program`."""
    return run_program(program, name, seed, mode, _workers[0])

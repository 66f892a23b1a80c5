"""Times commands to the pool on the storage emulator, and without any storage.

A command as a whole goes through the app's own `PoolService`: read the state, decide, write it if
it is unchanged. Apart from that, the decision alone: from the stored bytes to the bytes to
store. One more part: ten writers at once, each telling its next command when its last one is in,
first as one instance of the app, which has them take turns, then as ten, which meet as conflicts.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.pool.crowd import Crowd, make_policy
from localcloud.certificate import prepare_certificate
from localcloud.lone_storage import LoneStorage, run_lone_storage
from orchestrator.adapters.blob_pool_store import CONTAINER, BlobPoolStore
from orchestrator.domain.pool import Command, PoolPolicy, PoolState, decide
from orchestrator.services.pool import PoolService

WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        lengths: Of the queue.
        commands: At each length.
        writers: At once, on the longest queue.
        commands_each: By each writer.
    """

    lengths: tuple[int, ...] = (0, 500, 1_000, 2_500, 5_000)
    commands: int = 300
    writers: int = 10
    commands_each: int = 15


QUICK = Plan(lengths=(0, 50), commands=6, writers=3, commands_each=2)
"""Enough to see that all of it works; its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands one after another on a queue of one length.

    Attributes:
        waiting: Jobs in the queue.
        state_bytes: What is read and written.
        ticket_bytes: Of that, for each job in the queue.
        whole_ms: Each command: read, decide, write if unchanged.
        decide_ms: Each decision, with (de)serialisation and without storage.
        decide_cpu_ms: What each took of the processor, whatever else the machine did.
    """

    waiting: int
    state_bytes: int
    ticket_bytes: float
    whole_ms: list[float]
    decide_ms: list[float]
    decide_cpu_ms: list[float]


@dataclass(frozen=True, slots=True)
class Writers:
    """Several writers at once.

    Attributes:
        waiting: Jobs in the queue.
        writers: How many.
        instances: Of the app, over which the writers are spread.
        seconds: Until all commands of all writers were in.
        whole_ms: Each command, conflicts with others and the pauses after them included.
    """

    waiting: int
    writers: int
    instances: int
    seconds: float
    whole_ms: list[float]


def measure_pool(
    folder: Path, plan: Plan, say: Callable[[str], None]
) -> tuple[list[Commands], list[Writers]]:
    """Run the storage emulator and measure on it.

    Args:
        folder: For its log; empty.
        plan: How much is measured.
        say: Told of each length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    certificate = prepare_certificate(folder / "tls", now=datetime.fromtimestamp(time.time(), UTC))
    policy = make_policy()
    measured = []
    with run_lone_storage(folder, certificate) as storage:
        storage.blobs.create_container(CONTAINER)
        for waiting in plan.lengths:
            crowd = Crowd(policy, waiting=waiting, now=time.time())
            measured.append(_measure_commands(storage, policy, crowd, plan.commands))
            say(f"{waiting} waiting: {plan.commands} commands")
        writers = [
            _measure_writers(storage, policy, crowd, plan, instances)
            for instances in (1, plan.writers)
        ]
    return measured, writers


def _measure_commands(
    storage: LoneStorage, policy: PoolPolicy, crowd: Crowd, count: int
) -> Commands:
    whole_ms = asyncio.run(_tell_one_by_one(storage, policy, crowd, count))
    decisions = [
        _time_decision(crowd.state, command, crowd.now, policy)
        for command in itertools.islice(crowd.commands(), WARM_UP + count)
    ][WARM_UP:]
    size = len(orjson.dumps(crowd.state.to_json()))
    without_queue = len(orjson.dumps({**crowd.state.to_json(), "queue": []}))
    waiting = len(crowd.state.queue)
    return Commands(
        waiting=waiting,
        state_bytes=size,
        ticket_bytes=(size - without_queue) / waiting if waiting else 0.0,
        whole_ms=whole_ms,
        decide_ms=[passed_ms for passed_ms, _ in decisions],
        decide_cpu_ms=[cpu_ms for _, cpu_ms in decisions],
    )


async def _tell_one_by_one(
    storage: LoneStorage, policy: PoolPolicy, crowd: Crowd, count: int
) -> list[float]:
    gate = _open_gate(storage, policy, crowd)
    commands = itertools.islice(crowd.commands(), WARM_UP + count)
    return [await _time(gate, command) for command in commands][WARM_UP:]


def _time_decision(
    state: PoolState, command: Command, now: float, policy: PoolPolicy
) -> tuple[float, float]:
    """Give the time that passed and the processor's time, in milliseconds."""
    stored = orjson.dumps(state.to_json())
    began_at, cpu_before = time.perf_counter(), time.thread_time()
    before = PoolState.from_json(orjson.loads(stored))
    decision = decide(before, command, now, policy)
    if decision.state != before:
        orjson.dumps(decision.state.to_json())
    return 1e3 * (time.perf_counter() - began_at), 1e3 * (time.thread_time() - cpu_before)


def _measure_writers(
    storage: LoneStorage, policy: PoolPolicy, crowd: Crowd, plan: Plan, instances: int
) -> Writers:
    gates = [_open_gate(storage, policy, crowd) for _ in range(instances)]
    commands = crowd.commands()
    turns = [list(itertools.islice(commands, plan.commands_each)) for _ in range(plan.writers)]
    began_at = time.perf_counter()
    whole_ms = asyncio.run(_tell_at_once(itertools.cycle(gates), turns))
    seconds = time.perf_counter() - began_at
    return Writers(len(crowd.state.queue), plan.writers, instances, seconds, whole_ms)


async def _tell_at_once(gates: Iterable[PoolService], turns: list[list[Command]]) -> list[float]:
    async def write(gate: PoolService, turn: list[Command]) -> list[float]:
        return [await _time(gate, command) for command in turn]

    # The gates may go round for ever: there are as many writers as turns.
    writers = (write(gate, turn) for gate, turn in zip(gates, turns, strict=False))
    return [ms for taken in await asyncio.gather(*writers) for ms in taken]


def _open_gate(storage: LoneStorage, policy: PoolPolicy, crowd: Crowd) -> PoolService:
    """Store the crowd's state, and give the app's door to it."""
    store = BlobPoolStore(storage.blobs)
    store.write(crowd.state, store.read()[1])
    nobody: Any = _Nobody()
    return PoolService(
        store=store,
        ledger=nobody,
        agents=nobody,
        policy=policy,
        clock=lambda: crowd.now,
        workflow_input={},
    )


async def _time(gate: PoolService, command: Command) -> float:
    nobody: Any = _Nobody()
    began_at = time.perf_counter()
    await gate.apply(command, nobody)
    return 1e3 * (time.perf_counter() - began_at)


class _Nobody:
    """Stands where the effects would go: the commands that are measured have none.

    Any call of it is an error, which `PoolService` logs and leaves for later.
    """

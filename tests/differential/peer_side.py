"""Runs programs on Microsoft's in-memory backend: ``python -m tests.differential.peer_side``.

A process of its own, because the backend keeps a thread for every timer. Seeds come in as a JSON
list on standard input, traces by seed go out as JSON on standard output.
"""

import json
import logging
import os
import sys
import threading
import time
import traceback
from collections import Counter, defaultdict
from dataclasses import asdict, replace
from typing import Any

from durabletask import task
from durabletask.client import OrchestrationState, OrchestrationStatus, TaskHubGrpcClient
from durabletask.entities import EntityContext
from durabletask.testing import create_test_backend
from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

from localcloud.ports import choose_free_ports
from tests.differential.interpreter import begin, interpret
from tests.differential.peer_dialect import NAME, PeerDialect
from tests.differential.programs import make_program
from tests.differential.trace import Trace, describe_failure, list_activities

LIMIT_S = 120
"""Longest run of one program."""

IN_FLIGHT = 16
"""Programs at the same time: few, because the backend forgets children that take 30 s."""


class PeerSide:
    """The backend, one worker and one client."""

    def __init__(self) -> None:
        address = f"localhost:{(port := choose_free_ports(1)[0])}"
        self._lock = threading.Lock()
        self._tries: Counter[str] = Counter()
        self._calls: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self._backend = create_test_backend(port=port)
        self._client = TaskHubGrpcClient(host_address=address)
        self._worker = TaskHubGrpcWorker(
            host_address=address,
            concurrency_options=ConcurrencyOptions(maximum_thread_pool_workers=16),
        )
        for activity in (self.work, self.flaky, self.cue):
            self._worker.add_activity(activity)
        self._worker.add_orchestrator(program)
        self._worker.add_entity(counter)
        self._worker.start()

    def work(self, _: task.ActivityContext, value: dict[str, Any]) -> Any:
        self._note("work", value, value["label"])
        if value.get("fails"):
            raise ValueError(f"fault({value['label']})")
        return value["label"]

    def flaky(self, _: task.ActivityContext, value: dict[str, Any]) -> Any:
        self._note("flaky", value, value["label"])
        with self._lock:
            self._tries[value["label"]] += 1
            number = self._tries[value["label"]]
        if number <= value["failures"]:
            raise ValueError(f"fault({value['label']})")
        return number

    def cue(self, _: task.ActivityContext, value: dict[str, Any]) -> Any:
        self._note("cue", value, value["scope"])
        for name in value["names"]:
            self._client.raise_orchestration_event(value["instance"], name, data=name)
        return len(value["names"])

    def run(self, seeds: list[int]) -> dict[int, Trace]:
        """Run the programs of some seeds, several at a time."""
        traces = {}
        running: list[int] = []
        for seed in seeds:
            scope = to_scope(seed)
            self._client.schedule_new_orchestration(
                NAME, input=begin(make_program(seed), scope), instance_id=scope
            )
            running.append(seed)
            if len(running) == IN_FLIGHT:
                first = running.pop(0)
                traces[first] = self._finish(first)
        traces.update((seed, self._finish(seed)) for seed in running)
        self._await_abandoned()
        return {
            seed: replace(trace, activities=list_activities(self._calls[to_scope(seed)]))
            for seed, trace in traces.items()
        }

    def _finish(self, seed: int) -> Trace:
        # One wait at a time: each holds one of the backend's ten threads.
        state = self._client.wait_for_orchestration_completion(to_scope(seed), timeout=LIMIT_S)
        if state is None:
            raise TimeoutError(f"seed {seed} does not end on the in-memory backend")
        return to_trace(state)

    def _await_abandoned(self) -> None:
        """Wait for activities that outlast whoever ordered them."""
        with self._backend._lock:
            ordered = [
                json.loads(event.taskScheduled.input.value)["label"]
                for instance in self._backend._instances.values()
                for event in instance.history
                if event.HasField("taskScheduled") and event.taskScheduled.name == "work"
            ]
        deadline = time.monotonic() + LIMIT_S
        pause = threading.Event()
        while not set(ordered) <= self._list_labels():
            if time.monotonic() > deadline:
                raise TimeoutError("an activity was ordered and never ran")
            pause.wait(0.01)

    def _list_labels(self) -> set[str]:
        with self._lock:
            calls = [call for calls in self._calls.values() for call in calls]
        return {value["label"] for name, value in calls if name == "work"}

    def _note(self, name: str, value: Any, label: str) -> None:
        with self._lock:
            self._calls[label.partition("-")[0]].append((name, value))


def program(context: task.OrchestrationContext, given: dict[str, Any]) -> Any:
    return (yield from interpret(PeerDialect(context), given))


def counter(context: EntityContext, value: Any) -> Any:
    if context.operation == "spoil":
        raise ValueError(f"fault({value})")
    total = context.get_state(int, 0) + value
    context.set_state(total)
    return total


def to_scope(seed: int) -> str:
    """Name the instance of a seed's program."""
    return f"p{seed}"


def to_trace(state: OrchestrationState) -> Trace:
    """Read a final state; the activities are filled in later."""
    custom_status = json.loads(state.serialized_custom_status or "null")
    if state.runtime_status == OrchestrationStatus.COMPLETED:
        output = json.loads(state.serialized_output or "null")
        return Trace("Completed", output, custom_status, [])
    message = state.failure_details.message if state.failure_details else ""
    return Trace(
        state.runtime_status.name.capitalize(), describe_failure(message), custom_status, []
    )


def main() -> None:
    logging.disable(logging.ERROR)
    status = 1
    try:
        traces = PeerSide().run(json.load(sys.stdin))
        json.dump({seed: asdict(trace) for seed, trace in traces.items()}, sys.stdout)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        # Threads of timers that nobody waits for any more would hold up the interpreter's end.
        os._exit(status)


if __name__ == "__main__":
    main()

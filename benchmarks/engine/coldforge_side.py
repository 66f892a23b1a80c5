"""Our engine in this process: the real SDK's orchestrators on a store in a file."""

import json
import threading
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from benchmarks.engine.workloads import CHAIN, CHAIN_STEPS, FAN_OUT, FAN_OUT_WIDTH
from localcloud.clock import SystemClock
from localcloud.functions_host.activities import ActivityRunner
from localcloud.functions_host.engine import Engine
from localcloud.functions_host.host_settings import HostSettings
from localcloud.functions_host.loader import index_app
from localcloud.functions_host.store import InstanceRow, Store
from localcloud.functions_host.worker import Worker

LIMIT_S = 120.0


def build_app() -> df.DFApp:
    """Build the function app: both workloads and their one activity."""
    app = df.DFApp()

    def add_one(number: int) -> int:
        return number + 1

    def chain(context: df.DurableOrchestrationContext) -> Generator[Any, Any, int]:
        number = 0
        for _ in range(CHAIN_STEPS):
            number = yield context.call_activity("add_one", number)
        return number

    def fan_out(context: df.DurableOrchestrationContext) -> Generator[Any, Any, int]:
        tasks = [context.call_activity("add_one", number) for number in range(FAN_OUT_WIDTH)]
        return sum((yield context.task_all(tasks)))

    app.activity_trigger(input_name="number", activity="add_one")(add_one)
    app.orchestration_trigger(context_name="context", orchestration=CHAIN)(chain)
    app.orchestration_trigger(context_name="context", orchestration=FAN_OUT)(fan_out)
    return app


class ColdforgeSide:
    """The engine, its worker and its activities, put together as the host does."""

    def __init__(self, folder: Path, *, is_power_safe: bool) -> None:
        """Begin to work.

        Args:
            folder: Where the store's file is made.
            is_power_safe: Sync each transaction to the disk.
        """
        settings = HostSettings()
        clock = SystemClock()
        self._store = Store(
            folder / "durable.sqlite", lease=uuid.uuid4().hex, is_power_safe=is_power_safe
        )
        self._worker = Worker(index_app(build_app()), folder, threads=None)
        self._engine = Engine(self._store, self._worker, clock)
        self._worker.start("")
        self._engine.start(
            ActivityRunner(
                self._worker,
                self._engine,
                self._engine.alarm,
                clock,
                limit=settings.max_concurrent_activities,
                timeout=settings.function_timeout,
            )
        )

    def run_instance(self, workload: str) -> Any:
        """Start one instance and wait for its end."""
        ended = threading.Event()
        rows: list[InstanceRow] = []

        def take(row: InstanceRow) -> None:
            rows.append(row)
            ended.set()

        self._engine.watch(self._engine.start_instance(workload, None, "null"), take)
        if not ended.wait(LIMIT_S):
            raise TimeoutError(f"{workload} did not end within {LIMIT_S:g} s")
        if rows[0].status != "Completed":
            raise RuntimeError(f"{workload} ended as {rows[0].status}: {rows[0].output}")
        return json.loads(rows[0].output or "null")

    def close(self) -> None:
        """End the engine and close the file."""
        self._engine.stop()
        self._worker.stop()
        self._store.close()

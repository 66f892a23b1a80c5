"""A function app whose one orchestrator performs programs, written for the real SDK."""

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import azure.durable_functions as df

from localcloud.functions_host.loader import index_app
from localcloud.functions_host.worker import Worker
from tests.differential.interpreter import interpret

NAME = "program"
RETRY_PAUSE_MS = 60_000


class SdkDialect:
    """Orders by way of the SDK."""

    def __init__(self, context: df.DurableOrchestrationContext) -> None:
        self._context = context
        self.instance_id = context.instance_id

    def call(self, name: str, value: Any) -> Any:
        return self._context.call_activity(name, value)

    def retry(self, name: str, value: Any, attempts: int) -> Any:
        options = df.RetryOptions(RETRY_PAUSE_MS, attempts)
        return self._context.call_activity_with_retry(name, options, value)

    def child(self, value: Any, instance_id: str | None) -> Any:
        return self._context.call_sub_orchestrator(NAME, value, instance_id)

    def child_retry(self, value: Any, attempts: int) -> Any:
        options = df.RetryOptions(RETRY_PAUSE_MS, attempts)
        return self._context.call_sub_orchestrator_with_retry(NAME, options, value)

    def timer(self, seconds: int) -> Any:
        return self._context.create_timer(
            self._context.current_utc_datetime + timedelta(seconds=seconds)
        )

    def cancel(self, timer: Any) -> None:
        timer.cancel()

    def event(self, name: str) -> Any:
        return self._context.wait_for_external_event(name)

    def ask(self, key: str, operation: str, value: Any) -> Any:
        return self._context.call_entity(df.EntityId("counter", key), operation, value)

    def signal(self, key: str, operation: str, value: Any) -> None:
        self._context.signal_entity(df.EntityId("counter", key), operation, value)

    def all(self, tasks: list[Any]) -> Any:
        return self._context.task_all(tasks)

    def any(self, tasks: list[Any]) -> Any:
        return self._context.task_any(tasks)

    def set_status(self, text: str) -> None:
        self._context.set_custom_status(text)

    def continue_as_new(self, value: Any) -> None:
        self._context.continue_as_new(value)


def program(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    return (yield from interpret(SdkDialect(context), context.get_input()))


def counter(context: df.DurableEntityContext) -> None:
    value = context.get_input()
    if context.operation_name == "spoil":
        raise ValueError(f"fault({value})")
    total = context.get_state(lambda: 0) + value
    context.set_state(total)
    context.set_result(total)


def make_worker() -> Worker:
    """Make a strict worker for the app; it takes calls once it is started.

    The activities are only named here: `world` plays them.
    """

    def work(value: dict) -> None: ...

    def flaky(value: dict) -> None: ...

    def cue(value: dict) -> None: ...

    app = df.DFApp()
    app.orchestration_trigger(context_name="context", orchestration=NAME)(program)
    app.entity_trigger(context_name="context")(counter)
    for activity in (work, flaky, cue):
        app.activity_trigger(input_name="value")(activity)
    return Worker(index_app(app), Path(), threads=1, is_strict=True)

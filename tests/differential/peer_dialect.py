"""Orders by way of Microsoft's `durabletask`."""

from datetime import timedelta
from typing import Any

from durabletask import task
from durabletask.entities import EntityInstanceId

from tests.differential.interpreter import NEVER_S

NAME = "program"
SHORT = timedelta(milliseconds=1)
"""Every timer that is not meant to lose, a timer of days included: time is real here."""


class PeerDialect:
    """Orders what a program asks for."""

    def __init__(self, context: task.OrchestrationContext) -> None:
        self._context = context
        self.instance_id = context.instance_id

    def call(self, name: str, value: Any) -> Any:
        return self._context.call_activity(name, input=value)

    def retry(self, name: str, value: Any, attempts: int) -> Any:
        return self._context.call_activity(name, input=value, retry_policy=to_policy(attempts))

    def child(self, value: Any, instance_id: str | None) -> Any:
        return self._context.call_sub_orchestrator(NAME, input=value, instance_id=instance_id)

    def child_retry(self, value: Any, attempts: int) -> Any:
        return self._context.call_sub_orchestrator(
            NAME, input=value, retry_policy=to_policy(attempts)
        )

    def timer(self, seconds: int) -> Any:
        return self._context.create_timer(timedelta(hours=1) if seconds == NEVER_S else SHORT)

    def cancel(self, timer: Any) -> None:
        timer.cancel()

    def event(self, name: str) -> Any:
        return self._context.wait_for_external_event(name)

    def ask(self, key: str, operation: str, value: Any) -> Any:
        return self._context.call_entity(EntityInstanceId("counter", key), operation, value)

    def signal(self, key: str, operation: str, value: Any) -> None:
        self._context.signal_entity(EntityInstanceId("counter", key), operation, value)

    def all(self, tasks: list[Any]) -> Any:
        return task.when_all(tasks)

    def any(self, tasks: list[Any]) -> Any:
        return task.when_any(tasks)

    def set_status(self, text: str) -> None:
        self._context.set_custom_status(text)

    def continue_as_new(self, value: Any) -> None:
        self._context.continue_as_new(value)


def to_policy(attempts: int) -> task.RetryPolicy:
    """Write a number of attempts as `durabletask` wants it."""
    return task.RetryPolicy(first_retry_interval=SHORT, max_number_of_attempts=attempts)

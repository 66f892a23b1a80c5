"""Runs the app's functions: plain ones on a thread pool, async ones on one long-lived loop.

The SDK's client keeps a session bound to the first loop it meets, so there is exactly one loop for
all async functions, apart from the loop that serves HTTP: a function that blocks its loop, as it
would block an Azure worker, leaves the management API answering.
"""

import asyncio
import inspect
import logging
import threading
import uuid
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from localcloud.functions_host import bindings
from localcloud.functions_host.errors import HostStoppingError
from localcloud.functions_host.loader import App, AppFunction
from localcloud.functions_host.replay import HTTP_ACTIVITY

logger = logging.getLogger(__name__)

CANCEL_LIMIT_S = 0.5
"""Time that cancelled functions get to clean up."""


class LostResultError(Exception):
    """The SDK was told of a task that it never counted: its ids and the host's have parted."""


class Worker:
    """Calls functions of one app."""

    def __init__(
        self, app: App, app_dir: Path, *, threads: int | None, is_strict: bool = False
    ) -> None:
        """Make the pool and the loop.

        Args:
            app: The functions.
            app_dir: Their folder.
            threads: Threads for plain functions; None for Python's default.
            is_strict: Whether a result that the SDK can't place fails the orchestration.
        """
        self.app = app
        self._app_dir = app_dir
        self._is_strict = is_strict
        self._pool = ThreadPoolExecutor(threads, "function")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="async-functions", daemon=True)
        self._client_text = ""
        self._lost = threading.local()
        self._is_stopped = False

    def start(self, client_text: str) -> None:
        """Begin to take calls.

        Args:
            client_text: What Durable clients are made from.
        """
        self._client_text = client_text
        warnings.filterwarnings("always", message="Potential duplicate Task completion")
        self._show_warning = warnings.showwarning
        warnings.showwarning = self._note_warning
        self._thread.start()

    def stop(self) -> None:
        """Take no more calls: cancel the async ones, leave threads to end with the process."""
        # The pool cancels while it holds its lock, and whoever hears of it may ask for the next
        # call: refuse that before the pool is asked.
        self._is_stopped = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * CANCEL_LIMIT_S)
            warnings.showwarning = self._show_warning

    def has_activity(self, name: str) -> bool:
        """Tell whether an activity has this name."""
        return name.lower() in self.app.activities or name == HTTP_ACTIVITY

    def has_orchestrator(self, name: str) -> bool:
        """Tell whether an orchestrator has this name."""
        return name.lower() in self.app.orchestrators

    def has_entity(self, name: str) -> bool:
        """Tell whether an entity has this name."""
        return name.lower() in self.app.entities

    def call_orchestrator(self, name: str, context: str) -> str:
        """Run an orchestrator over its history, on the caller's thread."""
        function = _find(self.app.orchestrators, name, "orchestrator")
        self._lost.texts = []
        value = bindings.decode("orchestrationTrigger", Datum(context, "json"))
        answer: str = function.call(context=value)
        if self._lost.texts and self._is_strict:
            raise LostResultError(self._lost.texts[0])
        return answer

    def call_entity(self, name: str, context: str) -> str:
        """Run an entity over a batch, on the caller's thread."""
        function = _find(self.app.entities, name, "entity")
        value = bindings.decode("entityTrigger", Datum(context, "json"))
        answer: str = function.call(context=value)
        return answer

    def submit(self, function: AppFunction, values: Mapping[str, Any]) -> "Future[Any]":
        """Call a function with its trigger's value; clients and context are added.

        Args:
            function: Which one.
            values: Decoded values by parameter.

        Returns:
            Its result or exception.

        Raises:
            HostStoppingError: The host is ending.
        """
        arguments = dict(values)
        for name in function.client_names:
            arguments[name] = self._client_text
        if function.takes_context:
            arguments["context"] = bindings.InvocationContext(
                str(uuid.uuid4()), function.name, str(self._app_dir)
            )
        if function.is_async:
            return self.submit_coroutine(lambda: function.call(**arguments))
        self._require_running()
        try:
            return self._pool.submit(self._call_plain, function, arguments)
        except RuntimeError as error:
            raise HostStoppingError("the host is ending") from error

    def submit_coroutine(self, call: Callable[[], Any]) -> "Future[Any]":
        """Run a coroutine beside the async functions.

        Raises:
            HostStoppingError: The host is ending.
        """
        self._require_running()
        return asyncio.run_coroutine_threadsafe(call(), self._loop)

    def _require_running(self) -> None:
        if self._is_stopped:
            raise HostStoppingError("the host is ending")

    def _call_plain(self, function: AppFunction, arguments: Mapping[str, Any]) -> Any:
        result = function.call(**arguments)
        if inspect.isawaitable(result):
            # A plain function that hands on a coroutine, such as a wrapped async one.
            return asyncio.run_coroutine_threadsafe(_await(result), self._loop).result()
        return result

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=CANCEL_LIMIT_S))
        self._loop.close()

    def _note_warning(self, message: Warning | str, *details: Any, **more: Any) -> None:
        text = str(message)
        _, mark, key = text.partition("Potential duplicate Task completion for TaskId: ")
        if not mark:
            self._show_warning(message, *details, **more)
            return
        # A name is an event before its wait; a number is a result that nobody asked for.
        if key.isdigit() and hasattr(self._lost, "texts"):
            self._lost.texts.append(
                f"the SDK was handed the result of task {key}, which it never counted: its ids "
                "and the host's have parted. A with-retry task that was yielded twice does this"
            )


def _find(functions: Mapping[str, AppFunction], name: str, word: str) -> AppFunction:
    function = functions.get(name.lower())
    if function is None:
        raise LookupError(f"no {word} named '{name}' is registered any more, or it is disabled")
    return function


async def _await(result: Any) -> Any:
    return await result

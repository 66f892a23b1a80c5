"""The functions host in virtual time: one incarnation after another over the same data file."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import azure.functions as func
from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
from azure.functions.meta import Datum

from localcloud.functions_host import bindings, status_pages
from localcloud.functions_host.activities import to_failure
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.errors import InstanceOverError
from localcloud.functions_host.loader import App, AppFunction, index_app
from localcloud.functions_host.store import ActivityRow, Store
from localcloud.rehearsal.faults import FaultName, Faults
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import HostClock, LoopAlarm, LoopExecutor, VirtualLoop

ACTIVITY_LIMIT = 64
MOMENT = timedelta(milliseconds=1)
SWEEP_EVERY = timedelta(minutes=5)
QUEUE_S = (0.001, 0.05)
"""How long a message lies in a queue of the task hub."""
LATE_S = (5.0, 120.0)
AGAIN_S = (0.05, 200.0)
POOL_WORKFLOWS = ("wake", "retire", "pool")
"""How the instance ids of the pool's own workflows begin."""
CALLED_FOR: ContextVar[str] = ContextVar("CALLED_FOR", default="")
"""Name of the activity that a call is made for, in small letters."""
BEGAN_AT: ContextVar[float] = ContextVar("BEGAN_AT", default=0.0)
"""Virtual second at which the activity that runs began."""
POWER_READ: ContextVar[list[tuple[str, float]]] = ContextVar("POWER_READ")
"""VMs whose power Azure has told the activity that runs, each with the virtual second."""
EPOCH = re.compile(r"-\d{9,}")


class HostKilledError(BaseException):
    """The host ends at this very instruction. No handler of the app may catch it."""


class HostGoneError(Exception):
    """A request met a host that is not there, or that ended under it."""


@dataclass(slots=True)
class _Kill:
    """A kill that waits for its commit: `commits_left` more, then before or after it."""

    commits_left: int
    moment: str


class Host:
    """The host, dead or alive.

    Args:
        make_app: Builds the app anew, as every process does.
        path: The data file.
    """

    def __init__(
        self,
        make_app: Callable[[], Any],
        path: Path,
        *,
        loop: VirtualLoop,
        clock: HostClock,
        faults: Faults,
        timeline: Timeline,
        chance: Random,
    ) -> None:
        self._make_app = make_app
        self._path = path
        self._loop = loop
        self._clock = clock
        self._faults = faults
        self._timeline = timeline
        self._chance = chance
        self._kill: _Kill | None = None
        self._lives = 0
        self._ended = 0
        self.life: Life | None = None

    def start(self) -> None:
        """Begin an incarnation."""
        self._lives += 1
        number = self._lives
        store = Store(
            self._path, lease=f"life-{number}", probe=lambda moment: self._probe(number, moment)
        )
        self.life = Life(
            index_app(self._make_app()),
            store,
            loop=self._loop,
            clock=self._clock,
            faults=self._faults,
            chance=self._chance,
            delivers_twice=self._faults.left_s(FaultName.DUPLICATE) > 0,
        )
        self._timeline.note("host", f"begins its life {self._lives}")
        self.life.start()

    def kill_at_commit(self, commits: int, moment: str) -> None:
        """Have the host end at a commit: so many from now, ``before`` or ``after`` it."""
        self._kill = _Kill(commits, moment)

    def kill(self) -> bool:
        """End now, between two commits; False if the host is not there."""
        if self.life is None:
            return False
        self._end_life(self.life)
        return True

    def lose_store(self) -> bool:
        """End now, and delete all that Durable stored; False if the host is not there."""
        if not self.kill():
            return False
        self._loop.call_soon(self._delete_store)
        return True

    def status_of(self, instance_id: str) -> str | None:
        """Give an instance's status, "" if there is none; None while the host is not there."""
        if self.life is None:
            return None
        row = self.life.store.read_instance(instance_id)
        return "" if row is None else row.status

    def stop(self) -> None:
        """End for good."""
        if self.life is not None:
            life, self.life = self.life, None
            life.end()
            life.close()

    async def request(
        self,
        name: str,
        method: str,
        path: str,
        *,
        params: dict[str, str],
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> func.HttpResponse:
        """Send a request to the app.

        Raises:
            HostGoneError: There was no answer.
        """
        life = self.life
        if life is None:
            raise HostGoneError("connection refused")
        request = func.HttpRequest(
            method=method,
            url=f"https://rehearsal.invalid/api/{path}",
            headers={"content-type": "application/json", **(headers or {})},
            params={},
            route_params=params,
            body=body,
        )
        try:
            return await life.call(name, {"req": request})
        except asyncio.CancelledError:
            if life.is_over:
                raise HostGoneError("connection reset") from None
            raise

    def _probe(self, number: int, moment: str) -> None:
        if number <= self._ended:
            raise HostKilledError
        kill = self._kill
        if kill is None or self.life is None or moment != kill.moment:
            return
        kill.commits_left -= 1
        if kill.commits_left > 0:
            return
        self._kill = None
        self._faults.strike(FaultName.HOST_CRASH, None, f"{moment} a commit")
        self._end_life(self.life)
        raise HostKilledError

    def _end_life(self, life: "Life") -> None:
        self._ended = self._lives
        self.life = None
        life.end()
        # A commit may still be under way below this call.
        self._loop.call_soon(life.close)

    def _delete_store(self) -> None:
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()


class Life:
    """One incarnation of the host."""

    def __init__(
        self,
        app: App,
        store: Store,
        *,
        loop: VirtualLoop,
        clock: HostClock,
        faults: Faults,
        chance: Random,
        delivers_twice: bool,
    ) -> None:
        self.is_over = False
        self.store = store
        self._app = app
        self._loop = loop
        self._clock = clock
        self._faults = faults
        self._chance = chance
        # A dict, for the order in which they are cut off must repeat.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._alarm = LoopAlarm(loop, clock, self.guard)
        self.engine = Engine(
            store,
            _Functions(app),
            clock,
            EngineOptions(delivers_twice=delivers_twice),
            executor=LoopExecutor(loop, self.guard),
            alarm=self._alarm,
        )
        self._waiting: deque[tuple[ActivityRow, bool]] = deque()
        self._running = 0

    def start(self) -> None:
        """Take up what the store holds."""
        self.guard(lambda: self.engine.start(self))
        self._plan_sweep()

    def end(self) -> None:
        """Stop at once: nothing of this life goes on."""
        self.is_over = True
        self.engine.stop()
        for task in list(self._tasks):
            task.cancel()
        self._tasks.clear()
        self._waiting.clear()

    def close(self) -> None:
        """Let go of the data file."""
        self.store.close()

    def guard(self, call: Callable[[], None]) -> None:
        """Make a call that the end of the host may cut off."""
        if self.is_over:
            return
        try:
            call()
        except HostKilledError:
            return

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Make a call in a while, if this life lasts."""
        self._loop.call_later(delay_s, self.guard, call)

    async def call(self, name: str, values: dict[str, Any]) -> Any:
        """Call a function of the app."""
        function = self._app.functions[name]
        return await self._task(lambda: self._invoke(function, values))

    def dispatch(self, rows: Iterable[ActivityRow]) -> None:
        """Run activities: once, or twice, and not always at once."""
        for row in rows:
            delay_s = self._chance.uniform(*QUEUE_S)
            if self._faults.hits(FaultName.LATE):
                late_s = self._chance.uniform(*LATE_S)
                self.excuse(row.instance_id, late_s)
                delay_s += late_s
            self._loop.call_later(delay_s, self._take, row, True)
            if self._faults.hits(FaultName.DUPLICATE):
                again_s = delay_s + self._chance.uniform(*AGAIN_S)
                self._loop.call_later(again_s, self._take, row, False)

    def excuse(self, instance_id: str, late_s: float) -> None:
        """Note what a late message puts off; a job's workflow holds up no VM but by its slot."""
        workflow, _, rest = instance_id.partition("-")
        if workflow in POOL_WORKFLOWS:
            vm = None if workflow == "pool" else vm_of(rest)
            self._faults.excuse(FaultName.LATE, vm, late_s)

    def _take(self, row: ActivityRow, answers: bool) -> None:
        if not self.is_over:
            self._waiting.append((row, answers))
            self._run_waiting()

    def _run_waiting(self) -> None:
        while self._waiting and self._running < ACTIVITY_LIMIT:
            row, answers = self._waiting.popleft()
            self._running += 1
            self._task(partial(self._run, row, answers=answers))

    async def _run(self, row: ActivityRow, *, answers: bool) -> None:
        # Each runs in a task of its own, and so in a context of its own.
        CALLED_FOR.set(row.name.lower())
        BEGAN_AT.set(self._loop.time())
        POWER_READ.set([])
        try:
            function = self._app.activities[row.name.lower()]
            order = bindings.decode("activityTrigger", Datum(row.input or "", "string"))
            try:
                value = await self._invoke(function, {function.trigger["name"]: order})
                text = bindings.encode_result("activityTrigger", value).value
                result: dict[str, Any] = {"Result": text}
            except Exception as error:  # noqa: BLE001 - any error is the activity's failure
                result = to_failure(row.name, error)
            if answers:
                self.engine.finish_activity(row, result)
        finally:
            self._running -= 1
            if not self.is_over:
                self._run_waiting()

    async def _invoke(self, function: AppFunction, values: dict[str, Any]) -> Any:
        arguments = dict(values)
        call = function.call
        if function.client_names:
            # The decorator makes a client that speaks HTTP; below it is the function itself.
            while hasattr(call, "client_function"):
                call = call.client_function
            for name in function.client_names:
                arguments[name] = EngineClient(self, self._faults, self._chance)
        return await call(**arguments)

    def _task(self, begin: Callable[[], Awaitable[Any]]) -> "asyncio.Task[Any]":
        task = self._loop.create_task(self._ends_with_host(begin))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))
        return task

    async def _ends_with_host(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await begin()
        except HostKilledError:
            raise asyncio.CancelledError from None

    def _plan_sweep(self) -> None:
        # The alarm may ring a moment early: that must not plan the same sweep again.
        now = self._clock.now() + MOMENT
        since = (now - datetime.fromtimestamp(0, now.tzinfo)) % SWEEP_EVERY
        self._alarm.at(now - since + SWEEP_EVERY, self._sweep)

    def _sweep(self) -> None:
        self._task(self._run_sweep)
        self._plan_sweep()

    async def _run_sweep(self) -> None:
        try:
            await self._invoke(self._app.functions["sweep"], {"timer": None})
        except Exception:  # noqa: BLE001 - a timer's failure is logged by the host, no more
            return


def vm_of(rest: str) -> str:
    """Give the VM that the end of an instance id names: ``gpu-1-1772442000``, with a drain or not.

    An epoch has ten digits, a VM's name none such.
    """
    return EPOCH.split(rest)[0]


class _Functions:
    """The app's orchestrators, called as the worker does."""

    def __init__(self, app: App) -> None:
        self._app = app

    def has_activity(self, name: str) -> bool:
        return name.lower() in self._app.activities

    def has_orchestrator(self, name: str) -> bool:
        return name.lower() in self._app.orchestrators

    def has_entity(self, name: str) -> bool:
        return name.lower() in self._app.entities

    def call_orchestrator(self, name: str, context: str) -> str:
        value = bindings.decode("orchestrationTrigger", Datum(context, "json"))
        answer: str = self._app.orchestrators[name.lower()].call(context=value)
        return answer

    def call_entity(self, name: str, context: str) -> str:
        value = bindings.decode("entityTrigger", Datum(context, "json"))
        answer: str = self._app.entities[name.lower()].call(context=value)
        return answer


class EngineClient:
    """`Durable`: the SDK's client without HTTP, with its errors and its answers."""

    def __init__(self, life: Life, faults: Faults, chance: Random) -> None:
        self._life = life
        self._faults = faults
        self._chance = chance

    async def start_new(
        self, orchestration_function_name: str, instance_id: str | None, client_input: Any
    ) -> str:
        """Start an instance."""
        await self._pass()
        return self._life.engine.start_instance(
            str(orchestration_function_name), instance_id, json.dumps(client_input)
        )

    async def raise_event(self, instance_id: str, event_name: str, event_data: Any) -> None:
        """Send an event: once, or twice, and not always at once."""
        await self._pass()
        text = json.dumps(event_data)
        if self._faults.hits(FaultName.DUPLICATE):
            self._life.later(
                self._chance.uniform(*AGAIN_S), lambda: self._send(instance_id, event_name, text)
            )
        if self._faults.hits(FaultName.LATE):
            late_s = self._chance.uniform(*LATE_S)
            self._life.excuse(instance_id, late_s)
            self._life.later(late_s, lambda: self._send(instance_id, event_name, text))
            return
        self._life.engine.raise_event(instance_id, event_name, text)

    async def get_status(self, instance_id: str, **_shown: bool) -> Any:
        """Read an instance's status, never with its history; None if there is none."""
        await self._pass()
        row = self._life.store.read_instance(instance_id)
        if row is None:
            return None
        return DurableOrchestrationStatus.from_json(status_pages.to_status(row, shows_input=False))

    async def terminate(self, instance_id: str, reason: str) -> None:
        """End an instance; one that is over stays so."""
        await self._pass()
        try:
            self._life.engine.terminate(instance_id, reason)
        except InstanceOverError:
            return

    def _send(self, instance_id: str, event_name: str, text: str) -> None:
        try:
            self._life.engine.raise_event(instance_id, event_name, text)
        except Exception:  # noqa: BLE001 - a message to nobody is dropped
            return

    async def _pass(self) -> None:
        await asyncio.sleep(self._chance.uniform(*QUEUE_S))

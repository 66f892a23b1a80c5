"""Runs programs on our engine with the real SDK, step by step, and kills it on the way."""

import json
import random
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from azure.functions.meta import Datum

from localcloud.functions_host import bindings
from localcloud.functions_host.activities import to_failure
from localcloud.functions_host.delays import Delays
from localcloud.functions_host.engine import Engine, EngineOptions
from localcloud.functions_host.store import ActivityRow, InstanceRow, Store
from localcloud.functions_host.worker import Worker
from tests.differential.interpreter import begin
from tests.differential.programs import Program
from tests.differential.sdk_app import NAME
from tests.differential.stepping import (
    KilledError,
    Kills,
    Schedule,
    SteppedAlarm,
    SteppedExecutor,
)
from tests.differential.trace import Trace, describe_failure, list_activities
from tests.differential.world import World

MAX_STEPS = 100_000


class OurSide:
    """One host after another on one file, until nothing is left to do."""

    def __init__(
        self,
        folder: Path,
        worker: Worker,
        source: random.Random,
        *,
        kills: Kills | None = None,
        is_doubled: bool = False,
        lateness: Delays | None = None,
    ) -> None:
        """Make the file.

        Args:
            folder: Where it lies.
            worker: Has been started.
            source: Decides on the order of everything.
            kills: When the host is killed; each time another one takes the file over.
            is_doubled: Deliver every activity twice, at different times, and post every result
                twice.
            lateness: How late messages and activities are delivered.
        """
        self.world = World()
        self._path = folder / "durable.sqlite"
        self._worker = worker
        self._kills = kills or Kills()
        self._options = EngineOptions(is_strict=True, delivers_twice=is_doubled, lateness=lateness)
        self._schedule = Schedule(source, self.world.clock)
        self._hosts = 0
        self._is_booting = True
        self._store: Store
        self._engine: Engine

    def run(self, program: Program, instance_id: str) -> Trace:
        """Run a program to its end, with everything that it leaves behind.

        Raises:
            AssertionError: Something stays undone for ever.
        """
        text = json.dumps(json.dumps(begin(program, instance_id)))
        self._boot()
        self._ask_until_answered(lambda: self._start(instance_id, text))
        for _ in range(MAX_STEPS):
            if not self._step():
                break
        self._kills = Kills()
        trace = self._read(instance_id)
        self._store.close()
        return trace

    def dispatch(self, rows: Iterable[ActivityRow]) -> None:
        """Deliver activities, as the engine hands them out."""
        for row in rows:
            for _ in range(2 if self._options.delivers_twice else 1):
                self._schedule.add(partial(self._deliver, row))

    def _deliver(self, row: ActivityRow) -> None:
        engine = self._engine
        value = bindings.decode("activityTrigger", Datum(row.input or "", "string"))
        result: dict[str, Any]
        try:
            given = self.world.play(row, value, engine)
            result = {"Result": bindings.encode_result("activityTrigger", given).value}
        except ValueError as error:
            result = to_failure(row.name, error)
        self._schedule.add(partial(engine.finish_activity, row, result))

    def _start(self, instance_id: str, text: str) -> None:
        # A caller whose request was cut off asks again, with the same id.
        if self._store.read_instance(instance_id) is None:
            self._engine.start_instance(NAME, instance_id, text)

    def _step(self) -> bool:
        try:
            return self._schedule.step()
        except KilledError:
            self._boot()
            return True

    def _ask_until_answered(self, call: Callable[[], None]) -> None:
        while True:
            try:
                call()
            except KilledError:
                self._boot()
            else:
                return

    def _boot(self) -> None:
        while True:
            try:
                self._start_host()
            except KilledError:
                continue
            return

    def _start_host(self) -> None:
        """Start a host on the file; whatever the last one had in memory is gone."""
        self._schedule.clear()
        self._hosts += 1
        self._is_booting = True
        store = Store(self._path, lease=f"host-{self._hosts}", probe=self._meet_commit)
        if self._hosts > 1:
            self._store.close()
        self._store = store
        self._engine = Engine(
            store,
            self._worker,
            self.world.clock,
            self._options,
            executor=SteppedExecutor(self._schedule),
            alarm=SteppedAlarm(self.world.clock, self._schedule),
        )
        self._engine.start(self)
        self._is_booting = False

    def _meet_commit(self, moment: str) -> None:
        if not self._is_booting:
            self._kills.meet(moment)
        elif self._hosts > 1:
            self._kills.meet_boot(moment)

    def _read(self, instance_id: str) -> Trace:
        rows = self._store.list_instances(limit=1000)
        orchestrations = [row for row in rows if not row.instance_id.startswith("@")]
        for row in orchestrations:
            assert row.is_over, self._describe(row)
        assert self._store.read_inbox() == [], "messages are left"
        assert self._store.take_over_activities() == [], "activities are left"
        (row,) = [row for row in orchestrations if row.instance_id == instance_id]
        text = row.output or "null"
        return Trace(
            status=row.status,
            output=json.loads(text) if row.status == "Completed" else describe_failure(text),
            custom_status=json.loads(row.custom_status or "null"),
            activities=list_activities(self.world.calls.values()),
        )

    def _describe(self, row: InstanceRow) -> str:
        events = "\n".join(self._store.read_history(row.instance_id)[-12:])
        return f"{row.instance_id} is {row.status} and nothing will ever happen again:\n{events}"

"""One rehearsal: a seed, its jobs and its faults, from the first arrival to the last VM off."""

import asyncio
import contextlib
import functools
import logging
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from azure.durable_functions.models.history import HistoryEvent
from azure.durable_functions.models.TaskOrchestrationExecutor import TaskOrchestrationExecutor

from localcloud.arm.vm import PowerState
from localcloud.rehearsal.agent import SimulatedAgent
from localcloud.rehearsal.chaos import DOWN_S, Chaos
from localcloud.rehearsal.customers import Customers, draw_arrivals, plan_visits
from localcloud.rehearsal.faults import FaultName, Faults
from localcloud.rehearsal.host import Host, HostGoneError
from localcloud.rehearsal.judge import Breach, Judge
from localcloud.rehearsal.network import (
    AgentTrouble,
    SimulatedNetwork,
    SimulatedPower,
    StorageTrouble,
)
from localcloud.rehearsal.region import Region
from localcloud.rehearsal.storage import MakeStores, in_memory
from localcloud.rehearsal.timeline import Timeline
from localcloud.rehearsal.virtual_time import HostClock, StalledError, VirtualLoop
from orchestrator.bootstrap import Dependencies, join
from orchestrator.domain.image_source import ImageSource, NormalisedImage, Posted
from orchestrator.domain.pool import Candidate, PoolPolicy, VmPhase
from orchestrator.intake.body import PARSERS
from orchestrator.intake.images import normalise_image
from orchestrator.lanes import STORAGE
from orchestrator.settings import Settings

VMS = 3
FAULTS_GO_ON_S = 600.0
"""Time after the last arrival in which things still go wrong."""
JOBS_LIMIT_S = 6 * 3600.0
"""Time after that in which every job must have ended."""
OFF_LIMIT_S = 2 * 3600.0
"""Time after that in which every VM must be off."""
RESET_EVERY_S = 600.0
LOOK_S = 5.0
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - a fresh folder of a drawn name is made in it
"""Where Linux keeps files in memory: no disk to wait for. Elsewhere the usual place serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is rehearsed.

    Attributes:
        arrivals: Virtual seconds of the posts; None draws them.
        max_uptime_s: Hard cap of the VMs, in seconds from boot.
    """

    seed: int
    jobs: int = 100
    faults: frozenset[FaultName] = frozenset(FaultName)
    arrivals: tuple[float, ...] | None = None
    max_uptime_s: float = 43200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a rehearsal went.

    Attributes:
        digest: Of the whole timeline: equal for equal plans.
        states: How many jobs ended how.
        timeline: Its lines, the oldest left out when there are very many.
    """

    seed: int
    jobs: int
    breaches: list[Breach]
    fired: dict[str, int]
    states: dict[str, int]
    figures: dict[str, float]
    digest: str
    timeline: list[str] = field(default_factory=list)


class Rehearsal:
    """The world of one seed."""

    def __init__(self, plan: Plan, folder: Path, make_stores: MakeStores = in_memory) -> None:
        self._plan = plan
        self._unlisted: set[str] = set()
        self.loop = VirtualLoop(self._draw("threads"))
        self.clock = HostClock(self.loop)
        self.timeline = Timeline(self.loop.time)
        self.faults = Faults(self.loop, self.timeline, self._draw)
        self.settings = make_settings()
        trouble = StorageTrouble(self.faults, self._draw("storage"))
        self.stores = make_stores(
            trouble,
            lambda state: self.judge.see_pool(state),
            lambda before, row: self.judge.see_row(before, row),
        )
        self.region = self._make_region()
        self.judge = Judge(
            self.settings.pool,
            files=self.stores.files,
            timeline=self.timeline,
            region=self.region,
            faults=self.faults,
            clock=self.clock,
            unlisted=self._unlisted,
        )
        self.host = Host(
            self._make_app,
            folder / "durable.sqlite3",
            loop=self.loop,
            clock=self.clock,
            faults=self.faults,
            timeline=self.timeline,
            chance=self._draw("host"),
        )
        self.customers = Customers(
            self.host,
            faults=self.faults,
            chance=self._draw("customers"),
            on_cancel=self.judge.ended_from_outside.add,
        )
        self._chaos = Chaos(
            plan.faults,
            loop=self.loop,
            clock=self.clock,
            host=self.host,
            region=self.region,
            faults=self.faults,
            judge=self.judge,
            timeline=self.timeline,
            policy=self.settings.pool,
            unlisted=self._unlisted,
            draw=self._draw,
        )

    def _draw(self, what: str) -> Random:
        """Give each part chance of its own, so that one more draw in one moves no other."""
        return Random(f"{self._plan.seed}/{what}")  # noqa: S311 - must repeat, not surprise

    def _make_region(self) -> Region:
        files = self.stores.files.seen_through(AgentTrouble(self.faults))
        chance = self._draw("agents")

        def boot(name: str) -> SimulatedAgent:
            return SimulatedAgent(
                name,
                slots=self.settings.pool.slots_per_vm,
                max_uptime_s=self._plan.max_uptime_s,
                loop=self.loop,
                chance=chance,
                files=files,
                timeline=self.timeline,
            )

        return Region(
            [candidate.name for candidate in self.settings.pool.candidates],
            loop=self.loop,
            chance=self._draw("region"),
            faults=self.faults,
            timeline=self.timeline,
            boot=boot,
            on_deallocate=lambda name: self.judge.see_deallocation(name),
            on_cap=lambda name: self.judge.see_cap(name),
        )

    def _make_app(self) -> Any:
        chance = self._draw("network")
        pool = self.settings.pool
        listed = tuple(one for one in pool.candidates if one.name not in self._unlisted)
        return join(
            replace(self.settings, pool=replace(pool, candidates=listed)),
            Dependencies(
                pool_store=self.stores.pool,
                jobs=self.stores.jobs,
                keys=self.stores.keys,
                ledger=self.stores.ledger,
                files=self.stores.files,
                power=SimulatedPower(self.region, self.faults, chance, self.loop),
                agents=SimulatedNetwork(self.region, self.faults, chance, self.loop),
                intake=_DecentIntake(),
                clock=self.clock.time,
            ),
        )

    async def play(self) -> None:
        """Let everything happen, and check what is left."""
        chance = self._draw("arrivals")
        arrivals = self._plan.arrivals or draw_arrivals(self._plan.jobs, chance)
        self.host.start()
        attendants = [
            self.loop.create_task(self._keep_host_up()),
            self.loop.create_task(self._reset_broken_vms()),
        ]
        visits = [
            self.loop.create_task(self.customers.visit(visit))
            for visit in plan_visits(arrivals, self._draw("batches"))
        ]
        self._chaos.begin()
        await self._until(lambda: False, arrivals[-1] + FAULTS_GO_ON_S)
        self._chaos.end()
        await self._until(lambda: all(visit.done() for visit in visits), JOBS_LIMIT_S)
        await self._until(self._is_all_off, OFF_LIMIT_S)
        for task in (*attendants, *visits):
            task.cancel()
        repairs = self._chaos.stop()
        await asyncio.gather(*attendants, *visits, *repairs, return_exceptions=True)
        if not self.judge.breaches:
            if len(self.customers.job_ids) < len(arrivals):
                self.judge.break_rule("no job lost", "a post was never accepted")
            self.judge.see_end(self.customers.job_ids)
            self.judge.see_money(self.stores.ledger)
        self.host.stop()
        for agent in self.region.agents.values():
            agent.end(is_power_lost=True)
        # What was cut off takes one round to end.
        await asyncio.sleep(0)

    async def _until(self, claim: Any, limit_s: float) -> None:
        """Wait for a claim, at most for so long, and no longer than every rule holds."""
        end = self.loop.time() + limit_s
        while self.loop.time() < end and not self.judge.breaches and not claim():
            await asyncio.sleep(LOOK_S)
            self.judge.look(self.host.status_of)

    def _is_all_off(self) -> bool:
        pool = self.judge.pool
        is_held = pool.queue or any(vm.slots for vm in pool.vms.values())
        powers = {self.region.power(name) for name in self.region.names}
        return powers == {PowerState.DEALLOCATED} and not is_held

    async def _keep_host_up(self) -> None:
        """Start the host again some time after each of its ends."""
        chance = self._draw("keeper")
        while True:
            await asyncio.sleep(1.0)
            if self.host.life is None:
                await asyncio.sleep(chance.uniform(*DOWN_S))
                self.host.start()

    async def _reset_broken_vms(self) -> None:
        """Do what the operator is asked to do when a VM's circuit is open."""
        while True:
            await asyncio.sleep(RESET_EVERY_S)
            broken = [vm.name for vm in self.judge.pool.vms.values() if vm.phase is VmPhase.BROKEN]
            for name in broken:
                with contextlib.suppress(HostGoneError):
                    await self.host.request(
                        "reset_vm", "POST", f"pool/vms/{name}/reset", params={"name": name}
                    )


class _DecentIntake:
    """`Intake` without processes: all customers are decent, and time is virtual."""

    is_failing = False

    async def probe(self) -> None:
        """Do nothing: it never fails."""

    @contextlib.contextmanager
    def admit(self, posted: Posted) -> Iterator["_DecentIntake"]:
        """Refuse nothing: the pictures are small and few."""
        yield self

    @contextlib.contextmanager
    def admit_image(self, size_bytes: int) -> Iterator["_DecentIntake"]:
        """Refuse nothing."""
        yield self

    async def body(self, posted: Posted) -> tuple[list[ImageSource], dict[str, Any]]:
        """Read the body of a POST."""
        return PARSERS[posted.what](posted.content_type, posted.body)

    async def image(self, source: ImageSource) -> NormalisedImage:
        """Check and normalise an image; it takes a thread's time, as a process's.

        Raises:
            NotImplementedError: It is a URL. Customers send their images along.
        """
        if source.data is None:
            raise NotImplementedError(source.url)
        return await STORAGE.run(normalise_image, source.data)


def tell_money(judge: Judge) -> dict[str, float]:
    """Give the figures of ledger and idle time, in seconds."""
    made = [d.began_s + d.ended_s for d in judge.differences if not d.is_estimated]
    found = [max(d.began_s, d.ended_s) for d in judge.differences if d.is_estimated]
    allowed = [max(d.may_begin_s, d.may_end_s) for d in judge.differences if d.is_estimated]
    plain = [one.seconds for one in judge.idle if one.is_plain]
    return {
        "billed_intervals": len(judge.differences),
        "estimated_intervals": len(found),
        "ledger_error_s": round(max(made, default=0.0), 3),
        "ledger_error_estimated_s": round(max(found, default=0.0), 3),
        "ledger_error_allowed_s": round(max(allowed, default=0.0), 1),
        "idle_times": len(judge.idle),
        "idle_times_without_excuse": len(plain),
        "longest_idle_without_excuse_s": round(max(plain, default=0.0), 1),
        "longest_idle_s": round(max((one.seconds for one in judge.idle), default=0.0), 1),
        "longest_idle_allowed_s": round(max((i.allowed_s for i in judge.idle), default=0.0), 1),
    }


@contextlib.contextmanager
def remembered_moments() -> Iterator[None]:
    """Have the SDK parse each moment of a history once, and quickly, not at every replay.

    Its own parser, which knows every form of a date, would take three quarters of a rehearsal. It
    also makes a class for each replay, which is made once here. The results are values, so nothing
    changes.
    """
    history: Any = sys.modules[HistoryEvent.__module__]
    executor: Any = sys.modules[TaskOrchestrationExecutor.__module__]
    parse, make_class = history.dt_parse, executor.namedtuple
    history.dt_parse = functools.lru_cache(maxsize=1 << 16)(datetime.fromisoformat)
    executor.namedtuple = functools.lru_cache(make_class)
    try:
        yield
    finally:
        history.dt_parse, executor.namedtuple = parse, make_class


def make_settings() -> Settings:
    """Give the settings of the app: three VMs, defaults for the rest."""
    candidates = tuple(
        Candidate(
            name=f"gpu-{number}",
            resource_group="rehearsal",
            size="Standard_NC24ads_A100_v4",
            region="eastus",
            zone=None,
            price_per_hour_usd=3.67,
            agent_url=f"http://gpu-{number}.invalid:8470",
        )
        for number in range(1, VMS + 1)
    )
    return Settings(
        subscription_id="rehearsal",
        blob_url="https://storage.invalid",
        table_url="https://storage.invalid",
        agent_token="rehearsal",  # noqa: S106 - nobody is there to be fooled
        pool=PoolPolicy(candidates=candidates),
    )


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Leave out what thousands of planted faults log; the process's own level comes back."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        root.setLevel(level)


def rehearse(plan: Plan, make_stores: MakeStores = in_memory) -> Outcome:
    """Rehearse one seed. Equal plans have equal outcomes, but for the seconds that they took."""
    began_at = time.perf_counter()
    # The pool's pause after a conflict is drawn from the module's own chance.
    random.seed(plan.seed)
    in_memory = MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="rehearsal-", dir=in_memory) as folder:
        rehearsal = Rehearsal(plan, Path(folder), make_stores)
        with (
            contextlib.closing(rehearsal.loop) as loop,
            _quiet_logs(),
            remembered_moments(),
            warnings.catch_warnings(),
        ):
            # The SDK warns of an event before its wait and of a result that comes twice, and in
            # its first orchestrator of its own future. Where warnings are errors, that fails jobs.
            warnings.simplefilter("ignore")
            try:
                loop.run_until_complete(rehearsal.play())
            except StalledError as error:
                rehearsal.judge.break_rule("time passes", str(error))
                rehearsal.host.stop()
            virtual_s = loop.time()
    states = [row.state.value for row in rehearsal.judge.rows.values()]
    return Outcome(
        seed=plan.seed,
        jobs=plan.jobs,
        breaches=rehearsal.judge.breaches,
        fired={name.value: rehearsal.faults.fired[name] for name in sorted(plan.faults)},
        states={state: states.count(state) for state in sorted(set(states))},
        figures={
            "virtual_s": round(virtual_s, 1),
            "took_s": round(time.perf_counter() - began_at, 2),
            "events": rehearsal.timeline.count,
            **tell_money(rehearsal.judge),
        },
        digest=f"{rehearsal.timeline.digest:016x}",
        timeline=rehearsal.timeline.lines(),
    )

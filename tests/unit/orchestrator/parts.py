"""The control plane's parts joined over fakes, with one clock that tests move."""

import asyncio
from dataclasses import replace
from typing import Any

from orchestrator.activities.jobs import JobActivities
from orchestrator.domain.job import JobRow
from orchestrator.domain.pool import Candidate, Command, PoolPolicy, PoolState, Vm
from orchestrator.services.pool import PoolService
from orchestrator.services.reconciliation import ReconciliationService
from orchestrator.services.settlement import SettlementService
from orchestrator.services.vms import VmService
from tests.fakes.agent_client import FakeAgent, FakeAgentClient
from tests.fakes.durable import FakeDurable
from tests.fakes.file_store import FakeFileStore
from tests.fakes.job_table import FakeJobTable
from tests.fakes.ledger_table import FakeLedgerTable
from tests.fakes.pool_store import FakePoolStore
from tests.fakes.vm_power import FakeVmPower

BEGIN = 1_700_000_000.0
JOB = "01hf000000000000000000000a"
OTHER_JOB = "01hf000000000000000000000b"
MANIFEST = {
    "job_id": JOB,
    "engine": {"name": "fake", "version": "1", "description": "Makes nothing."},
    "mesh": {"faces": 12},
    "stage_seconds": {"shape": 2.0},
    "artifacts": [
        {
            "name": "model.glb",
            "path": f"jobs/{JOB}/1/model.glb",
            "content_type": "model/gltf-binary",
            "size_bytes": 3,
            "sha256": "00",
        }
    ],
}


def make_candidate(name: str) -> Candidate:
    return Candidate(
        name=name,
        resource_group="rg",
        size="Standard_NC24ads_A100_v4",
        region="eastus",
        zone="1",
        price_per_hour_usd=3.6,
        agent_url=f"http://{name}:8470",
    )


class ForgetfulStarter:
    """Records what it is asked to start, as `SubmissionService` and `BatchService` would."""

    def __init__(self) -> None:
        self.started: list[str] = []

    async def start(self, what: JobRow | str, client: Any) -> None:
        self.started.append(what if isinstance(what, str) else what.job_id)


class Parts:
    """Everything between the routes and the outside."""

    def __init__(self, *vms: str, slots_per_vm: int = 2) -> None:
        self.now = BEGIN
        self.store = FakePoolStore()
        self.power = FakeVmPower()
        self.agents = FakeAgentClient()
        self.jobs = FakeJobTable()
        self.files = FakeFileStore()
        self.ledger = FakeLedgerTable()
        self.durable = FakeDurable()
        self.submission = ForgetfulStarter()
        self.batches = ForgetfulStarter()
        self.policy = PoolPolicy(
            candidates=tuple(make_candidate(vm) for vm in vms or ("gpu-1",)),
            slots_per_vm=slots_per_vm,
        )
        common = {"agents": self.agents, "policy": self.policy, "clock": lambda: self.now}
        numbers = {"wake_poll_s": 10.0, "ready_poll_s": 2.0, "unreachable_s": 60.0}
        self.gate = PoolService(
            store=self.store, ledger=self.ledger, workflow_input=numbers, **common
        )
        self.vms = VmService(pool=self.gate, power=self.power, **common)
        self.job_activities = JobActivities(
            pool=self.gate,
            agents=self.agents,
            jobs=self.jobs,
            files=self.files,
            clock=lambda: self.now,
        )
        self.settlement = SettlementService(
            jobs=self.jobs, files=self.files, pool=self.gate, clock=lambda: self.now
        )
        self.reconcile = ReconciliationService(
            pool=self.gate,
            power=self.power,
            vms=self.vms,
            jobs=self.jobs,
            submission=self.submission,
            batches=self.batches,
            settlement=self.settlement,
            **common,
        )

    @property
    def state(self) -> PoolState:
        return self.store.read()[0]

    def vm(self, name: str = "gpu-1") -> Vm:
        return self.state.vms[name]

    def agent(self, name: str = "gpu-1") -> FakeAgent:
        return self.agents.agent(name)

    def unlist(self) -> None:
        """Take every VM out of the settings, as a deployment in mid-job does."""
        self.gate._policy = replace(self.policy, candidates=())

    def candidate(self, name: str = "gpu-1") -> Candidate:
        return make_candidate(name)

    def apply(self, command: Command) -> dict[str, Any]:
        return asyncio.run(self.gate.apply(command, self.durable))

    def order(self, vm: str = "gpu-1", **more: Any) -> dict[str, Any]:
        """Give the order of `wake_vm` or `retire_vm` as of now."""
        believed = self.vm(vm)
        return {"vm": vm, "epoch": believed.epoch, "drain": believed.drain, **more}


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)

"""The only place that knows who uses whom: settings in, the function app out.

`Services` joins the use cases; `join` lists every function by its stored name.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import azure.durable_functions as df
import azure.functions as func
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient

from orchestrator.activities.images import ImageActivities
from orchestrator.activities.jobs import JobActivities
from orchestrator.activities.pool import PoolActivities
from orchestrator.adapters.agent_client import HttpAgentClient
from orchestrator.adapters.azure_vms import AzureVmPower
from orchestrator.adapters.blob_files import BlobFileStore
from orchestrator.adapters.blob_pool_store import BlobPoolStore
from orchestrator.adapters.durable_client import DurableClient
from orchestrator.adapters.identity import managed_identity
from orchestrator.adapters.table_jobs import TableJobs, TableKeys, TableLedger
from orchestrator.domain.names import Activity, Workflow
from orchestrator.domain.ports import (
    AgentClient,
    Clock,
    FileStore,
    Intake,
    JobTable,
    KeyTable,
    LedgerTable,
    PoolStore,
    VmPower,
)
from orchestrator.http.answers import Route, answer
from orchestrator.http.batches import BatchRoutes
from orchestrator.http.instance import InstanceRoutes
from orchestrator.http.jobs import JobRoutes
from orchestrator.http.pool import PoolRoutes
from orchestrator.intake.admission import Admission
from orchestrator.intake.decoders import DecoderLimits, Decoders
from orchestrator.intake.door import GuardedIntake
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.intake.urls import FetchLimits, ImageFetcher
from orchestrator.services.batches import BatchService
from orchestrator.services.pool import PoolService
from orchestrator.services.reconciliation import ReconciliationService
from orchestrator.services.settlement import SettlementService
from orchestrator.services.submission import SubmissionService
from orchestrator.services.vms import VmService
from orchestrator.settings import Settings
from orchestrator.workflows.reconcile_pool import reconcile_pool
from orchestrator.workflows.retire_vm import retire_vm
from orchestrator.workflows.run_batch import run_batch
from orchestrator.workflows.run_job import run_job
from orchestrator.workflows.wake_vm import wake_vm

STORAGE_TIMEOUT_S = 20
MB = 1_000_000
SWEEP_SCHEDULE = "0 */5 * * * *"
"""Every five minutes."""
RESTING_MB = 400
"""The app with a request or two in it, and its idle processes; what is left is one picture's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that the app needs from outside, as the Protocols of `domain.ports`."""

    pool_store: PoolStore
    jobs: JobTable
    keys: KeyTable
    ledger: LedgerTable
    files: FileStore
    power: VmPower
    agents: AgentClient
    intake: Intake
    clock: Clock = time.time


def build_app(settings: Settings) -> df.DFApp:
    """Give the app as it runs in Azure. Opens no connection."""
    return join(settings, reach_azure(settings))


def reach_azure(settings: Settings) -> Dependencies:
    """Build the real adapters. Opens no connection."""
    credential = managed_identity(settings.client_id)
    blobs = BlobServiceClient(
        settings.blob_url, credential=credential, read_timeout=STORAGE_TIMEOUT_S
    )
    tables = TableServiceClient(endpoint=settings.table_url, credential=credential)
    return Dependencies(
        pool_store=BlobPoolStore(blobs),
        jobs=TableJobs(tables),
        keys=TableKeys(tables),
        ledger=TableLedger(tables),
        files=BlobFileStore(blobs),
        power=AzureVmPower(
            credential=credential,
            subscription_id=settings.subscription_id,
            url=settings.arm_url,
            timeout_s=settings.arm_timeout_s,
        ),
        agents=HttpAgentClient(token=settings.agent_token),
        intake=_guard_intake(settings),
    )


def _guard_intake(settings: Settings) -> GuardedIntake:
    limits = ImageLimits(
        max_bytes=settings.max_image_mb * MB,
        max_pixels=settings.max_image_megapixels * MB,
        max_memory_bytes=(settings.intake_memory_mb - RESTING_MB) * MB,
    )
    admission = Admission()
    return GuardedIntake(
        decoders=Decoders(
            limits,
            DecoderLimits(memory_bytes=settings.intake_memory_mb * MB),
            admission=admission,
        ),
        fetcher=ImageFetcher(
            allowed_hosts=settings.image_url_allowed_hosts,
            limits=FetchLimits(max_bytes=limits.max_bytes),
        ),
        admission=admission,
    )


class Services:
    """The use cases, joined over what they need from outside."""

    def __init__(self, settings: Settings, outside: Dependencies) -> None:
        policy, clock, jobs = settings.pool, outside.clock, outside.jobs
        files, agents, intake = outside.files, outside.agents, outside.intake
        self.pool = PoolService(
            store=outside.pool_store,
            ledger=outside.ledger,
            agents=agents,
            policy=policy,
            clock=clock,
            workflow_input={
                "wake_poll_s": settings.wake_poll_s,
                "ready_poll_s": settings.ready_poll_s,
                "unreachable_s": settings.agent_unreachable_s,
            },
        )
        self.vms = VmService(
            pool=self.pool, power=outside.power, agents=agents, policy=policy, clock=clock
        )
        self.settlement = SettlementService(jobs=jobs, files=files, pool=self.pool, clock=clock)
        self.submission = SubmissionService(
            jobs=jobs,
            keys=outside.keys,
            files=files,
            pool=self.pool,
            intake=intake,
            policy=policy,
            clock=clock,
            defaults={
                "job_timeout_s": policy.job_timeout_s,
                "unreachable_s": settings.agent_unreachable_s,
                "start_within_s": settings.start_within_s,
            },
            max_open_jobs=settings.max_open_jobs,
        )
        self.batches = BatchService(
            submission=self.submission, jobs=jobs, files=files, intake=intake
        )
        self.reconciliation = ReconciliationService(
            pool=self.pool,
            power=outside.power,
            agents=agents,
            vms=self.vms,
            jobs=jobs,
            submission=self.submission,
            batches=self.batches,
            settlement=self.settlement,
            policy=policy,
            clock=clock,
        )


def join(settings: Settings, outside: Dependencies) -> df.DFApp:
    """Join everything and give the app."""
    services = Services(settings, outside)
    app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
    for route in _list_routes(settings, outside, services):
        _add_route(app, route)
    for workflow, orchestrator in WORKFLOWS.items():
        _add_workflow(app, workflow, orchestrator)
    _add_activities(app, outside, services)
    _add_timer(app, "sweep", SWEEP_SCHEDULE, services.reconciliation.sweep)
    return app


def _list_routes(settings: Settings, outside: Dependencies, services: Services) -> list[Route]:
    jobs, policy, clock = outside.jobs, settings.pool, outside.clock
    rooms = (
        JobRoutes(
            submission=services.submission,
            settlement=services.settlement,
            jobs=jobs,
            files=outside.files,
            pool=services.pool,
            policy=policy,
            clock=clock,
            sends_links=settings.storage_access == "identity_and_sas_only",
            link_s=settings.artifact_link_s,
            exposes_durable=settings.expose_durable_urls,
        ),
        InstanceRoutes(jobs=jobs, settlement=services.settlement),
        BatchRoutes(batches=services.batches, jobs=jobs),
        PoolRoutes(pool=services.pool, policy=policy, clock=clock, intake=outside.intake),
    )
    return [route for room in rooms for route in room.routes()]


WORKFLOWS: dict[Workflow, Callable[[Any], Any]] = {
    Workflow.RUN_JOB: run_job,
    Workflow.RUN_BATCH: run_batch,
    Workflow.WAKE_VM: wake_vm,
    Workflow.RETIRE_VM: retire_vm,
    Workflow.RECONCILE_POOL: reconcile_pool,
}


def _add_activities(app: df.DFApp, outside: Dependencies, services: Services) -> None:
    jobs = JobActivities(
        pool=services.pool,
        agents=outside.agents,
        jobs=outside.jobs,
        files=outside.files,
        clock=outside.clock,
    )
    images = ImageActivities(jobs=outside.jobs, batches=services.batches, clock=outside.clock)
    for activity, effect in (
        (Activity.SUBMIT_JOB, jobs.submit_job),
        (Activity.FOLLOW_JOB, jobs.follow_job),
        (Activity.STOP_JOB, jobs.stop_job),
        (Activity.PREPARE_IMAGE, images.prepare_image),
    ):
        _add_activity(app, activity, effect)
    vms = services.vms
    for activity, pool_effect in (
        (Activity.APPLY_POOL_COMMAND, PoolActivities(services.pool).apply_pool_command),
        (Activity.RECOVER_JOB, jobs.recover_job),
        (Activity.FINISH_JOB, jobs.finish_job),
        (Activity.START_VM, vms.start_vm),
        (Activity.CHECK_WAKE, vms.check_wake),
        (Activity.DRAIN_VM, vms.drain_vm),
        (Activity.DEALLOCATE_VM, vms.deallocate_vm),
        (Activity.CHECK_DEALLOCATED, vms.check_deallocated),
        (Activity.TICK_POOL, services.reconciliation.tick_pool),
    ):
        _add_pool_activity(app, activity, pool_effect)


def _add_route(app: df.DFApp, route: Route) -> None:
    async def function(
        req: func.HttpRequest, client: df.DurableOrchestrationClient
    ) -> func.HttpResponse:
        return await answer(route.handler, req, DurableClient(client))

    function.__name__ = route.name
    level = func.AuthLevel.ANONYMOUS if route.is_open else func.AuthLevel.FUNCTION
    bound = app.durable_client_input(client_name="client")(function)
    app.route(route=route.path, methods=[route.method], auth_level=level)(bound)


def _add_workflow(app: df.DFApp, name: Workflow, orchestrator: Callable[[Any], Any]) -> None:
    orchestrator.__name__ = str(name)
    app.orchestration_trigger(context_name="context")(orchestrator)


def _add_activity(
    app: df.DFApp, name: Activity, effect: Callable[[Any], Awaitable[dict[str, Any]]]
) -> None:
    async def function(order: dict) -> dict:  # type: ignore[type-arg] # the worker wants plain types
        return await effect(order)

    function.__name__ = str(name)
    app.activity_trigger(input_name="order")(function)


def _add_pool_activity(
    app: df.DFApp, name: Activity, effect: Callable[[Any, Any], Awaitable[dict[str, Any]]]
) -> None:
    async def function(order: dict, client: df.DurableOrchestrationClient) -> dict:  # type: ignore[type-arg]
        return await effect(order, DurableClient(client))

    function.__name__ = str(name)
    bound = app.durable_client_input(client_name="client")(function)
    app.activity_trigger(input_name="order")(bound)


def _add_timer(
    app: df.DFApp, name: str, schedule: str, effect: Callable[[Any], Awaitable[None]]
) -> None:
    async def function(timer: func.TimerRequest, client: df.DurableOrchestrationClient) -> None:
        await effect(DurableClient(client))

    function.__name__ = name
    bound = app.durable_client_input(client_name="client")(function)
    app.timer_trigger(arg_name="timer", schedule=schedule)(bound)

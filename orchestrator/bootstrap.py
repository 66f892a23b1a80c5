"""The only place that knows who uses whom: settings in, the function app out.

The tables at the end list every function by its stored name.
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
from orchestrator.activities.pool import PoolActivities, PoolGate
from orchestrator.activities.reconcile import ReconcileActivities
from orchestrator.activities.vms import VmActivities
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
    JobTable,
    KeyTable,
    LedgerTable,
    PoolStore,
    VmPower,
)
from orchestrator.http.acceptance import Acceptance, Fetcher, Reader
from orchestrator.http.answers import Handler, answer
from orchestrator.http.batches import BatchRoutes
from orchestrator.http.instance import InstanceRoutes
from orchestrator.http.jobs import JobRoutes
from orchestrator.http.pool import PoolRoutes
from orchestrator.http.timers import SWEEP_SCHEDULE, TimerTriggers
from orchestrator.intake.admission import Admission
from orchestrator.intake.decoders import DecoderLimits, Decoders
from orchestrator.intake.image_rules import ImageLimits
from orchestrator.intake.urls import FetchLimits, ImageFetcher
from orchestrator.services.settlement import Settlement
from orchestrator.settings import Settings
from orchestrator.workflows.reconcile_pool import reconcile_pool
from orchestrator.workflows.retire_vm import retire_vm
from orchestrator.workflows.run_batch import run_batch
from orchestrator.workflows.run_job import run_job
from orchestrator.workflows.wake_vm import wake_vm

STORAGE_TIMEOUT_S = 20
MB = 1_000_000
RESTING_MB = 400
"""The app with a request or two in it, and its idle processes; what is left is one picture's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Everything that the app needs from outside, as the Protocols of `domain.ports`."""

    pool_store: PoolStore
    jobs: JobTable
    keys: KeyTable
    ledger: LedgerTable
    files: FileStore
    power: VmPower
    agents: AgentClient
    fetcher: Fetcher
    reader: Reader
    admission: Admission
    clock: Clock = time.time


def build_app(settings: Settings) -> df.DFApp:
    """Give the app as it runs in Azure. Opens no connection."""
    return join(settings, reach_azure(settings))


def reach_azure(settings: Settings) -> Outside:
    """Build the real adapters. Opens no connection."""
    credential = managed_identity(settings.client_id)
    blobs = BlobServiceClient(
        settings.blob_url, credential=credential, read_timeout=STORAGE_TIMEOUT_S
    )
    tables = TableServiceClient(endpoint=settings.table_url, credential=credential)
    image_limits = ImageLimits(
        max_bytes=settings.max_image_mb * MB,
        max_pixels=settings.max_image_megapixels * MB,
        max_memory_bytes=(settings.intake_memory_mb - RESTING_MB) * MB,
    )
    admission = Admission()
    return Outside(
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
        fetcher=ImageFetcher(
            allowed_hosts=settings.image_url_allowed_hosts,
            limits=FetchLimits(max_bytes=image_limits.max_bytes),
        ),
        reader=Decoders(
            image_limits,
            DecoderLimits(memory_bytes=settings.intake_memory_mb * MB),
            admission=admission,
        ),
        admission=admission,
    )


def join(settings: Settings, outside: Outside) -> df.DFApp:
    """Join everything and give the app."""
    agents, power, clock = outside.agents, outside.power, outside.clock
    jobs, files = outside.jobs, outside.files
    policy = settings.pool
    pool = PoolGate(
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
    vm_activities = VmActivities(pool=pool, power=power, agents=agents, policy=policy, clock=clock)
    job_activities = JobActivities(pool=pool, agents=agents, jobs=jobs, files=files, clock=clock)
    acceptance = Acceptance(
        jobs=jobs,
        keys=outside.keys,
        files=files,
        pool=pool,
        fetcher=outside.fetcher,
        reader=outside.reader,
        admission=outside.admission,
        policy=policy,
        clock=clock,
        defaults={
            "job_timeout_s": policy.job_timeout_s,
            "unreachable_s": settings.agent_unreachable_s,
            "start_within_s": settings.start_within_s,
        },
        max_open_jobs=settings.max_open_jobs,
    )
    settlement = Settlement(jobs=jobs, files=files, pool=pool, clock=clock)
    image_activities = ImageActivities(jobs=jobs, images=acceptance, clock=clock)
    reconcile = ReconcileActivities(
        pool=pool,
        power=power,
        agents=agents,
        vms=vm_activities,
        jobs=jobs,
        starter=acceptance,
        settlement=settlement,
        policy=policy,
        clock=clock,
    )
    job_routes = JobRoutes(
        acceptance=acceptance,
        settlement=settlement,
        jobs=jobs,
        files=files,
        pool=pool,
        policy=policy,
        clock=clock,
        sends_links=settings.storage_access == "identity_and_sas_only",
        link_s=settings.artifact_link_s,
        exposes_durable=settings.expose_durable_urls,
    )
    instance_routes = InstanceRoutes(jobs=jobs, settlement=settlement)
    batch_routes = BatchRoutes(acceptance=acceptance, jobs=jobs)
    pool_routes = PoolRoutes(pool=pool, policy=policy, clock=clock, intake=outside.reader)
    timers = TimerTriggers(sweeper=reconcile)

    app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
    for name, method, route, handler in (
        ("post_job", "POST", "jobs", job_routes.post),
        ("list_jobs", "GET", "jobs", job_routes.list),
        ("get_job", "GET", "jobs/{id}", job_routes.get),
        ("cancel_job", "DELETE", "jobs/{id}", job_routes.delete),
        ("get_artifact", "GET", "jobs/{id}/artifacts/{name}", job_routes.artifact),
        ("get_instance", "GET", "jobs/{id}/instance", instance_routes.get),
        ("purge_instance", "DELETE", "jobs/{id}/instance", instance_routes.purge),
        ("terminate_instance", "POST", "jobs/{id}/instance/terminate", instance_routes.terminate),
        ("suspend_instance", "POST", "jobs/{id}/instance/suspend", instance_routes.suspend),
        ("resume_instance", "POST", "jobs/{id}/instance/resume", instance_routes.resume),
        (
            "raise_event",
            "POST",
            "jobs/{id}/instance/raiseEvent/{event}",
            instance_routes.raise_event,
        ),
        ("post_batch", "POST", "batches", batch_routes.post),
        ("get_batch", "GET", "batches/{id}", batch_routes.get),
        ("get_pool", "GET", "pool", pool_routes.get),
        ("prewarm_pool", "POST", "pool/prewarm", pool_routes.prewarm),
        ("reset_vm", "POST", "pool/vms/{name}/reset", pool_routes.reset),
    ):
        _add_route(app, name, method, route, handler)
    _add_route(app, "health", "GET", "health", pool_routes.health, is_open=True)
    for workflow, orchestrator in (
        (Workflow.RUN_JOB, run_job),
        (Workflow.RUN_BATCH, run_batch),
        (Workflow.WAKE_VM, wake_vm),
        (Workflow.RETIRE_VM, retire_vm),
        (Workflow.RECONCILE_POOL, reconcile_pool),
    ):
        _add_workflow(app, workflow, orchestrator)
    for activity, effect in (
        (Activity.SUBMIT_JOB, job_activities.submit_job),
        (Activity.FOLLOW_JOB, job_activities.follow_job),
        (Activity.STOP_JOB, job_activities.stop_job),
        (Activity.PREPARE_IMAGE, image_activities.prepare_image),
    ):
        _add_activity(app, activity, effect)
    for activity, pool_effect in (
        (Activity.APPLY_POOL_COMMAND, PoolActivities(pool).apply_pool_command),
        (Activity.RECOVER_JOB, job_activities.recover_job),
        (Activity.FINISH_JOB, job_activities.finish_job),
        (Activity.START_VM, vm_activities.start_vm),
        (Activity.CHECK_WAKE, vm_activities.check_wake),
        (Activity.DRAIN_VM, vm_activities.drain_vm),
        (Activity.DEALLOCATE_VM, vm_activities.deallocate_vm),
        (Activity.CHECK_DEALLOCATED, vm_activities.check_deallocated),
        (Activity.TICK_POOL, reconcile.tick_pool),
    ):
        _add_pool_activity(app, activity, pool_effect)
    _add_timer(app, "sweep", SWEEP_SCHEDULE, timers.sweep)
    return app


def _add_route(
    app: df.DFApp, name: str, method: str, route: str, handler: Handler, *, is_open: bool = False
) -> None:
    async def function(
        req: func.HttpRequest, client: df.DurableOrchestrationClient
    ) -> func.HttpResponse:
        return await answer(handler, req, DurableClient(client))

    function.__name__ = name
    level = func.AuthLevel.ANONYMOUS if is_open else func.AuthLevel.FUNCTION
    bound = app.durable_client_input(client_name="client")(function)
    app.route(route=route, methods=[method], auth_level=level)(bound)


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

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.domain.job import JobRow
from orchestrator.domain.pool import Acquire, Enqueue, Release
from tests.unit.orchestrator.parts import JOB, Parts


@pytest.fixture
def parts() -> Parts:
    """A control plane of fakes with one VM, deallocated."""
    return Parts()


@pytest.fixture
def do() -> Callable[..., Any]:
    """Run a coroutine to its end."""
    return asyncio.run


@pytest.fixture
def ready(parts: Parts) -> Parts:
    """A control plane whose VM is ready and holds the claimed slot of a job with fence 1."""
    parts.jobs.insert(JobRow(job_id=JOB, created_at=parts.now, order={"id": JOB}))
    parts.apply(Enqueue(job_id=JOB, fence=1))
    asyncio.run(parts.vms.start_vm(parts.order(), parts.durable))
    for _ in range(3):
        asyncio.run(parts.vms.check_wake(parts.order(), parts.durable))
    parts.apply(Acquire(job_id=JOB, fence=1))
    return parts


@pytest.fixture
def idle(ready: Parts) -> Parts:
    """A control plane whose VM is draining after its idle window."""
    ready.apply(Release(job_id=JOB, fence=1))
    end = ready.now + ready.policy.idle_window_s
    while ready.now < end:
        ready.now = min(end, ready.now + ready.policy.look_awake_s)
        tick = {"generation": ready.state.generation}
        asyncio.run(ready.reconcile.tick_pool(tick, ready.durable))
    return ready

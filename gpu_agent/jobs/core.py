"""The agent without HTTP, threads and engine: five services over one state."""

import threading
from collections.abc import Callable

from gpu_agent.host.machine import read_boot_clock
from gpu_agent.jobs.job_service import JobService
from gpu_agent.jobs.job_store import JobStore
from gpu_agent.jobs.lifecycle import Lifecycle
from gpu_agent.jobs.long_polls import LongPolls
from gpu_agent.jobs.run_queue import RunQueue
from gpu_agent.jobs.shared_state import SharedState
from gpu_agent.jobs.vm_service import AgentIdentity, VmService


class AgentCore:
    """Puts the services together. Each is safe for many threads; one lock is around all of them.

    Args:
        store: Owned by the core from here on.
        identity: What the agent says of itself.
        slots: Most live jobs.
        clock: Seconds on the boot clock.
        condition: Makes what threads wait on.

    Attributes:
        jobs: For callers and worker threads: one job.
        polls: For callers: news of a job.
        runs: For worker threads: the next job.
        lifecycle: For the process: set-up and end.
        vm: For the control plane and the switch: lease, drain, status.
        changed: See `SharedState`.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        identity: AgentIdentity,
        slots: int,
        clock: Callable[[], float] = read_boot_clock,
        condition: Callable[[threading.RLock], threading.Condition] = threading.Condition,
    ) -> None:
        shared = SharedState(store, clock=clock, condition=condition)
        self.changed = shared.changed
        self.polls = LongPolls(shared, condition)
        self.runs = RunQueue(shared, slots=slots)
        self.lifecycle = Lifecycle(shared, self.runs, self.polls)
        self.jobs = JobService(shared, slots=slots, require_ready=self.lifecycle.require_ready)
        self.vm = VmService(shared, identity, slots=slots, readiness=self.lifecycle.readiness)

"""Figures of the agent, as Prometheus reads them."""

from collections import Counter as Tally
from contextlib import AbstractContextManager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gpu_agent.wire import AgentStatus, JobState, JobView

CONTENT_TYPE = CONTENT_TYPE_LATEST

_STAGE_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)


class StatusSource(Protocol):
    """Knows what the agent holds."""

    def status(self) -> AgentStatus:
        """Give what the agent holds."""


class Metrics:
    """A registry of its own, so that two agents in one process don't meet in it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._jobs = Gauge(
            "gpu_agent_jobs", "Jobs held or remembered.", ["state"], registry=self._registry
        )
        self._queue = Gauge(
            "gpu_agent_queue_length", "Jobs that wait for a slot.", registry=self._registry
        )
        self._slots = Gauge("gpu_agent_slots", "Most live jobs.", registry=self._registry)
        self._epoch = Gauge("gpu_agent_epoch", "Newest epoch heard.", registry=self._registry)
        self._ready = Gauge("gpu_agent_ready", "1 if jobs are taken.", registry=self._registry)
        self._lease = Gauge(
            "gpu_agent_lease_left_seconds",
            "Seconds until the lease runs out; NaN before the first.",
            registry=self._registry,
        )
        self._polls = Gauge(
            "gpu_agent_long_polls", "Requests for a job under way.", registry=self._registry
        )
        self._ended = Counter(
            "gpu_agent_jobs_ended",
            "Jobs that a thread worked on and that are over.",
            ["state", "code"],
            registry=self._registry,
        )
        self._stages = Histogram(
            "gpu_agent_stage_seconds",
            "Seconds that a stage took.",
            ["stage"],
            buckets=_STAGE_BUCKETS_S,
            registry=self._registry,
        )

        self._queues = Gauge(
            "gpu_agent_engine_queue_length",
            "Jobs that wait in one of the engine's queues.",
            ["queue"],
            registry=self._registry,
        )
        self._batches = Histogram(
            "gpu_agent_engine_batch_jobs",
            "Jobs that shared one batch on the GPU.",
            buckets=(1, 2, 3, 4, 6, 8, 12, 16),
            registry=self._registry,
        )
        self._steps = Histogram(
            "gpu_agent_engine_step_seconds",
            "Seconds that a step of the engine took.",
            ["step"],
            buckets=_STAGE_BUCKETS_S,
            registry=self._registry,
        )
        self._restarts = Counter(
            "gpu_agent_engine_processes_lost",
            "Child processes that were lost and replaced.",
            ["process", "cause"],
            registry=self._registry,
        )
        self._stuck = Counter(
            "gpu_agent_threads_stuck",
            "Threads that went on long after their job was over.",
            registry=self._registry,
        )
        self._gpu_memory = Gauge(
            "gpu_agent_gpu_memory_bytes",
            "GPU memory taken by the process that owns the GPU.",
            registry=self._registry,
        )

    def set_queue(self, queue: str, length: int) -> None:
        """Say how many jobs wait in one of the engine's queues."""
        self._queues.labels(queue=queue).set(length)

    def observe_batch(self, jobs: int) -> None:
        """Say how many jobs shared one batch."""
        self._batches.observe(jobs)

    def observe_step(self, step: str, seconds: float) -> None:
        """Say how long a step of one job took."""
        self._steps.labels(step=step).observe(seconds)

    def count_restart(self, process: str, cause: str) -> None:
        """Say that a child process was lost."""
        self._restarts.labels(process=process, cause=cause).inc()

    def count_stuck(self) -> None:
        """Say that a thread hangs."""
        self._stuck.inc()

    def set_gpu_memory(self, used_bytes: int) -> None:
        """Say how much memory of the GPU is taken."""
        self._gpu_memory.set(used_bytes)

    def count_poll(self) -> AbstractContextManager[object]:
        """Count a request for a job as long as the block lasts."""
        return self._polls.track_inprogress()

    def observe_job(self, view: JobView) -> None:
        """Take a job that is over."""
        code = view.error["code"] if view.error is not None else ""
        self._ended.labels(state=view.state, code=code).inc()
        for stage, seconds in view.stage_seconds.items():
            self._stages.labels(stage=stage).observe(seconds)

    def render(self, source: StatusSource) -> bytes:
        """Give the figures as they are now, in Prometheus' text form."""
        status = source.status()
        states = Tally(job["state"] for job in status.jobs)
        for state in JobState:
            self._jobs.labels(state=state.value).set(states[state])
        self._queue.set(states[JobState.QUEUED])
        self._slots.set(status.slots)
        self._epoch.set(status.epoch)
        self._ready.set(status.phase == "ready")
        left = status.lease_left_s
        self._lease.set(float("nan") if left is None else left)
        return generate_latest(self._registry)

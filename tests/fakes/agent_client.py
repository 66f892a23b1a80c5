"""A fake of `orchestrator.domain.ports.AgentClient`: agents without engine, thread or network.

Their rules are the agent's own pure ones (`gpu_agent.jobs.agent_state`), so that they can't drift.
"""

from collections.abc import Mapping
from typing import Any

from gpu_agent.errors import NotReadyError, RequestError
from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import Job, JobKey
from gpu_agent.wire import DrainRequest, Readiness, Stage, Submission
from orchestrator.domain.errors import AgentError, AgentUnreachableError
from orchestrator.domain.pool import Candidate

NOW = 0.0


class FakeAgent:
    """One agent.

    Attributes:
        phase: ``ready`` or what keeps it from being.
        leases: ``(epoch, ttl_s)`` of every lease that was given.
        machine_boot: Which boot of its machine it names.
        cap: What it tells of its cap; empty for an older agent.
    """

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.state = AgentState()
        self.phase = "ready"
        self.leases: list[tuple[int, float]] = []
        self.machine_boot = "boot-1"
        self.cap: dict[str, float] = {}

    def job(self, job_id: str, fence: int) -> Job:
        return self.state.jobs[JobKey(job_id, fence)]

    def live(self) -> list[tuple[str, int]]:
        return [(job.key.job_id, job.key.fence) for job in self.state.live]

    def advance(self, job_id: str, fence: int, stage: Stage, percent: float = 0.0) -> None:
        job = steps.begin_job(self.job(job_id, fence))
        self._put(steps.advance_job(job, stage, percent, NOW))

    def succeed(self, job_id: str, fence: int, manifest: Mapping[str, Any]) -> None:
        job = steps.begin_job(self.job(job_id, fence))
        self._put(steps.succeed_job(job, manifest, NOW))

    def fail(self, job_id: str, fence: int, code: str, *, retryable: bool) -> None:
        job = self.job(job_id, fence)
        self._put(steps.fail_job(job, code=code, message=code, retryable=retryable, now=NOW))

    def restart(self) -> None:
        """End the process and start it again."""
        self.state = agent_state.recall(self.state, NOW)

    def forget(self) -> None:
        """Start it on a new disk."""
        self.state = AgentState()

    def hear(self, epoch: int) -> None:
        self.state = agent_state.hear_epoch(self.state, epoch, NOW)

    def _put(self, job: Job) -> None:
        self.state = agent_state.with_jobs(self.state, [job])


class FakeAgentClient:
    """Agents by VM.

    Attributes:
        silent: VMs whose agent does not answer.
        errors: Errors that the next calls raise, by verb.
        calls: ``(verb, vm, …)`` of every call, in order.
    """

    def __init__(self) -> None:
        self.agents: dict[str, FakeAgent] = {}
        self.silent: set[str] = set()
        self.errors: dict[str, list[Exception]] = {}
        self.calls: list[tuple[Any, ...]] = []

    def agent(self, vm: str = "gpu-1") -> FakeAgent:
        return self.agents.setdefault(vm, FakeAgent())

    async def submit(
        self, vm: Candidate, job_id: str, fence: int, submission: dict[str, Any]
    ) -> dict[str, Any]:
        agent = self._call("submit", vm, job_id, fence)
        asked = Submission.from_json(submission)
        key = JobKey(job_id, fence)
        try:
            if key not in agent.state.jobs and not agent.state.is_closed:
                agent.hear(asked.epoch)
            state, job = agent_state.submit(agent.state, key, asked, slots=agent.slots, now=NOW)
            if state is not agent.state and agent.phase != "ready":
                raise NotReadyError("It sets up.")
        except RequestError as error:
            raise _refusal(error) from error
        agent.state = state
        return job.view().to_json()

    async def follow(
        self, vm: Candidate, job_id: str, fence: int, *, after: int, wait_s: float
    ) -> dict[str, Any]:
        agent = self._call("follow", vm, job_id, fence)
        try:
            return agent_state.find(agent.state, JobKey(job_id, fence)).view().to_json()
        except RequestError as error:
            raise _refusal(error) from error

    async def stop(self, vm: Candidate, job_id: str, fence: int) -> dict[str, Any]:
        agent = self._call("stop", vm, job_id, fence)
        agent.state, job = agent_state.cancel(agent.state, JobKey(job_id, fence), NOW)
        return job.view().to_json()

    async def ready(self, vm: Candidate) -> dict[str, Any]:
        agent = self._call("ready", vm)
        return Readiness(ready=agent.phase == "ready", phase=agent.phase).to_json()

    async def lease(self, vm: Candidate, *, epoch: int, ttl_s: float) -> dict[str, Any]:
        agent = self._call("lease", vm)
        try:
            agent_state.check_lease(agent.state, epoch)
        except RequestError as error:
            raise _refusal(error) from error
        agent.hear(epoch)
        agent.leases.append((epoch, ttl_s))
        jobs = [
            {"job_id": job.key.job_id, "fence": job.key.fence, "state": job.state.value}
            for job in agent.state.jobs.values()
        ]
        return {
            "vm": vm.name,
            "epoch": agent.state.epoch,
            "phase": agent.phase,
            "machine_boot": agent.machine_boot,
            **agent.cap,
            "jobs": jobs,
        }

    async def drain(self, vm: Candidate, *, epoch: int, drain: int) -> dict[str, Any]:
        agent = self._call("drain", vm, epoch, drain)
        if not agent.state.is_closed:
            agent.hear(epoch)
        try:
            agent.state, answer = agent_state.drain(
                agent.state,
                DrainRequest(epoch=epoch, drain=drain),
                lambda epoch, drain: f"receipt-{epoch}-{drain}",
            )
        except RequestError as error:
            raise _refusal(error) from error
        return answer.to_json()

    def _call(self, verb: str, vm: Candidate, *more: Any) -> FakeAgent:
        self.calls.append((verb, vm.name, *more))
        if self.errors.get(verb):
            raise self.errors[verb].pop(0)
        if vm.name in self.silent:
            raise AgentUnreachableError(f"no answer from the agent on {vm.name}")
        return self.agent(vm.name)


def _refusal(error: RequestError) -> AgentError:
    return AgentError(str(error.code), str(error), status=error.status)

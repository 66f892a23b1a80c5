"""Effects of one job: hand it to an agent, follow it, stop it, recover it, finish it."""

import json
import logging
from dataclasses import replace
from typing import Any

from gpu_agent.wire import Code, JobView, Submission
from gpu_agent.wire import JobState as AgentJobState
from orchestrator.domain.errors import AgentError, AgentUnreachableError
from orchestrator.domain.job import (
    JobRow,
    JobState,
    artifact_url,
    input_path,
    manifest_path,
    output_of,
    output_prefix,
)
from orchestrator.domain.pool import Candidate, Release
from orchestrator.domain.ports import AgentClient, Clock, Durable, FileStore, JobTable
from orchestrator.lanes import RESERVE
from orchestrator.services.pool import PoolService

logger = logging.getLogger(__name__)

FOLLOW_S = 25.0
"""Longest stay in one `follow_job`: well under the shortest function time-out, and each stay costs
four history events."""
MIN_WAIT_S = 0.05


class JobActivities:
    """What the workflow `run_job` does."""

    def __init__(
        self,
        *,
        pool: PoolService,
        agents: AgentClient,
        jobs: JobTable,
        files: FileStore,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._agents = agents
        self._jobs = jobs
        self._files = files
        self._clock = clock

    async def submit_job(self, order: dict[str, Any]) -> dict[str, Any]:
        """Hand an attempt to the agent that has a slot for it.

        Safe to run twice: the agent joins a job that it has under the same fence.

        Args:
            order: ``{job_id, fence, vm, epoch, options, timeout_s}``.

        Returns:
            ``{"outcome": "accepted", seq, stage}``, ``{"outcome": "refused", code}``,
            ``{"outcome": "not_ready"}`` (it was restarted and sets up) or
            ``{"outcome": "unreachable"}``.
        """
        job_id, fence = str(order["job_id"]), int(order["fence"])
        candidate = await self._pool.reach(order["vm"])
        if candidate is None:
            return {"outcome": "refused", "code": "unknown_vm"}
        submission = Submission(
            epoch=order["epoch"],
            input_path=input_path(job_id),
            output_prefix=output_prefix(job_id, fence),
            manifest_path=manifest_path(job_id),
            options=order["options"],
            timeout_s=order["timeout_s"],
        )
        try:
            answer = await self._agents.submit(candidate, job_id, fence, submission.to_json())
        except AgentError as error:
            outcome = "not_ready" if error.code == Code.NOT_READY else "refused"
            return {"outcome": outcome, "code": error.code}
        except AgentUnreachableError as error:
            logger.warning("agent on %s: %s", candidate.name, error)
            return {"outcome": "unreachable"}
        view = JobView.from_json(answer)
        await RESERVE.run(self._note_accepted, job_id, fence, candidate, view)
        return {"outcome": "accepted", "seq": view.seq, "stage": view.stage}

    def _note_accepted(self, job_id: str, fence: int, vm: Candidate, view: JobView) -> None:
        now = self._clock()

        def change(row: JobRow) -> JobRow | None:
            if row.state.is_over or row.fence > fence:
                return None
            is_ahead = row.fence == fence and row.percent > view.percent
            return replace(
                row,
                state=JobState.RUNNING,
                stage=row.stage if is_ahead else view.stage,
                percent=row.percent if is_ahead else view.percent,
                expected_end_at=row.expected_end_at if is_ahead else _expected_end(view, now),
                fence=fence,
                vm=vm.name,
                started_at=row.started_at or now,
                attempt_at=now if row.fence < fence else row.attempt_at,
            )

        self._jobs.change(job_id, change)

    async def follow_job(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait for news of an attempt, and write its percent into the job's row meanwhile.

        Safe to run twice: it only looks.

        Args:
            order: ``{job_id, fence, vm, after, stage, quiet_s}``: a change from `stage` is
                reported no sooner than `quiet_s` after the beginning, with what has come by then.

        Returns:
            ``{"outcome": "news", view}``, ``{"outcome": "unknown"}`` (the agent does not know the
            attempt) or ``{"outcome": "unreachable"}``.
        """
        job_id, fence = str(order["job_id"]), int(order["fence"])
        candidate = await self._pool.reach(order["vm"])
        if candidate is None:
            return {"outcome": "unknown"}
        # An alert reads this line: the VM named in it is not idle (`observability/alerts.tf`).
        logger.info("following on %s job %s", candidate.name, job_id)
        began_at = self._clock()
        after, stage = int(order["after"]), order.get("stage")
        quiet_s = float(order.get("quiet_s", 0.0))
        limit_s = FOLLOW_S
        while True:
            left_s = limit_s - (self._clock() - began_at)
            try:
                answer = await self._agents.follow(
                    candidate, job_id, fence, after=after, wait_s=max(MIN_WAIT_S, left_s)
                )
            except AgentError as error:
                if error.code == Code.UNKNOWN_JOB:
                    return {"outcome": "unknown"}
                logger.warning("agent on %s: %s", candidate.name, error)
                return {"outcome": "unreachable"}
            except AgentUnreachableError as error:
                logger.warning("agent on %s: %s", candidate.name, error)
                return {"outcome": "unreachable"}
            view = JobView.from_json(answer)
            stayed_s = self._clock() - began_at
            is_news = view.stage != stage and stayed_s >= quiet_s
            if AgentJobState(view.state).is_over or is_news or stayed_s >= FOLLOW_S:
                return {"outcome": "news", "view": view.to_json()}
            if view.stage != stage:
                limit_s = min(FOLLOW_S, quiet_s)
            if view.seq > after:
                await RESERVE.run(self._note_progress, job_id, fence, view)
            after = max(after, view.seq)

    def _note_progress(self, job_id: str, fence: int, view: JobView) -> None:
        now = self._clock()

        def change(row: JobRow) -> JobRow | None:
            if row.state.is_over or row.fence != fence or view.percent < row.percent:
                return None
            return replace(
                row,
                stage=view.stage,
                percent=view.percent,
                expected_end_at=_expected_end(view, now),
            )

        self._jobs.change(job_id, change)

    async def stop_job(self, order: dict[str, Any]) -> dict[str, Any]:
        """Cancel an attempt on its agent. Safe to run twice: a cancelled key stays cancelled."""
        candidate = await self._pool.reach(order["vm"])
        if candidate is None:
            return {"outcome": "unknown"}
        try:
            await self._agents.stop(candidate, order["job_id"], order["fence"])
        except (AgentError, AgentUnreachableError) as error:
            logger.warning("job %s could not be stopped: %s", order["job_id"], error)
            return {"outcome": "unreachable"}
        return {"outcome": "stopped"}

    async def recover_job(self, order: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Give up an attempt, and look whether it left a finished model behind.

        Safe to run twice: the release is fenced, the row changes to the same values.

        Args:
            order: ``{job_id, fence, vm_unreachable}``.
            client: The Durable client.

        Returns:
            ``{"manifest": …}`` when an attempt had finished after all, else
            ``{"manifest": None}``.
        """
        job_id, fence = str(order["job_id"]), int(order["fence"])
        release = Release(job_id=job_id, fence=fence, vm_unreachable=order["vm_unreachable"])
        await self._pool.apply(release, client)
        data = await RESERVE.run(self._files.read, manifest_path(job_id))
        if data is not None:
            return {"manifest": json.loads(data)}

        def change(row: JobRow) -> JobRow | None:
            if row.state.is_over or row.fence > fence:
                return None
            return replace(row, state=JobState.QUEUED, stage=None, percent=0, vm=None)

        await RESERVE.run(self._jobs.change, job_id, change)
        return {"manifest": None}

    async def finish_job(self, order: dict[str, Any], client: Durable) -> dict[str, Any]:
        """Release the slot and write down how the job ended.

        Safe to run twice: the release is fenced and a row that is over stays as it is.

        Args:
            order: ``{job_id, fence, vm, state, manifest | error}``.
            client: The Durable client.

        Returns:
            The workflow's output; for a job that failed only ``{"state": "failed"}``.
        """
        job_id, fence = str(order["job_id"]), int(order["fence"])
        manifest = order.get("manifest")
        release = Release(job_id=job_id, fence=fence, ran=manifest is not None)
        released = await self._pool.apply(release, client)
        now = self._clock()

        def change(row: JobRow) -> JobRow | None:
            if row.state.is_over or row.fence > fence:
                return None
            return replace(
                row,
                state=JobState(order["state"]),
                stage=row.stage if manifest is None else "upload",
                percent=row.percent if manifest is None else 100,
                fence=fence,
                ended_at=now,
                result=manifest,
                cost=released.get("cost"),
                error=order.get("error"),
            )

        row = await RESERVE.run(self._jobs.change, job_id, change)
        if manifest is None:
            return {"id": job_id, "state": order["state"]}
        return {
            **output_of(job_id, manifest, row.notes if row else ()),
            "manifest": artifact_url(job_id, "manifest.json"),
        }


def _expected_end(view: JobView, now: float) -> float | None:
    return None if view.seconds_left is None else now + view.seconds_left

"""Posts jobs one after another to a warm local cloud and takes their times.

Start: from the POST to the agent's first stage. Finish: from the end of the agent's last stage to
the first answer of the job's status that says ``succeeded``. Both clocks are this machine's. The
status is asked for only after the agent has ended, so that the asking does not slow the start.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cloud import LIMIT_S, MeasuredCloud
from benchmarks.warm_job.agent_log import FIRST_STAGE, OVER, AgentLog

AGENT = (sys.executable, "-m", "benchmarks.warm_job.instant_agent")


@dataclass(frozen=True, slots=True)
class WarmJob:
    """One job.

    Attributes:
        accepted_ms: From the POST to its answer.
        start_ms: From the POST to the agent's first stage.
        finish_ms: From the end of the agent's last stage to ``succeeded``.
        history_events: Rows of the workflow's history.
    """

    accepted_ms: float
    start_ms: float
    finish_ms: float
    history_events: int


def measure_warm_jobs(folder: Path, *, jobs: int, warm_up: int) -> list[WarmJob]:
    """Bring a local cloud up, run jobs on it and take it down.

    Args:
        folder: For its state and logs; empty.
        jobs: How many are measured.
        warm_up: How many run before, apart from the one that wakes the VM.
    """
    with MeasuredCloud(folder, agent_command=AGENT) as cloud:
        cloud.await_success(cloud.post())
        log = AgentLog(cloud.agent_log)
        try:
            measured = [_run_job(cloud, log) for _ in range(warm_up + jobs)]
        finally:
            log.close()
    return measured[warm_up:]


def _run_job(cloud: MeasuredCloud, log: AgentLog) -> WarmJob:
    posted_at = time.time()
    job_id = cloud.post()
    accepted_at = time.time()
    began_at = log.wait_for(FIRST_STAGE, job_id, limit_s=LIMIT_S)
    log.wait_for(OVER, job_id, limit_s=LIMIT_S)
    seen_at = cloud.await_success(job_id)
    cloud.await_workflow_end(job_id)
    # Made at the end of the last stage, before it is stored.
    ended_at = float(cloud.read_manifest(job_id)["created_at"])
    return WarmJob(
        accepted_ms=1e3 * (accepted_at - posted_at),
        start_ms=1e3 * (began_at - posted_at),
        finish_ms=1e3 * (seen_at - ended_at),
        history_events=cloud.count_events(job_id),
    )

"""Peak memory of the Functions host and of an agent with the engine that needs no GPU."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.cloud import LIMIT_S, MeasuredCloud

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Peaks:
    """Largest resident memory of each process, in MiB.

    Attributes:
        host_mib: The Functions host with our app in it.
        agent_mib: The agent with its preview engine.
    """

    host_mib: float
    agent_mib: float


class PeakMeter:
    """Watches one process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._largest = 0

    def read_mib(self) -> float:
        """Give the peak so far, as the kernel has noted it or else of the moments of asking."""
        now = self._process.memory_info().rss
        self._largest = max(self._largest, _read_noted(self._process.pid), now)
        return self._largest / 2**20


def measure_memory(folder: Path, *, jobs: int) -> Peaks:
    """Run jobs of a real photograph, all posted at once, to the end and read the peaks.

    Args:
        folder: For the local cloud's state and logs; empty.
        jobs: How many, 1 or more; four at a time are on the agent.
    """
    with MeasuredCloud(folder) as cloud:
        host, agent = PeakMeter(cloud.host_pid), None
        still_open = [cloud.post() for _ in range(jobs)]
        deadline = time.monotonic() + LIMIT_S
        while still_open:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(still_open)} jobs did not end within {LIMIT_S:g} s")
            time.sleep(POLL_S)
            if agent is None and (pid := cloud.find_agent_pid()):
                agent = PeakMeter(pid)
            still_open = [job_id for job_id in still_open if not cloud.has_succeeded(job_id)]
            for meter in filter(None, (host, agent)):
                meter.read_mib()
        # The jobs may be over before they were looked at once.
        if agent is None and (pid := cloud.find_agent_pid()):
            agent = PeakMeter(pid)
        if agent is None:
            raise RuntimeError("the jobs have ended and no agent was seen")
        return Peaks(host.read_mib(), agent.read_mib())


def _read_noted(pid: int) -> int:
    """Read the peak that Linux notes, in bytes; 0 elsewhere."""
    path = Path(f"/proc/{pid}/status")
    if path.exists():
        for line in path.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0

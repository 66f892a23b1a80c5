"""Those who post jobs: they come in bursts or by a trace; most ask how it goes, and some cancel.

A few post a small batch. The others leave and come back much later. Whoever asks after a job that
was terminated heals what it left behind; for those who leave, the reconciler must.
"""

import asyncio
import base64
import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from localcloud.rehearsal.faults import FaultName, Faults
from localcloud.rehearsal.host import Host, HostGoneError

BURST = (3, 14)
WITHIN_BURST_S = 40.0
BETWEEN_BURSTS_S = (200.0, 1500.0)
POLL_S = (20.0, 90.0)
PATIENCE_S = (1.0, 15.0)
CANCELS = 0.06
LEAVES = 0.4
LEAVES_FOR_S = (900.0, 1800.0)
BATCHES = 0.08
"""Of the visits, how many post a batch."""
BATCH = (2, 4)
AT_BIRTH_S = 0.1
"""A cancellation that comes within so many seconds of the 202 may meet the job's first step."""
MOMENTS = re.compile("time|second", re.IGNORECASE)
ENDED = ("succeeded", "failed", "cancelled")


def draw_arrivals(jobs: int, chance: Random) -> list[float]:
    """Draw when jobs arrive: in bursts far enough apart for VMs to fall asleep in between.

    Returns:
        Virtual seconds, ascending.
    """
    arrivals: list[float] = []
    begins_at = 10.0
    while len(arrivals) < jobs:
        count = min(chance.randint(*BURST), jobs - len(arrivals))
        arrivals += [begins_at + chance.uniform(0, WITHIN_BURST_S) for _ in range(count)]
        begins_at += chance.uniform(*BETWEEN_BURSTS_S)
    return sorted(arrivals)


@dataclass(frozen=True, slots=True)
class Visit:
    """One customer.

    Attributes:
        number: Of the visit, from 1.
        at_s: When it comes, virtual seconds.
        jobs: How many it posts: one by itself, several as a batch.
    """

    number: int
    at_s: float
    jobs: int = 1


def plan_visits(arrivals: Sequence[float], chance: Random) -> list[Visit]:
    """Plan who posts what: one job for each arrival, some of them together as a batch."""
    visits: list[Visit] = []
    left = list(arrivals)
    while left:
        jobs = chance.randint(*BATCH) if chance.random() < BATCHES else 1
        visits.append(Visit(len(visits) + 1, left[0], len(left[:jobs])))
        del left[:jobs]
    return visits


def read_arrivals(
    path: Path, jobs: int, *, column: str | None = None, every: int = 1, stretch: float = 1.0
) -> list[float]:
    """Read arrivals from a CSV file.

    Args:
        path: With a header line.
        jobs: Most arrivals to take.
        column: Name of the column of moments; by default the first whose name has ``time`` or
            ``second`` in it. Numbers are seconds, anything else ISO 8601.
        every: Take one row of so many: a trace of a large service has too many for a few VMs.
        stretch: Let so many times as much time pass between two arrivals.

    Returns:
        Virtual seconds, ascending, the first at 10.

    Raises:
        ValueError: There is no such column, or what is in it is no moment.
    """
    moments: list[float] = []
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names = reader.fieldnames or []
        chosen = column or next((name for name in names if MOMENTS.search(name)), None)
        if chosen is None or chosen not in names:
            raise ValueError(f"{path.name} has no column of moments: {', '.join(names)}")
        for row in itertools.islice(reader, 0, None, every):
            moments.append(_to_seconds(row[chosen]))
            if len(moments) == jobs:
                break
    moments.sort()
    return [10.0 + (moment - moments[0]) * stretch for moment in moments]


def _to_seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        # Seven fractional digits are one more than datetime reads.
        head, dot, fraction = text.partition(".")
        return datetime.fromisoformat(f"{head}{dot}{fraction[:6]}").timestamp()


def make_image() -> dict[str, str]:
    """Make the JSON of a small image that passes every rule."""
    file = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(file, "PNG")
    return {"image_base64": base64.b64encode(file.getvalue()).decode()}


class Customers:
    """Posts jobs and follows them to their end.

    Attributes:
        job_ids: Of the jobs that were accepted.
    """

    def __init__(
        self,
        host: Host,
        *,
        faults: Faults,
        chance: Random,
        on_cancel: Callable[[str], None],
    ) -> None:
        self._host = host
        self._faults = faults
        self._image = make_image()
        self._chance = chance
        self._on_cancel = on_cancel
        self.job_ids: set[str] = set()

    async def visit(self, visit: Visit) -> None:
        """Post at a moment and ask until it is over."""
        await asyncio.sleep(visit.at_s)
        job_ids = await self._post(visit)
        self.job_ids.update(job_ids)
        for job_id in job_ids:
            if self._faults.hits(FaultName.CANCELLED_AT_BIRTH):
                await asyncio.sleep(self._chance.uniform(0, AT_BIRTH_S))
                await self._cancel(job_id)
        await asyncio.gather(*(self._follow(job_id) for job_id in job_ids))

    async def _follow(self, job_id: str) -> None:
        loop = asyncio.get_running_loop()
        cancels_at = float("inf")
        if self._chance.random() < LEAVES:
            await asyncio.sleep(self._chance.uniform(*LEAVES_FOR_S))
        elif self._chance.random() < CANCELS:
            cancels_at = loop.time() + self._chance.uniform(0, 200)
        while True:
            await asyncio.sleep(self._chance.uniform(*POLL_S))
            if loop.time() >= cancels_at:
                await self._cancel(job_id)
            if await self._is_over(job_id):
                return

    async def _post(self, visit: Visit) -> list[str]:
        """Post until it is accepted, and give the jobs' ids."""
        headers = {"idempotency-key": f"visit-{visit.number}"}
        name, path, asked = "post_job", "jobs", dict[str, Any](self._image)
        if visit.jobs > 1:
            name, path, asked = "post_batch", "batches", {"images": [self._image] * visit.jobs}
        body = json.dumps(asked).encode()
        while True:
            try:
                answer = await self._host.request(
                    name, "POST", path, params={}, body=body, headers=headers
                )
            except HostGoneError:
                answer = None
            if answer is not None and answer.status_code == 202:
                accepted = json.loads(answer.get_body())
                return [item["job_id"] for item in accepted.get("items", [])] or [accepted["id"]]
            await asyncio.sleep(self._chance.uniform(*PATIENCE_S))

    async def _cancel(self, job_id: str) -> None:
        # Even a cancellation that got no answer may have been carried out.
        self._on_cancel(job_id)
        try:
            await self._host.request(
                "cancel_job", "DELETE", f"jobs/{job_id}", params={"id": job_id}
            )
        except HostGoneError:
            return

    async def _is_over(self, job_id: str) -> bool:
        try:
            answer = await self._host.request(
                "get_job", "GET", f"jobs/{job_id}", params={"id": job_id}
            )
        except HostGoneError:
            return False
        if answer.status_code != 200:
            return False
        return json.loads(answer.get_body())["state"] in ENDED

"""Tables for a terminal: the pool and the jobs."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from coldforge.models import JobStatus
from coldforge.wording import describe, describe_seconds


def pool_table(pool: Mapping[str, Any]) -> Table:
    """Return the VMs with what they do and cost; the totals are the last row."""
    now = pool.get("now") or time.time()
    totals = pool.get("totals") or {}
    table = Table(show_footer=True, footer_style="bold")
    for heading, footer in (
        ("VM", f"{pool.get('queue_length', len(pool.get('queue') or ()))} jobs in the queue"),
        ("phase", ""),
        ("for", ""),
        ("jobs", ""),
        ("stops in", ""),
        ("billed", describe_seconds(totals.get("billed_seconds") or 0)),
        ("USD", f"{totals.get('cost_usd') or 0:.4f}"),
        ("why", ""),
    ):
        table.add_column(heading, footer=footer)
    for vm in pool.get("vms") or ():
        table.add_row(
            escape(str(vm.get("name", "?"))),
            escape(str(vm.get("phase", "?"))),
            _span(now, vm.get("since")),
            str(len(vm.get("slots") or ())),
            _span(vm.get("stops_at"), now),
            describe_seconds(vm.get("billed_seconds") or 0),
            f"{vm.get('cost_usd') or 0:.4f}",
            escape(str(vm.get("why") or vm.get("reason") or "")),
        )
    return table


def job_table(jobs: Iterable[JobStatus]) -> Table:
    """Return one row a job."""
    table = Table("job", "created", "what", "USD")
    for job in jobs:
        created_at = job.raw.get("created_at")
        created = (
            "" if created_at is None else time.strftime("%m-%d %H:%M", time.localtime(created_at))
        )
        cost = "" if job.cost_usd is None else f"{job.cost_usd:.4f}"
        table.add_row(escape(job.id), created, escape(describe(job)), cost)
    return table


def _span(later: float | None, earlier: float | None) -> str:
    if later is None or earlier is None:
        return ""
    return describe_seconds(max(0.0, later - earlier))

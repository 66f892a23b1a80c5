"""``make prices``: both halves of the bill on a terminal."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from infra.deploy.bill import Bill, JobMix, Line, draw_bill, find_odd_prices, read_prices
from infra.deploy.shape import Shape, read_shape


def describe_prices(root: Path, environment: str) -> str:
    """Return the bill of an environment as text.

    Raises:
        DeployError: It can't be told.
    """
    bill, mix, shape, warnings = _read(root, environment)
    return "\n".join([*_render(bill, mix, environment, shape.idle_window_s), *warnings])


def list_idle_rows(root: Path, environment: str) -> list[str]:
    """Return what is billed while every VM sleeps as rows of a Markdown table, for the documents.

    Raises:
        DeployError: It can't be told.
    """
    bill, _, _, _ = _read(root, environment)
    rows = [
        f"| {line.what} | {line.usd:.2f} | {'estimated' if line.price.estimated else 'dated'} |"
        for line in bill.idle
    ]
    return [*rows, f"| together | {sum(line.usd for line in bill.idle):.2f} | |"]


def _read(root: Path, environment: str) -> tuple[Bill, JobMix, Shape, list[str]]:
    prices, mix = read_prices(tomllib.loads((root / "infra" / "prices.toml").read_text("utf-8")))
    terraform = root / "infra" / "terraform"
    shape = read_shape(terraform / "environments" / environment, terraform / "modules")
    return draw_bill(shape, prices, mix), mix, shape, find_odd_prices(shape, prices)


def _render(bill: Bill, mix: JobMix, environment: str, idle_window_s: float) -> list[str]:
    return [
        f"{environment}, in USD. e: estimated; the others have a dated source (infra/prices.toml)",
        "",
        *_table("A month in which every VM sleeps", bill.idle),
        "",
        *_table("1,000 jobs more", bill.jobs),
        "",
        f"A job: {mix.work_s:g} s on the GPU; {mix.per_wake} jobs a wake, which costs "
        f"{mix.cold_start_s:g} s of cold start and {idle_window_s:g} s of idle tail. None of it "
        "is measured on Azure.",
    ]


def _table(title: str, lines: Sequence[Line]) -> list[str]:
    width = max(len(line.what) for line in lines)
    rows = [
        f"  {line.what:{width}}  {line.count:8.1f} x {line.price.usd:8.4g} a {line.price.per:5} "
        f"{'e' if line.price.estimated else ' '} {line.usd:9.2f}   {line.price.source}"
        + (f" ({line.price.date})" if line.price.date else "")
        for line in lines
    ]
    total = sum(line.usd for line in lines)
    return [title, *rows, f"  {'together':{width}}  {'':28} {total:9.2f}"]

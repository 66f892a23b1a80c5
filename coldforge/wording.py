"""Puts the server's answers into words for a terminal."""

import traceback
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coldforge.errors import ColdforgeError
from coldforge.models import JobStatus

_PACKAGE = Path(__file__).parent

WAITS = {
    "vm": "waiting for a GPU VM",
    "capacity": "no GPU free in the region, trying again",
    "slot": "waiting for its turn",
}
"""What a queued job may wait for, by the server's word."""


def describe(status: JobStatus) -> str:
    """Return one line: the state, the place in the queue, the state of the VM."""
    if status.state == "failed":
        error = status.error or {}
        stage = f" in {error['stage']}" if error.get("stage") else ""
        return f"failed{stage}: {error.get('message', 'no reason given')}"
    if status.is_over:
        return status.state
    parts = [_describe_work(status)]
    if status.queue_position is not None:
        parts.append(f"position {status.queue_position}")
    if status.waiting_for is not None:
        parts.append(WAITS.get(status.waiting_for, f"waiting for {status.waiting_for}"))
    if status.vm is not None:
        parts.append(f"VM {status.vm.get('name', '?')} {status.vm.get('phase', '')}".rstrip())
    return ", ".join(parts)


def describe_error(error: Exception) -> str:
    """Return an error's message; of a library's error, only its name.

    A library's message may contain what was being sent, keys included.
    """
    if isinstance(error, ColdforgeError):
        return error.message
    # Errors of requests are OSErrors too.
    if isinstance(error, OSError) and type(error).__module__ == "builtins":
        return str(error)
    return (
        f"This is a bug in coldforge ({type(error).__name__}{_place_of(error)}). Please report it."
    )


def make_readable(text: str) -> str:
    """Return a text, such as a file's name, so that any terminal and encoding can show it.

    Control characters, and bytes that are not characters, become U+FFFD.
    """
    return "".join(
        "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character
        for character in text
    )


def describe_seconds(seconds: float) -> str:
    """Return a duration in words, such as ``2 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def describe_model(status: JobStatus) -> str:
    """Return the figures of a finished model: faces, time, cost."""
    figures = status.raw.get("figures") or {}
    mesh = figures.get("mesh") or figures
    parts = []
    if mesh.get("faces"):
        parts.append(f"{mesh['faces']:,} faces")
    if "watertight" in mesh:
        parts.append("watertight" if mesh["watertight"] else "not watertight")
    timings = status.raw.get("timings") or {}
    if timings.get("ended_at") and timings.get("created_at"):
        parts.append(describe_seconds(timings["ended_at"] - timings["created_at"]))
    if status.cost_usd is not None:
        parts.append(f"USD {status.cost_usd:.4f}")
    return ", ".join(parts)


def notes_of(status: JobStatus) -> list[str]:
    """Return the sentences that say where a finished model falls short of what was asked for."""
    return [str(note) for note in (status.raw.get("figures") or {}).get("notes") or ()]


def describe_details(status: JobStatus) -> list[tuple[str, str]]:
    """Return the rows of ``coldforge status`` that are not empty."""
    left = status.estimated_seconds_left
    vm: Mapping[str, Any] = status.vm or {}
    rows = [
        ("job", status.id),
        ("state", describe(status)),
        ("left", "" if left is None else f"about {describe_seconds(left)}"),
        ("held", "its workflow is suspended" if status.suspended else ""),
        ("vm", str(vm.get("why") or "")),
        ("model", describe_model(status) if status.state == "succeeded" else ""),
        ("but", " ".join(notes_of(status))),
        ("files", ", ".join(status.artifacts)),
    ]
    return [(name, value) for name, value in rows if value]


def _place_of(error: Exception) -> str:
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    return f", {Path(own[-1].filename).name} line {own[-1].lineno}" if own else ""


def _describe_work(status: JobStatus) -> str:
    if status.state != "running" or status.stage is None:
        return status.state
    return status.stage if status.percent is None else f"{status.stage} {status.percent:.0f}%"

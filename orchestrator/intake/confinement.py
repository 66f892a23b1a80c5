"""Limits that a decoding process puts on itself before it reads a stranger's bytes.

What they can't hold (memory on macOS, time anywhere) the parent watches from outside.
"""

import math
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NICENESS = 5
"""A third of the share of a process at 0: the app goes first, and yet images are read on a machine
that is busy with something else."""
_MAX_OPEN_FILES = 64
_HAS_ADDRESS_LIMIT = sys.platform == "linux"
"""macOS has the limit and does not keep to it."""


def confine() -> None:
    """Give way to the parent, write no file, leave no core, be the first to go without memory."""
    os.nice(_NICENESS)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
    ):
        resource.setrlimit(limit, (value, value))
    if sys.platform == "linux":
        # Some containers refuse it; then the kernel chooses by itself.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def limit_cpu(seconds: float) -> None:
    """Let this process be ended by SIGXCPU once it has used so much more CPU, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit_s = math.ceil(used.ru_utime + used.ru_stime + seconds)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, hard))


@contextmanager
def limited_memory(allowance_bytes: int) -> Iterator[None]:
    """Have allocations fail beyond so many bytes on top of what is mapped already."""
    if not _HAS_ADDRESS_LIMIT:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_mapped_bytes() + allowance_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()

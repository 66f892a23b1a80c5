"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

PACKAGES = ("azure-functions-durable", "durabletask")


def describe_machine() -> dict[str, str | int | float]:
    """Describe processor, memory, system and the versions that matter."""
    load_1min, _, _ = os.getloadavg()
    return {
        "processor": _read_processor(),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_1min_before": round(load_1min, 2),
        **{name: version(name) for name in PACKAGES},
    }


def _read_processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

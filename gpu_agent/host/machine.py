"""What the machine says of itself: the time since it booted, and which boot this is."""

import subprocess
import sys
import time
from pathlib import Path

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_boot_clock() -> float:
    """Give seconds since boot, time asleep included where the system can tell.

    Nobody can set it, so a lease ends when it should even while the wall clock is corrected.
    """
    return time.clock_gettime(_BOOT_CLOCK)


def read_boot_id() -> str:
    """Give an identity that changes when the machine boots, and not before."""
    if _LINUX_BOOT_ID.exists():
        return _LINUX_BOOT_ID.read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
        return answer.stdout.strip()
    return str(round((time.time() - read_boot_clock()) / 60))

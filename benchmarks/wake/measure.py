"""Times wakes beside long-polls that hang on every slot of ten VMs or more, and beside none."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.wake.cloud import BUSY_VMS, HangingCloud


@dataclass(frozen=True, slots=True)
class Wakes:
    """Wakes of one VM each, one after another.

    Attributes:
        polls: Long-polls that hung at once when the first wake beside them began.
        polls_ended: Long-polls that ended during the wakes beside them; one lasts 25 s at most.
        quiet_s: Each wake while no job was there: from the call to ready.
        polled_s: Each wake while they hung.
    """

    polls: int
    polls_ended: int
    quiet_s: list[float]
    polled_s: list[float]


def measure_wakes(folder: Path, *, wakes: int) -> Wakes:
    """Bring a local cloud up, wake VMs on it and take it down.

    Half of the quiet wakes come first and half last, so that what grows meets both kinds alike.

    Args:
        folder: For its state and logs; empty.
        wakes: How many beside polls, and as many beside none; an even number.
    """
    half = wakes // 2
    with HangingCloud(folder, spare_vms=2 * wakes) as cloud:
        cloud.wake(BUSY_VMS)
        quiet_s = [cloud.wake(1) for _ in range(half)]
        cloud.fill()
        before = cloud.polls()
        polled_s = [cloud.wake(1) for _ in range(wakes)]
        polls_ended = cloud.polls()["ended"] - before["ended"]
        cloud.empty()
        quiet_s += [cloud.wake(1) for _ in range(wakes - half)]
    return Wakes(before["hanging"], polls_ended, quiet_s, polled_s)

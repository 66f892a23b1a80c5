"""What happened in a rehearsal, in order, for people."""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

KEPT = 4000
"""Lines kept: the whole of a hundred jobs."""


class Line(NamedTuple):
    """One line: `at` in virtual seconds, who, and what."""

    at: float
    who: str
    what: str

    def __str__(self) -> str:
        return f"{to_clock(self.at)}  {self.who:<12}  {self.what}"


def to_clock(at: float) -> str:
    """Write virtual seconds as ``hh:mm:ss.mmm``."""
    minutes, seconds = divmod(round(at, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02}:{minutes:02}:{seconds:06.3f}"


class Timeline:
    """Collects lines; the oldest go when there are too many.

    Args:
        clock: Gives the virtual time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: deque[Line] = deque(maxlen=KEPT)
        self._names: dict[str, str] = {}
        self.count = 0
        self.digest = 0

    @property
    def now(self) -> float:
        """The virtual time in seconds."""
        return self._clock()

    def call(self, job_id: str, name: str) -> None:
        """Give a job a short name, by which every line calls it."""
        self._names.setdefault(job_id, name)

    def name_of(self, job_id: str) -> str:
        """Give a job's short name, or its id."""
        return self._names.get(job_id, job_id)

    def note(self, who: str, what: str) -> None:
        """Add a line."""
        line = Line(self._clock(), self._names.get(who, who), what)
        self._lines.append(line)
        self.count += 1
        self.digest = hash_line(self.digest, line)

    def lines(self) -> list[str]:
        """Give the lines that are kept."""
        return [str(line) for line in self._lines]


def hash_line(digest: int, line: Line) -> int:
    """Fold a line into a digest that is the same in every process."""
    for byte in str(line).encode():
        digest = (digest * 1_000_003 ^ byte) & 0xFFFF_FFFF_FFFF_FFFF
    return digest

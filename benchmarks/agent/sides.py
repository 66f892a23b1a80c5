"""What both sides of the comparison can do."""

from dataclasses import dataclass
from typing import Protocol

import requests  # noqa: TID251 - calls both servers from outside, as any client does

from benchmarks.agent.process import ServerProcess
from benchmarks.agent.tasks import Task

JOB_LIMIT_S = 300.0
BURST_LIMIT_S = 300.0
"""A job of a burst that is not over by then counts as lost."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of one job.

    Attributes:
        task: What was asked.
        seconds: From the first request to the model in the client's hands.
        glb: The model, or empty.
        problem: Why there is none, or empty.
        refusals: How often the server said to come back later.
    """

    task: Task
    seconds: float
    glb: bytes
    problem: str = ""
    refusals: int = 0


class Side(Protocol):
    """A server, as its clients use it. Safe for many threads, each with its own session.

    Attributes:
        server: The process.
        address: Its host and port.
        live_path: Path of the cheapest answer that it has; asked for without a token.
    """

    server: ServerProcess
    address: str
    live_path: str

    def make(self, session: requests.Session, task: Task, *, is_burst: bool) -> Made:
        """Have one model made and wait for it.

        Args:
            session: The client's own.
            task: What to make.
            is_burst: Whether it is one of many that come at once.
        """
        ...


def open_session(token: str = "") -> requests.Session:
    """Give a client's session, which takes nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    if token:
        session.headers["Authorization"] = f"Bearer {token}"
    return session

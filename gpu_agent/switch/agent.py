"""The agent on this machine, as the switch speaks to it: over the wire, and to its unit."""

import math
import subprocess
from collections.abc import Sequence
from typing import Any

import requests  # noqa: TID251 - one of the two doors of a program without adapters

from gpu_agent.switch.decision import AgentSeen
from gpu_agent.switch.errors import AgentRefusalError, AgentSilentError, UnitError
from gpu_agent.wire import AgentStatus, DrainAnswer, DrainRequest, JobState

STOP_WITHIN_S = 120.0
"""How long the unit may take to stop, in seconds; systemd kills it after 90."""

_OVER = frozenset(state.value for state in JobState if state.is_over)


class LocalAgent:
    """The agent's wire.

    Args:
        url: The agent, without a path.
        token: Its bearer token.
        answer_s: Seconds within which it has to answer.
    """

    def __init__(self, url: str, *, token: str, answer_s: float) -> None:
        self._url = f"{url}/v1"
        self._answer_s = answer_s
        self._session = requests.Session()
        # Neither a proxy nor a .netrc may stand between two programs of one machine.
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {token}"

    def look(self) -> AgentSeen:
        """Ask the agent what it holds.

        Raises:
            AgentSilentError: No answer, or none that makes sense.
            AgentRefusalError: It refuses the token.
        """
        return read_status(self._call("GET", "/status"))

    def close_door(self, *, epoch: int, drain: int) -> bool:
        """Have the agent refuse everything until the next boot, if it holds nothing.

        Args:
            epoch: The agent's own.
            drain: A number never used before in this epoch; the agent repeats its answers.

        Returns:
            Whether it has; False when it holds a job or a lease by now.

        Raises:
            AgentSilentError: No answer, or none that makes sense; it may have closed.
            AgentRefusalError: It refuses the token.
        """
        asked = DrainRequest(epoch=epoch, drain=drain, final=True)
        body = self._call("POST", "/drain", json=asked.to_json())
        try:
            return DrainAnswer.from_json(body).drained is True
        except ValueError as error:
            raise AgentSilentError(f"the agent's answer is none: {error}") from error

    def _call(self, method: str, path: str, json: Any = None) -> Any:
        try:
            answer = self._session.request(
                method,
                self._url + path,
                json=json,
                timeout=self._answer_s,
                allow_redirects=False,
            )
            if answer.status_code in (401, 403):
                raise AgentRefusalError(f"the agent answers {answer.status_code}")
            if answer.status_code != 200:
                raise AgentSilentError(f"the agent answers {answer.status_code}")
            return answer.json()
        except (requests.RequestException, ValueError) as error:
            raise AgentSilentError(f"no answer from the agent ({type(error).__name__})") from error


def read_status(body: Any) -> AgentSeen:
    """Read an `AgentStatus`; a job in a state that is not known counts as held.

    Raises:
        AgentSilentError: It is none.
    """
    try:
        status = AgentStatus.from_json(body)
        jobs = tuple(str(job["job_id"]) for job in status.jobs if job["state"] not in _OVER)
        left_s = None if status.lease_left_s is None else float(status.lease_left_s)
        epoch = int(status.epoch)
    except (ValueError, TypeError, KeyError) as error:
        raise AgentSilentError(f"the agent's status is none: {error!r}") from error
    if left_s is not None and not (math.isfinite(left_s) and left_s >= 0):
        raise AgentSilentError("the agent's status is none: its lease is out of range")
    is_closed = status.phase == "closed"
    return AgentSeen(epoch=epoch, is_closed=is_closed, jobs=jobs, lease_left_s=left_s)


class AgentUnit:
    """What the system runs the agent as.

    Args:
        command: Program and arguments that stop it, so that nothing starts it again.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def stop(self) -> None:
        """Stop the agent, and wait until it has stopped.

        Raises:
            UnitError: It may still run.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
                self._command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=STOP_WITHIN_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnitError(f"{self._command[0]}: {error}") from error
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()[-500:]
            raise UnitError(f"{self._command[0]} ended with {done.returncode}: {words}")

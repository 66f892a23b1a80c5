"""One process of the local cloud: started, asked until it answers, and ended for sure."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_POLL_S = 0.05
_TAIL_LINES = 20
_TAIL_BYTES = 8_000


class ComponentError(RuntimeError):
    """A process did not come up, or went away: the message names it and shows its last words.

    Attributes:
        component: Its name.
        problem: What happened, as the end of a sentence that begins with the name.
    """

    def __init__(self, component: str, problem: str, log: Path) -> None:
        super().__init__(f"{component} {problem}; its log ({log}) ends:\n{read_tail(log)}")
        self.component = component
        self.problem = problem


@dataclass(slots=True, kw_only=True)
class Component:
    """A server process with a log file.

    Attributes:
        name: Said in errors.
        command: Program and arguments.
        environ: The whole environment of the process.
        cwd: Where it runs.
        log: File to which its output is appended.
        probe: Asks the server once; True when it answers. OSError means "not yet".
        ready_timeout_s: How long it may take to answer.
        stop_grace_s: Time between SIGTERM and SIGKILL.
    """

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    cwd: Path
    log: Path
    probe: Callable[[], bool]
    ready_timeout_s: float = 30.0
    stop_grace_s: float = 5.0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        return self._process.pid if self._process and self.is_running else None

    @property
    def is_running(self) -> bool:
        """Whether the process is alive; not whether it answers."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process without waiting for it; nothing happens if it runs."""
        if self.is_running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - commands of this package
                self.command,
                cwd=self.cwd,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the owner only, who then ends its components in order.
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait until the process answers.

        Raises:
            ComponentError: It ended, or did not answer in time.
        """
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            self.check()
            with contextlib.suppress(OSError):
                if self.probe():
                    return
            if time.monotonic() >= deadline:
                problem = f"did not answer within {self.ready_timeout_s:g} s"
                raise ComponentError(self.name, problem, self.log)
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Complain if the process has ended.

        Raises:
            ComponentError: It has.
        """
        if self._process is None:
            raise ComponentError(self.name, "was not started", self.log)
        if (code := self._process.poll()) is not None:
            raise ComponentError(self.name, f"ended with exit code {code}", self.log)

    def kill(self) -> None:
        """End the process and its group with SIGKILL, as a crash would; wait for it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            # Its group's id is its own, and can't be anybody else's before it is waited for.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask the process to end, without waiting."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Ask the process to end, wait for its grace, then make it end."""
        self.terminate()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.stop_grace_s)
        self.kill()


def read_tail(log: Path) -> str:
    """Read the last lines of a log, or say that there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode(errors="replace").strip()
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-_TAIL_LINES:]) or "(empty)"

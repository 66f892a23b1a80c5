"""Starts a component again when it ends by itself, on its old ports and data."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from localcloud.component import Component, ComponentError

logger = logging.getLogger(__name__)

_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """How often a component may end by itself.

    Attributes:
        restarts: So many restarts at most ...
        within_s: ... in so many seconds; one more and it is left alone.
    """

    restarts: int = 5
    within_s: float = 60.0

    def allows(self, restarted_at: Sequence[float], *, now: float) -> bool:
        """Tell whether one more restart is due.

        Args:
            restarted_at: When it was restarted so far, in seconds of any clock.
            now: The present on the same clock.
        """
        recent = [moment for moment in restarted_at if moment > now - self.within_s]
        return len(recent) < self.restarts


class Keeper:
    """A thread that watches one component; every restart is said in the component's log."""

    def __init__(self, component: Component, policy: RestartPolicy | None = None) -> None:
        """Watch nothing yet.

        Args:
            component: Started and stopped by its owner; restarted here.
            policy: How often.
        """
        self._component = component
        self._policy = policy or RestartPolicy()
        self._restarted_at: list[float] = []
        self._answered = 0
        self._given_up: ComponentError | None = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def restarts(self) -> int:
        """How often the component was started again and answered."""
        return self._answered

    def check(self) -> None:
        """Complain if the component was given up; one that is being restarted is fine.

        Raises:
            ComponentError: It ended too often, or did not come up again.
        """
        if self._given_up:
            raise self._given_up

    def begin(self) -> None:
        """Watch the component, which runs, until `end`."""
        self._over.clear()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Restart nothing from now on: the component may be ended."""
        with self._lock:
            self._over.set()

    def end(self) -> None:
        """Wait for the thread; to be called when the component has been released and ended."""
        self.release()
        if self._thread:
            self._thread.join()
            self._thread = None

    def _watch(self) -> None:
        while not self._over.wait(_POLL_S):
            try:
                self._component.check()
            except ComponentError as ended:
                if not self._restart(ended):
                    return

    def _restart(self, ended: ComponentError) -> bool:
        """Start the component again; False if that is over for good."""
        now = time.monotonic()
        if not self._policy.allows(self._restarted_at, now=now):
            self._given_up = ended
            self._say(f"{ended.problem}, once too often: it is not started again")
            return False
        with self._lock:
            if self._over.is_set():
                return False
            self._say(f"{ended.problem}: it is started again, on the same ports and data")
            self._restarted_at.append(now)
            self._component.start()
        try:
            self._component.wait_until_ready()
        except ComponentError as failure:
            if self._component.is_running:
                self._given_up = failure
                self._say(f"{failure.problem}: it is given up")
            # One that ended again is found so in the next round.
            return not self._component.is_running
        self._answered += 1
        return True

    def _say(self, text: str) -> None:
        line = f"localcloud: {self._component.name} {text}"
        logger.warning("%s", line)
        with self._component.log.open("a") as log:
            log.write(f"{line}\n")

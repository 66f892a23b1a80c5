"""The one copy of what the agent remembers, behind one lock, saved before anything is promised.

That a job has begun, its stages and its end may be lost with the power, not with the process;
percents live in memory only, for an end of the process ends the job anyway.
"""

import logging
import threading
from collections.abc import Callable

from gpu_agent.errors import JobStoreError
from gpu_agent.jobs import agent_state
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job_store import JobStore, restart_ages

logger = logging.getLogger(__name__)

Watcher = Callable[[AgentState, AgentState], None]
"""Called with the state that was and the one that is, under the lock."""


class SharedState:
    """Holds the state for those who decide about it. Every method but `__init__` needs the lock.

    Args:
        store: Owned by this object from here on.
        clock: Seconds on the boot clock.
        condition: Makes what threads wait on.

    Attributes:
        lock: Around every decision. Re-entrant.
        changed: Notified when a job has come, begun or ended, the door was closed or opened, or
            the agent is about to end.
        now: The state.
        is_ending: Whether the process is about to end. Final.
        drained_before: Epoch that the last process was drained in, or None.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        clock: Callable[[], float],
        condition: Callable[[threading.RLock], threading.Condition],
    ) -> None:
        self.lock = threading.RLock()
        self.changed = condition(self.lock)
        self.clock = clock
        self.now = AgentState()
        self.is_ending = False
        self._store = store
        self._watchers: list[Watcher] = []
        with self.lock:
            moment = clock()
            found = restart_ages(store.load(), moment)
            self.drained_before = found.epoch if found.is_drained else None
            self.change(agent_state.forget(agent_state.recall(found, moment), moment))

    def watch(self, watcher: Watcher) -> None:
        """Have a function called at every change."""
        self._watchers.append(watcher)

    def change(self, state: AgentState) -> None:
        """Save, then adopt: if the disk refuses, nothing has happened.

        Raises:
            JobStoreError: The disk refuses.
        """
        self._store.save(state, is_durable=True)
        self._adopt(state)

    def change_quietly(self, state: AgentState) -> None:
        """Adopt, and save if the disk lets us: what has happened has happened."""
        if state is not self.now:
            self.save_quietly(state)
            self._adopt(state)

    def save_quietly(self, state: AgentState) -> None:
        """Save if the disk lets us; the next save writes what this one could not."""
        try:
            self._store.save(state, is_durable=False)
        except JobStoreError:
            logger.exception("the ledger could not be written")

    def show(self, state: AgentState) -> None:
        """Adopt what only those care for who follow a job: its progress."""
        was, self.now = self.now, state
        for watcher in self._watchers:
            watcher(was, state)

    def hear_epoch(self, epoch: int) -> None:
        """Adopt a newer wake period.

        Raises:
            JobStoreError: The disk refuses.
        """
        heard = agent_state.hear_epoch(self.now, epoch, self.clock())
        if heard is not self.now:
            logger.info("epoch heard", extra={"epoch": epoch, "was": self.now.epoch})
            self.change(heard)

    def close(self) -> None:
        """Let go of the store, once nothing else needs it."""
        self._store.close()

    def _adopt(self, state: AgentState) -> None:
        self.show(state)
        self.changed.notify_all()

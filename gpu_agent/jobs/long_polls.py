"""Requests that wait for news of a job."""

import threading
from collections.abc import Callable
from weakref import WeakValueDictionary

from gpu_agent.jobs import agent_state
from gpu_agent.jobs import job as steps
from gpu_agent.jobs.agent_state import AgentState
from gpu_agent.jobs.job import JobKey
from gpu_agent.jobs.shared_state import SharedState
from gpu_agent.wire import JobView


class LongPolls:
    """Lets callers follow a job. Safe for many threads.

    Args:
        shared: The agent's state.
        condition: Makes what a caller waits on.
    """

    def __init__(
        self,
        shared: SharedState,
        condition: Callable[[threading.RLock], threading.Condition],
    ) -> None:
        self._shared = shared
        self._condition = condition
        # Where those wait who follow a job; gone with the last of them. Apart from `changed`:
        # jobs make progress many times a second, and every waiter that is woken costs.
        self._news: WeakValueDictionary[JobKey, threading.Condition] = WeakValueDictionary()
        shared.watch(self._wake_followers)

    def follow(self, key: JobKey, *, after: int, wait_s: float) -> JobView:
        """Give a job, when there is news of it or the wait is over.

        Args:
            key: Which run.
            after: The `seq` that the asker has seen; 0 for none.
            wait_s: Longest wait in seconds; 0 answers at once.

        Raises:
            UnknownJobError: Neither held nor remembered.
        """
        shared = self._shared
        with shared.lock:
            job = agent_state.find(shared.now, key)
            news = self._news.get(key) or self._condition(shared.lock)
            self._news[key] = news
            began_at, percent_then = shared.clock(), job.percent
            while not shared.is_ending:
                waited_s = shared.clock() - began_at
                is_news = steps.is_news(
                    job, after=after, percent_then=percent_then, waited_s=waited_s
                )
                if is_news or waited_s >= wait_s:
                    break
                marks = [m for m in (steps.NEWS_AFTER_S, wait_s) if waited_s < m <= wait_s]
                news.wait(min(marks) - waited_s)
                job = agent_state.find(shared.now, key)
            return job.view()

    def wake_all(self) -> None:
        """Answer every caller that waits. Needs the lock."""
        for news in list(self._news.values()):
            news.notify_all()

    def _wake_followers(self, was: AgentState, state: AgentState) -> None:
        for key, news in list(self._news.items()):
            if state.jobs.get(key) is not was.jobs.get(key):
                news.notify_all()

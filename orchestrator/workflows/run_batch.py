"""Many images, one call: fan out, fan in; one image that fails never fails the others.

Images are prepared in waves of `AT_ONCE`. The jobs of a wave start together with the next wave,
because the host replays the actions in the order of the yields: what a yield adds is started only
when one of the tasks that the yield before it added has ended. Between two waves all activities
are over, so that no job under way holds up the next image.
"""

from collections import deque
from collections.abc import Generator
from datetime import datetime, timedelta
from typing import Any

from orchestrator.domain.names import Activity, Workflow

AT_ONCE = 4
"""Intake decodes two images at a time, and two more are fetched meanwhile; four of the largest
files are within what it holds."""
FIRST_PAUSE = timedelta(seconds=2)
LONGEST_PAUSE = timedelta(minutes=1)
PATIENCE = timedelta(hours=1)
"""How long an image waits for intake to have room, or for storage to answer."""

Item = dict[str, Any]


def run_batch(context: Any) -> Generator[Any, Any, Any]:
    """Prepare every image, run its job as a sub-orchestration, gather what became of each.

    Input: ``{id, items: [{number, job_id}]}``. Batches of older versions also have
    ``{number, job_id, order}``, whose image was prepared before, and ``{number, error}``, which
    was refused when the batch was posted. Output: ``{id, succeeded, failed, items}`` in the order
    of the input.
    """
    return (yield from _Run(context).run())


class _Run:
    """One run of the workflow; holds nothing that a replay does not rebuild."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._batch: dict[str, Any] = context.get_input()
        self._results: dict[int, Item] = {}
        self._jobs: dict[Any, Item] = {}
        self._wave: dict[Any, Item | None] = {}
        self._waiting: deque[Item] = deque()
        self._prepared: list[tuple[Item, Any]] = []
        self._unprepared_since: dict[int, datetime] = {}
        self._pause = FIRST_PAUSE
        self._is_pause_due = False
        for item in self._batch["items"]:
            if "error" in item:
                self._results[item["number"]] = {**item, "state": "failed"}
            elif "order" in item:
                self._prepared.append((item, item["order"]))
            else:
                self._waiting.append(item)

    def run(self) -> Generator[Any, Any, Any]:
        """Run the batch to its end."""
        while True:
            if not self._wave:
                self._start_prepared()
                self._begin_wave()
            self._show()
            tasks = [*self._jobs, *self._wave]
            if not tasks:
                return self._output()
            task = yield self._context.task_any(tasks)
            if task in self._jobs:
                item = self._jobs.pop(task)
                self._results[item["number"]] = _result(item, task.result)
            else:
                prepared = self._wave.pop(task)
                if prepared is not None:
                    self._hear(prepared, task.result)

    def _start_prepared(self) -> None:
        for item, order in self._prepared:
            task = self._context.call_sub_orchestrator(
                Workflow.RUN_JOB, order, instance_id=item["job_id"]
            )
            self._jobs[task] = item
        self._prepared.clear()

    def _begin_wave(self) -> None:
        """Ask for the next images, or pause if some of the last ones could not be prepared."""
        if not self._waiting:
            return
        now = self._context.current_utc_datetime
        if self._is_pause_due:
            self._is_pause_due = False
            self._wave[self._context.create_timer(now + self._pause)] = None
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return
        for _ in range(min(AT_ONCE, len(self._waiting))):
            item = self._waiting.popleft()
            order = {
                "batch_id": self._batch["id"],
                "number": item["number"],
                "is_last": self._is_last(item, now),
            }
            self._wave[self._context.call_activity(Activity.PREPARE_IMAGE, order)] = item

    def _hear(self, item: Item, answer: Any) -> None:
        """Take what `prepare_image` answered; it raises only when storage did not answer."""
        is_failure = isinstance(answer, Exception)
        now = self._context.current_utc_datetime
        if is_failure or answer["outcome"] == "busy":
            if is_failure and self._is_last(item, now):
                self._results[item["number"]] = _result(item, answer)
                return
            self._unprepared_since.setdefault(item["number"], now)
            self._waiting.append(item)
            self._is_pause_due = True
            return
        if not self._is_pause_due:
            self._pause = FIRST_PAUSE
        if answer["outcome"] == "stored":
            self._prepared.append((item, answer["order"]))
            return
        self._results[item["number"]] = {
            "number": item["number"],
            "job_id": item["job_id"],
            "state": answer.get("state", "failed"),
            "artifacts": answer.get("artifacts", []),
            "error": answer["error"],
        }

    def _is_last(self, item: Item, now: datetime) -> bool:
        since = self._unprepared_since.get(item["number"])
        return since is not None and now - since >= PATIENCE

    def _show(self) -> None:
        states = [result["state"] for result in self._results.values()]
        self._context.set_custom_status(
            {
                "state": "running" if len(states) < len(self._batch["items"]) else "over",
                "total": len(self._batch["items"]),
                "succeeded": states.count("succeeded"),
                "failed": len(states) - states.count("succeeded"),
            }
        )

    def _output(self) -> dict[str, Any]:
        items = [self._results[number] for number in sorted(self._results)]
        succeeded = sum(item["state"] == "succeeded" for item in items)
        return {
            "id": self._batch["id"],
            "succeeded": succeeded,
            "failed": len(items) - succeeded,
            "items": items,
        }


def _result(item: Item, result: Any) -> Item:
    base = {"number": item["number"], "job_id": item["job_id"]}
    if isinstance(result, Exception):
        return {**base, "state": "failed"}
    return {**base, "state": result["state"], "artifacts": result.get("artifacts", [])}

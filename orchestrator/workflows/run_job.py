"""The workflow of one job.

1. Ask the pool for a slot; wait for the offer, asking again when the wait times out.
2. Hand the job to the agent; follow it, mirroring its stage into customStatus.
3. Agent or VM lost: give the attempt up, look for a finished model, try again with the next fence.
4. Release the slot and write the end into the job's row, both in one activity; only then fail.

Only runs that really began count against `MAX_CHARGED`; all tries count against `MAX_TRIES`.
"""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from orchestrator.domain.fence import fence_of
from orchestrator.domain.job import error_of
from orchestrator.domain.names import Activity, slot_event
from orchestrator.domain.pool.commands import Acquire, Enqueue, command_to_json
from orchestrator.workflows.call_with_retry import call_with_retry

Steps = Generator[Any, Any, Any]

MAX_TRIES = 8
MAX_CHARGED = 3
FIRST_ASK = timedelta(seconds=30)
LONGEST_ASK = timedelta(minutes=10)
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(seconds=30)
UNREACHABLE_PAUSE = timedelta(seconds=2)
FIRST_QUIET_S = 2.0
LONGEST_QUIET_S = 25.0


class JobFailedError(Exception):
    """The job failed for good; the instance ends as Failed with this text."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """How an attempt ended.

    Attributes:
        manifest: The finished model's, or None.
        error: Why there is none.
        is_final: Whether another attempt would end the same way.
        is_charged: Whether the attempt really ran.
    """

    manifest: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    is_final: bool = False
    is_charged: bool = False
    vm_unreachable: bool = False
    is_cancelled: bool = False


def run_job(context: Any) -> Steps:
    """Run one job to its end.

    Input: ``{id, options, priority, start_within_s, job_timeout_s, unreachable_s}``. Output: see
    `domain.job.output_of`.
    """
    order: dict[str, Any] = context.get_input()
    run = _Run(context, order)
    ended = yield from run.attempts()
    if ended.is_cancelled:
        return {"id": order["id"], "state": "cancelled"}
    output = yield from run.finish(ended)
    if ended.manifest is None:
        _fail(ended.error)
    return output


def _fail(error: dict[str, Any]) -> NoReturn:
    raise JobFailedError(f"{error['code']}: {error['message']}")


class _Run:
    """One run of the workflow; holds nothing that a replay does not rebuild."""

    def __init__(self, context: Any, order: dict[str, Any]) -> None:
        self._context = context
        self._order = order
        self._began_at: datetime = context.current_utc_datetime
        self._fence = 0
        self._vm: dict[str, Any] | None = None
        self._stage: str | None = None

    def attempts(self) -> Steps:
        """Try until an attempt ends for good."""
        charged = 0
        ended = _Ended()
        for attempt in range(1, MAX_TRIES + 1):
            self._fence = fence_of(int(self._began_at.timestamp() * 1000), attempt)
            self._vm, self._stage = None, None
            ended = yield from self._attempt()
            if ended.manifest is not None or ended.is_final or ended.is_cancelled:
                return ended
            found = yield from self._call(
                Activity.RECOVER_JOB, {"vm_unreachable": ended.vm_unreachable}
            )
            if found["manifest"] is not None:
                return _Ended(manifest=found["manifest"])
            charged += ended.is_charged
            if charged >= MAX_CHARGED:
                return ended
            if not ended.is_charged and attempt < MAX_TRIES:
                yield from self._pause(attempt)
        return ended

    def finish(self, ended: _Ended) -> Steps:
        """Release, write down, and show the end."""
        state = "failed" if ended.manifest is None else "succeeded"
        output = yield from self._call(
            Activity.FINISH_JOB,
            {
                "vm": self._vm["vm"] if self._vm else None,
                "state": state,
                "manifest": ended.manifest,
                "error": ended.error,
            },
        )
        percent = 0 if ended.manifest is None else 100
        self._show(state, percent=percent, error=ended.error)
        return output

    def _attempt(self) -> Steps:
        slot = yield from self._wait_for_slot()
        if slot["answer"] == "cancelled":
            return _Ended(is_cancelled=True)
        if slot["answer"] == "late":
            return _Ended(
                error=error_of(
                    "not_started_in_time",
                    f"No GPU could be had within {self._start_within_s():.0f} s.",
                    retryable=True,
                ),
                is_final=True,
            )
        if slot["answer"] == "over":
            return _Ended(error=error_of("attempt_ended", "The slot's time was over."))
        self._vm = slot
        self._show("running", percent=0)
        accepted = yield from self._submit(slot)
        if accepted["outcome"] != "accepted":
            return _Ended(
                error=error_of(
                    "agent_refused",
                    f"The agent did not take the job: {accepted.get('code', 'no answer')}.",
                    retryable=True,
                ),
                vm_unreachable=accepted["outcome"] == "unreachable",
            )
        return (yield from self._follow(slot, accepted))

    def _wait_for_slot(self) -> Steps:
        """Ask, wait for the offer or the time to ask again, ask."""
        context = self._context
        deadline = self._began_at + timedelta(seconds=self._start_within_s())
        round_number = 1
        ask_every = FIRST_ASK
        reply = yield from self._ask(Enqueue, round_number)
        while reply["answer"] == "wait":
            self._show("queued", percent=0, place=reply)
            due = min(context.current_utc_datetime + ask_every, deadline)
            offered = context.wait_for_external_event(slot_event(self._fence, round_number))
            timer = context.create_timer(due)
            winner = yield context.task_any([offered, timer])
            if winner == offered:
                timer.cancel()
            elif context.current_utc_datetime >= deadline:
                return {"answer": "late"}
            round_number += 1
            ask_every = min(ask_every * 2, LONGEST_ASK)
            reply = yield from self._ask(Acquire, round_number)
        return reply

    def _ask(self, kind: type[Enqueue], round_number: int) -> Steps:
        command = kind(
            job_id=self._order["id"],
            fence=self._fence,
            round=round_number,
            priority=self._order["priority"],
        )
        return call_with_retry(
            self._context, Activity.APPLY_POOL_COMMAND, command_to_json(command)
        )

    def _submit(self, slot: dict[str, Any]) -> Steps:
        """Hand the job over; an agent that is silent, or sets up again, gets a minute."""
        submission = {
            "vm": slot["vm"],
            "epoch": slot["epoch"],
            "options": self._order["options"],
            "timeout_s": self._order["job_timeout_s"],
        }
        give_up_at = self._context.current_utc_datetime + self._unreachable_limit()
        while True:
            answer = yield from self._call(Activity.SUBMIT_JOB, submission)
            if answer["outcome"] not in ("unreachable", "not_ready"):
                return answer
            if self._context.current_utc_datetime >= give_up_at:
                return answer
            yield self._context.create_timer(
                self._context.current_utc_datetime + UNREACHABLE_PAUSE
            )

    def _follow(self, slot: dict[str, Any], accepted: dict[str, Any]) -> Steps:
        """Follow the job to its end on the agent.

        Each look costs four history events. With the quiet time doubling, stages that are short
        share a look and long ones keep theirs, and a job stays within 35 events and 4 for each
        25 s of its run however its stages fall.
        """
        context = self._context
        after, self._stage = accepted["seq"], accepted["stage"]
        quiet_s = FIRST_QUIET_S
        job_deadline = context.current_utc_datetime + timedelta(
            seconds=self._order["job_timeout_s"]
        )
        give_up_at: datetime | None = None
        while True:
            answer = yield from self._call(
                Activity.FOLLOW_JOB,
                {"vm": slot["vm"], "after": after, "stage": self._stage, "quiet_s": quiet_s},
            )
            if answer["outcome"] == "unknown":
                return _Ended(
                    error=error_of(
                        "job_lost", "The GPU VM lost the job.", retryable=True, stage=self._stage
                    ),
                    is_charged=self._stage is not None,
                )
            if answer["outcome"] == "unreachable":
                give_up_at = give_up_at or context.current_utc_datetime + self._unreachable_limit()
                if context.current_utc_datetime >= give_up_at:
                    return _Ended(
                        error=error_of(
                            "vm_lost",
                            "The GPU VM stopped answering.",
                            retryable=True,
                            stage=self._stage,
                        ),
                        is_charged=True,
                        vm_unreachable=True,
                    )
                yield context.create_timer(context.current_utc_datetime + UNREACHABLE_PAUSE)
                continue
            give_up_at = None
            quiet_s = min(2 * quiet_s, LONGEST_QUIET_S)
            view = answer["view"]
            after, self._stage = view["seq"], view["stage"]
            if view["state"] not in ("queued", "running"):
                return _ended_by(view)
            if context.current_utc_datetime >= job_deadline:
                yield from self._call(Activity.STOP_JOB, {"vm": slot["vm"]})
                return _Ended(
                    error=error_of(
                        "job_timed_out",
                        f"The job ran longer than {self._order['job_timeout_s']:.0f} s.",
                        stage=self._stage,
                    ),
                    is_final=True,
                )
            # An agent of before tells nothing of it.
            self._show("running", percent=view["percent"], seconds_left=view.get("seconds_left"))

    def _call(self, activity: Activity, values: dict[str, Any]) -> Steps:
        return call_with_retry(
            self._context, activity, {"job_id": self._order["id"], "fence": self._fence, **values}
        )

    def _pause(self, attempt: int) -> Steps:
        pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
        yield self._context.create_timer(self._context.current_utc_datetime + pause)

    def _start_within_s(self) -> float:
        return float(self._order["start_within_s"])

    def _unreachable_limit(self) -> timedelta:
        return timedelta(seconds=self._order["unreachable_s"])

    def _show(
        self,
        state: str,
        *,
        percent: int,
        place: dict[str, Any] | None = None,
        seconds_left: float | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        """Set customStatus: enough for a backend that polls nothing but the instance."""
        vm = place["vm"] if place else {"name": self._vm["vm"]} if self._vm else None
        self._context.set_custom_status(
            {
                "state": state,
                "stage": self._stage,
                "percent": percent,
                "queue_position": place["position"] if place else None,
                "waiting_for": place["waiting_for"] if place else None,
                "vm": vm,
                "estimated_seconds_left": (
                    place.get("estimated_seconds_left") if place else seconds_left
                ),
                "error": error,
            }
        )


def _ended_by(view: dict[str, Any]) -> _Ended:
    """Read the end of an attempt out of the agent's view."""
    if view["state"] == "succeeded":
        return _Ended(manifest=view["manifest"], is_charged=True)
    if view["state"] == "failed":
        error = view["error"] or error_of("engine_failed", "The engine failed.")
        return _Ended(error=error, is_final=not error.get("retryable"), is_charged=True)
    # Interrupted: the agent's process ended under it. Cancelled: a newer epoch or fence was heard.
    return _Ended(
        error=error_of(
            "job_interrupted",
            "The agent was restarted under the job.",
            retryable=True,
            stage=view["stage"],
        ),
        is_charged=view["state"] == "interrupted",
    )

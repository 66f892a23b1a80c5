"""Record the stored histories anew: ``python -m tests.histories.record``, about three minutes.

A local cloud goes through the lives that a workflow can lead; every execution is written to
``recorded/`` with what its code did. Record after a decision to let running instances go, or to
add a life; never to make a failing replay pass.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from PIL import Image, ImageOps
from skimage import data

from localcloud.blueprint import ROOT
from localcloud.functions_host.actions import OrchestratorAnswer, parse_answer, parse_failure
from localcloud.functions_host.events import EventType
from localcloud.stack import LocalVm, Stack
from tests.e2e.conftest import QUICK, Cloud, encode
from tests.histories.recording import FOLDER, Recording, cut, tell

STAGE_S = "0.5"
SLOW_POLLS = {"WAKE_POLL_S": "1.5", "READY_POLL_S": "1.5", "LOOK_AWAKE_S": "20"}
"""So that histories stay short, and a `look` comes before the timer."""
RUNNING = ("shape", "texture", "finish")
OLD_LIVES = frozenset({"run_batch-one_refused"})
"""Begun by older versions in a way that this one no longer begins any; they can't be had again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a workflow's code."""

    workflow: str
    body: dict
    answer: OrchestratorAnswer


@dataclass(frozen=True, slots=True)
class Execution:
    """All calls of one execution of an instance, the first one first."""

    calls: list[Call]

    @property
    def workflow(self) -> str:
        return self.calls[0].workflow

    @property
    def instance_id(self) -> str:
        return self.calls[0].body["instanceId"]

    @property
    def events(self) -> set[int]:
        return {event["EventType"] for event in self.calls[-1].body["history"]}

    @property
    def outcome(self) -> str | None:
        output = self.calls[-1].answer.output
        return output.get("outcome") if isinstance(output, dict) else None

    def record(self, name: str) -> None:
        """Save it, once it is sure that the episodes can be had from the last history."""
        last = dict(self.calls[-1].body)
        history = last.pop("history")
        if [call.body["history"] for call in self.calls] != list(cut(history)):
            raise AssertionError(f"{name}: its episodes differ from its history")
        Recording(
            name=name,
            workflow=self.workflow,
            context=last,
            history=history,
            answers=[tell(call.answer) for call in self.calls],
        ).save()
        sys.stdout.write(f"{name}: {len(self.calls)} episodes, {len(history)} events\n")


class Lives:
    """A local cloud that remembers every call of a workflow."""

    def __init__(self, cloud: Cloud, log: Path) -> None:
        self.cloud = cloud
        self._log = log

    def executions(self, workflow: str) -> list[Execution]:
        """Give the executions of a workflow, in the order of their beginnings."""
        found: dict[tuple[str, str], list[Call]] = {}
        for line in self._log.read_text().splitlines():
            note = json.loads(line)
            if note["workflow"] != workflow:
                continue
            answer = (
                parse_failure(note["failure"])
                if "failure" in note
                else parse_answer(note["answer"])
            )
            body = json.loads(note["context"])
            started = body["history"][1]["OrchestrationInstance"]
            key = (started["InstanceId"], started["ExecutionId"])
            found.setdefault(key, []).append(Call(workflow, body, answer))
        return [Execution(calls) for calls in found.values()]

    def job(self, job_id: str) -> Execution:
        """Give the run of a job."""
        return next(e for e in self.executions("run_job") if e.instance_id == job_id)

    def first(self, workflow: str, wanted) -> Execution:
        """Give the first execution of a kind."""
        return next(e for e in self.executions(workflow) if wanted(e))


@contextmanager
def lives(name: str, **settings: str) -> Iterator[Lives]:
    """Bring up a local cloud that records."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / f"{name}.jsonl"
        stack = Stack(
            ROOT,
            Path(folder) / "cloud",
            vms=[
                LocalVm(
                    boot_s=0.5,
                    deallocate_s=0.5,
                    restart_agent_after_s=0.5,
                    agent_environ={"GPU_AGENT_STAGE_MIN_S": STAGE_S},
                )
            ],
            app_environ={**QUICK, **SLOW_POLLS, **settings, "HISTORIES_LOG": str(log)},
            host_command=[sys.executable, "-m", "tests.histories.recording_host"],
        )
        with stack:
            yield Lives(Cloud(stack), log)


def record_good_days(photo: bytes) -> None:
    """Jobs that end as they should, and the VM's day around them."""
    with lives("good", IDLE_WINDOW_S="4") as run:
        cloud = run.cloud
        woken = cloud.post(photo)
        cloud.wait_for_stage(woken, *RUNNING)
        warm = cloud.post(photo)
        for job_id in (woken, warm):
            cloud.wait_for_job(job_id)
        cancelled = cloud.post(photo)
        cloud.wait_for_stage(cancelled, *RUNNING)
        requests.delete(f"{cloud.api}/jobs/{cancelled}", timeout=30).raise_for_status()
        batch = record_batch(cloud, photo)
        cloud.wait_until_off()

        run.job(woken).record("run_job-woken")
        run.job(warm).record("run_job-warm")
        run.job(cancelled).record("run_job-cancelled")
        run.first("run_batch", lambda e: e.instance_id == batch).record("run_batch-images")
        run.first("wake_vm", lambda e: e.outcome == "ready").record("wake_vm-ready")
        run.first("retire_vm", lambda e: e.outcome == "deallocated").record("retire_vm-idle")
        fired, raised = EventType.TIMER_FIRED, EventType.EVENT_RAISED
        run.first("reconcile_pool", lambda e: fired in e.events).record("reconcile_pool-by_timer")
        run.first("reconcile_pool", lambda e: raised in e.events).record("reconcile_pool-by_look")


def record_batch(cloud: Cloud, photo: bytes) -> str:
    """Run a batch of two photos and something that is none; gives its id."""
    files = [
        ("image", ("a.jpg", photo)),
        ("image", ("b.jpg", b"none")),
        ("image", ("c.jpg", photo)),
    ]
    answer = requests.post(f"{cloud.api}/batches", files=files, timeout=60)
    answer.raise_for_status()
    url = answer.json()["status_url"]
    cloud.wait_for(lambda: requests.get(url, timeout=30).json()["state"] == "over")
    return answer.json()["id"]


def record_bad_days(photo: bytes) -> None:
    """Agents that die, VMs that can't be had, jobs that fail."""
    with lives("bad", IDLE_WINDOW_S="600") as run:
        cloud = run.cloud
        cloud.stack.fault("no_capacity")
        late = cloud.post(photo, start_within_s="2")
        cloud.wait_for_job(late)
        cloud.stack.clear_faults()

        cloud.stack.fault("throttled", count=1, requests="write", retry_after_s=1)
        # Not of one colour, which would be refused at the door, but without a subject.
        faint = Image.linear_gradient("L").point(lambda level: level // 32)
        blank = cloud.post(encode(ImageOps.invert(faint.convert("RGB")), "PNG"))
        cloud.wait_for_job(blank, timeout_s=120)
        interrupted = cloud.post(photo)
        cloud.wait_for_stage(interrupted, *RUNNING)
        cloud.stack.kill_agent("gpu-0")
        cloud.wait_for_job(interrupted)
        lost = cloud.post(photo)
        cloud.wait_for_stage(lost, *RUNNING)
        cloud.stack.kill_agent("gpu-0", stays_dead=True)
        cloud.wait_for_job(lost)

        run.job(late).record("run_job-late")
        run.job(blank).record("run_job-failed")
        run.job(interrupted).record("run_job-agent_restarted")
        run.job(lost).record("run_job-vm_lost")
        run.first("wake_vm", lambda e: e.outcome == "failed").record("wake_vm-no_capacity")
        run.first("wake_vm", lambda e: e.outcome == "ready").record("wake_vm-throttled")
        run.first("retire_vm", lambda e: e.outcome == "deallocated").record("retire_vm-lost")


def main() -> None:
    """Record all of it."""
    photo = encode(Image.fromarray(data.coffee()), "JPEG")
    for path in FOLDER.glob("*.json"):
        if path.stem not in OLD_LIVES:
            path.unlink()
    record_good_days(photo)
    record_bad_days(photo)


if __name__ == "__main__":
    main()

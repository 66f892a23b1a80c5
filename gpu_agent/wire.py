"""The JSON that the control plane and the agent speak, prefix ``/v1``.

Every route but ``/v1/live`` asks for ``Authorization: Bearer <token>``. Errors are
``application/problem+json`` with a stable ``code`` (see ``Code``). Standard library only: the
function app imports this module and nothing else of the agent.

==========================================  ================================================
``PUT /v1/jobs/{id}/{fence}``               body `Submission`; 201 new, 200 joined: `JobView`
``GET /v1/jobs/{id}/{fence}``               ``?after={seq}&wait_s=25`` long-poll: `JobView`
``DELETE /v1/jobs/{id}/{fence}``            cancel; 200 `JobView`, also for an unknown key
``GET /v1/live``                            200 while the process answers
``GET /v1/ready``                           200 or 503: `Readiness`
``GET /v1/status``                          200: `AgentStatus`
``PUT /v1/lease``                           body `LeaseRequest`; 200: `AgentStatus`
``POST /v1/drain``                          body `DrainRequest`; 200: `DrainAnswer`
``GET /v1/metrics``                         Prometheus text
==========================================  ================================================

A job's key is ``(job_id, fence)``. The fence is an integer that only grows for one job id (start
of its workflow in milliseconds, then the attempt), so the higher fence is always the newer one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

MAX_WAIT_S = 25.0
"""Longest long-poll, in seconds."""


class Stage(StrEnum):
    """What an agent does to a job, in this order."""

    FETCH = "fetch"
    BACKGROUND = "background"
    SHAPE = "shape"
    TEXTURE = "texture"
    FINISH = "finish"
    EXPORT = "export"
    UPLOAD = "upload"


class JobState(StrEnum):
    """State of a job on an agent."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """It ran when the agent's process ended; nothing of it goes on. Run it again."""

    @property
    def is_over(self) -> bool:
        """Whether the state can no longer change."""
        return self in _OVER


_OVER = frozenset(JobState) - {JobState.QUEUED, JobState.RUNNING}


class Code(StrEnum):
    """Codes of the agent's error answers."""

    INVALID_REQUEST = "invalid_request"  # 400
    UNAUTHORIZED = "unauthorized"  # 401
    UNKNOWN_JOB = "unknown_job"  # 404
    DRAINING = "draining"  # 409: no new job until a newer epoch is heard
    CLOSED = "closed"  # 409: no new job until the next boot
    STALE_EPOCH = "stale_epoch"  # 409: the agent has heard a newer epoch
    STALE_FENCE = "stale_fence"  # 409: the agent holds or remembers a newer fence of this job
    NOT_READY = "not_ready"  # 409: still setting up; ask /v1/ready
    FULL = "full"  # 429 with Retry-After
    INTERNAL = "internal"  # 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A JSON object; keys that a receiver does not know are ignored, so fields can be added."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build from decoded JSON.

        Raises:
            ValueError: It is no object, or a required field is absent.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"{cls.__name__}: expected a JSON object")  # noqa: TRY004
        known = {f.name for f in fields(cls)}
        try:
            return cls(**{key: value for key, value in data.items() if key in known})
        except TypeError as error:
            raise ValueError(f"{cls.__name__}: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission(_Message):
    """Ask for a job to be run.

    Attributes:
        epoch: The VM's wake period that the sender believes in.
        input_path: Normalised input image, ``jobs/{id}/input.png`` (container, then blob).
        output_prefix: Folder of the artifacts, ``jobs/{id}/{fence}/``.
        manifest_path: Where the manifest goes; the first one written wins.
        options: Engine options, already checked by the control plane.
        timeout_s: Seconds the run may take on the agent.
    """

    epoch: int
    input_path: str
    output_prefix: str
    manifest_path: str
    options: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView(_Message):
    """A job as its agent sees it.

    Attributes:
        seq: Grows by one at every change; give it back as ``after`` to wait for the next one.
        stage: The `Stage` under way or last reached, or None before the first.
        percent: 0 to 100 over the whole job, never falling.
        error: ``{code, message, retryable, stage}`` when failed, else None.
        manifest: The manifest's content when succeeded, else None.
        stage_seconds: Seconds spent in each stage that has ended.
        seconds_left: Seconds of work left, learned from jobs like this one and without the waits
            for others; None before there was one, and when the job is over.
    """

    job_id: str
    fence: int
    epoch: int
    state: str
    seq: int
    stage: str | None = None
    percent: int = 0
    error: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    stage_seconds: dict[str, float] = field(default_factory=dict)
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness(_Message):
    """Whether the agent takes jobs.

    Attributes:
        phase: ``setting_up``, ``warming_up``, ``ready``, ``draining``, ``closed`` or ``failed``.
        percent: 0 to 100 of the set-up, or of its step under way where it has steps.
        detail: One sentence for a person.
        steps: Percent of each step of the set-up that was begun, in order: ``{"weights": 100,
            "gpu": 100, "model": 40}``.
    """

    ready: bool
    phase: str
    percent: int = 0
    detail: str = ""
    steps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest(_Message):
    """Let the VM stay up for `ttl_s` more seconds, in wake period `epoch`.

    An epoch newer than the agent's own reopens a drained agent and cancels every job of an older
    epoch. An older one is refused with `Code.STALE_EPOCH`.
    """

    epoch: int
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus(_Message):
    """What the agent holds.

    Attributes:
        vm: Name of the VM.
        boot_id: Changes whenever the agent's process starts.
        machine_boot: Changes whenever the machine boots; empty where that can't be told.
        epoch: The newest epoch heard, 0 before the first.
        phase: As in `Readiness`.
        jobs: Every job not yet over, and those over that are still remembered: ``{job_id, fence,
            epoch, state, stage, percent}``.
        lease_left_s: Seconds until the lease runs out, or None before the first lease.
        engine: ``{name, version, description}``.
        image_version: Version of the disk image that the VM was made from, or empty.
        cap_left_s: Seconds until the VM's switch deallocates it, jobs or not, on the boot clock;
            None where no cap is set. Older agents omit it, and `max_uptime_s`.
        max_uptime_s: The cap itself, in seconds from boot, or None.
    """

    vm: str
    boot_id: str
    epoch: int
    phase: str
    slots: int
    jobs: list[dict[str, Any]] = field(default_factory=list)
    lease_left_s: float | None = None
    uptime_s: float = 0.0
    engine: dict[str, Any] = field(default_factory=dict)
    image_version: str = ""
    machine_boot: str = ""
    cap_left_s: float | None = None
    max_uptime_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequest(_Message):
    """Close the door if, and only if, nothing is held: one atomic step.

    Attributes:
        epoch: The wake period to end; an older one than the agent's is refused (stale_epoch).
        drain: Number of this drain within the epoch. The answer to each (epoch, drain) is
            remembered and given again.
        final: Stay closed until the next boot (the dead-man's switch asks for this). Refused
            while the lease has time left, too.
    """

    epoch: int
    drain: int
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainAnswer(_Message):
    """The agent's one answer to a drain.

    Attributes:
        drained: True when the door is closed and nothing is held.
        receipt: Proof for the deallocation, bound to VM, boot, epoch and drain; None if refused.
        jobs: When refused, the ids of the jobs held; none when it was for the lease.
    """

    drained: bool
    epoch: int
    drain: int
    receipt: str | None = None
    jobs: list[str] = field(default_factory=list)

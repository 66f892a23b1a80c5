"""The API's answers as values. Fields that a newer server adds are kept in ``raw``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Self

from coldforge.errors import JobCancelledError, JobFailedError

_OVER = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a job produced.

    Attributes:
        name: Such as ``model.glb``.
        url: Where it is, absolute or a path on the server.
        content_type: Media type.
        size_bytes: Its size.
        sha256: Of its bytes, in hex; empty when the server doesn't say.
    """

    name: str
    url: str
    content_type: str
    size_bytes: int
    sha256: str

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read one entry of ``artifacts``."""
        return cls(
            name=str(body["name"]),
            url=str(body["url"]),
            content_type=str(body.get("content_type") or ""),
            size_bytes=int(body.get("size_bytes") or 0),
            sha256=str(body.get("sha256") or ""),
        )


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The state of a job.

    Attributes:
        id: The job's id.
        state: ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
        stage: What the agent does to it, or None.
        percent: 0 to 100 of the whole job, or None.
        queue_position: 1 for the next, or None when it doesn't wait.
        estimated_seconds_left: An estimate, or None.
        waiting_for: ``vm``, ``capacity``, ``slot``, or None.
        vm: Its name, phase and what else the server says, or None.
        artifacts: By name; filled when it has succeeded.
        error: ``code``, ``message``, ``retryable``, ``stage``, or None.
        cost_usd: What it cost, or None when not known yet.
        retry_after_s: When the server wants to be asked again, or None.
        suspended: Whether the job's workflow is suspended.
        raw: The server's answer.
    """

    id: str
    state: str
    stage: str | None = None
    percent: float | None = None
    queue_position: int | None = None
    estimated_seconds_left: float | None = None
    waiting_for: str | None = None
    vm: Mapping[str, Any] | None = None
    artifacts: Mapping[str, Artifact] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    cost_usd: float | None = None
    retry_after_s: float | None = None
    suspended: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, body: Mapping[str, Any], *, retry_after_s: float | None = None) -> Self:
        """Read the answer of ``GET /api/jobs/{id}``."""
        cost = body.get("cost") or {}
        artifacts = [Artifact.from_json(entry) for entry in body.get("artifacts") or ()]
        return cls(
            id=str(body["id"]),
            state=str(body["state"]),
            stage=body.get("stage"),
            percent=body.get("percent"),
            queue_position=body.get("queue_position"),
            estimated_seconds_left=body.get("estimated_seconds_left"),
            waiting_for=body.get("waiting_for"),
            vm=body.get("vm"),
            artifacts={artifact.name: artifact for artifact in artifacts},
            error=body.get("error"),
            cost_usd=cost.get("usd"),
            retry_after_s=retry_after_s,
            suspended=bool(body.get("suspended")),
            raw=dict(body),
        )

    @property
    def is_over(self) -> bool:
        """Whether the state can no longer change."""
        return self.state in _OVER

    def raise_unless_succeeded(self) -> None:
        """Raise if the job failed or was cancelled; else do nothing.

        Raises:
            JobFailedError: It failed.
            JobCancelledError: It was cancelled.
        """
        if self.state == "cancelled":
            raise JobCancelledError(f"Job {self.id} was cancelled.")
        if self.state == "failed":
            error = self.error or {}
            raise JobFailedError(
                str(error.get("message") or f"Job {self.id} failed without a reason."),
                code=error.get("code"),
                retryable=bool(error.get("retryable")),
                stage=error.get("stage"),
            )


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """The state of a batch.

    Attributes:
        id: The batch's id.
        is_over: Whether none of its images can change any more.
        items: One per image, in order: ``number``, ``name``, ``job_id``, ``state``, ``error``
            and more, as the server says it. The answer to `submit_batch` has no ``state`` yet.
            Older servers gave no ``job_id`` to an image that they refused.
        retry_after_s: When the server wants to be asked again, or None.
        raw: The server's answer.
    """

    id: str
    is_over: bool
    items: tuple[Mapping[str, Any], ...]
    retry_after_s: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, body: Mapping[str, Any], *, retry_after_s: float | None = None) -> Self:
        """Read the answer of ``GET /api/batches/{id}``."""
        return cls(
            id=str(body["id"]),
            is_over=body.get("state") == "over",
            items=tuple(body.get("items") or ()),
            retry_after_s=retry_after_s,
            raw=dict(body),
        )


def safe_file_name(name: str) -> str:
    """Return the last part of an artifact's name, so that it can't leave a folder.

    Raises:
        ValueError: Nothing usable is left.
    """
    base = PurePosixPath(name.replace("\\", "/")).name
    if base in ("", ".", ".."):
        raise ValueError(f"an artifact can't be named {name!r}")
    return base

"""A job: its id, what may be asked of it, its states, and the row that remembers it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.json_values import shown
from orchestrator.domain.options import check_options

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_COMPLEMENT = str.maketrans(_ALPHABET, _ALPHABET[::-1])
ID_LENGTH = 26
_ID = re.compile(rf"[{_ALPHABET}]{{{ID_LENGTH}}}(-[0-9]{{1,4}})?")
CONTAINER = "jobs"
MAX_METADATA_BYTES = 4096
MAX_BATCH = 100


class JobState(StrEnum):
    """State of a job as the API tells it."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether the state can no longer change."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


def new_id(now_ms: int, randomness: int) -> str:
    """Build an id that sorts by time: 48 bits of milliseconds, 80 random ones, Crockford base 32.

    Args:
        now_ms: Milliseconds since 1970.
        randomness: 80 random bits.
    """
    value = now_ms << 80 | randomness
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def row_key(job_id: str) -> str:
    """Turn an id into its row key, under which newer jobs sort first."""
    return job_id[:ID_LENGTH].translate(_COMPLEMENT) + job_id[ID_LENGTH:]


def is_job_id(text: str) -> bool:
    """Tell whether a text can be an id: ours, with a batch's number behind it or not."""
    return _ID.fullmatch(text) is not None


def number_of(job_id: str) -> int:
    """Give the number of a batch's job within its batch, from 1."""
    return int(job_id.rpartition("-")[2])


def input_path(job_id: str) -> str:
    """Where the normalised image is."""
    return f"{CONTAINER}/{job_id}/input.png"


def source_path(job_id: str, take: str) -> str:
    """Where an image is as it was sent, until it is normalised.

    Args:
        job_id: Of the job.
        take: Drawn anew by each request that stores it, so that none removes another's.
    """
    return f"{CONTAINER}/{job_id}/source-{take}"


def request_path(job_id: str) -> str:
    """Where the request is, with whatever of it is large or secret."""
    return f"{CONTAINER}/{job_id}/request.json"


def manifest_path(job_id: str) -> str:
    """Where the manifest is, once the job's artifacts are whole."""
    return f"{CONTAINER}/{job_id}/manifest.json"


def output_prefix(job_id: str, fence: int) -> str:
    """Where one attempt writes its artifacts."""
    return f"{CONTAINER}/{job_id}/{fence}/"


def artifact_url(job_id: str, name: str) -> str:
    """Path of an artifact under the API."""
    return f"/api/jobs/{job_id}/artifacts/{name}"


PRIORITIES = {"low": -1, "normal": 0, "high": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a caller wants done with one image.

    Attributes:
        options: For the engine, checked.
        metadata: The caller's own, given back in every status; at most 4 KB of JSON.
        priority: -1, 0 or 1.
        start_within_s: Seconds after which a job that could not start fails, or None.
    """

    options: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    start_within_s: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Check the fields that do not name the image; null means not given.

        Args:
            data: JSON that passed `check_json`.

        Raises:
            InvalidRequestError: Naming the field that is wrong and what it may be.
        """
        unknown = set(data) - {"options", "metadata", "priority", "start_within_s"}
        if unknown:
            raise InvalidRequestError(
                f"unknown field '{shown(min(unknown))}'. Allowed: options, metadata, priority, "
                "start_within_s and one of image_url, image_base64"
            )
        given = {name: value for name, value in data.items() if value is not None}
        return cls(
            options=check_options(given.get("options", {})),
            metadata=_metadata(given.get("metadata", {})),
            priority=_priority(given.get("priority", "normal")),
            start_within_s=_start_within(given.get("start_within_s")),
        )

    def to_json(self) -> dict[str, Any]:
        """Give the fields as they are stored with the image."""
        return asdict(self)


def _metadata(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidRequestError("metadata must be a JSON object")
    if len(json.dumps(data).encode()) > MAX_METADATA_BYTES:
        raise InvalidRequestError(f"metadata must be at most {MAX_METADATA_BYTES} bytes of JSON")
    return dict(data)


def _priority(value: Any) -> int:
    if not isinstance(value, str) or value not in PRIORITIES:
        raise InvalidRequestError(f"priority must be one of {', '.join(PRIORITIES)}")
    return PRIORITIES[value]


def _start_within(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 604_800:
        raise InvalidRequestError("start_within_s must be a number of seconds from 1 to 604800")
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """What the table `jobs` remembers of a job. Moments are epoch seconds.

    Attributes:
        fence: Of the newest attempt that reported, 0 before the first.
        order: Input of the job's workflow, so that one that was never started can be.
        result: When succeeded: the manifest.
        cost: What its attempts cost, see `pool.ledger.cost_of`.
        error: When failed: ``{code, message, retryable, stage}``.
        attempt_at: When the newest attempt was taken by an agent.
        notes: Sentences on what of the image was left aside when it was taken.
        missing_at: When its workflow was first seen to be gone; None while it is there.
        expected_end_at: When its agent, which has made models asked for in the same way, expects
            it to be done; None while it can't tell.
        awaits_image: Whether its image is still to be fetched and normalised. Only while it is,
            the job can be refused, and only once it is not, the job can run.
    """

    job_id: str
    created_at: float
    state: JobState = JobState.QUEUED
    stage: str | None = None
    percent: int = 0
    fence: int = 0
    vm: str | None = None
    batch_id: str | None = None
    started_at: float | None = None
    attempt_at: float | None = None
    ended_at: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    order: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    cost: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    expected_end_at: float | None = None
    notes: list[str] = field(default_factory=list)
    missing_at: float | None = None
    awaits_image: bool = False

    def seconds_left(self, now: float) -> float | None:
        """Give what its agent expects, counted on since; None while it can't tell."""
        if self.state is not JobState.RUNNING or self.expected_end_at is None:
            return None
        return round(max(0.0, self.expected_end_at - now), 1)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Build from the JSON object; fields that a newer app added are ignored."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        return cls(**{**known, "state": JobState(data["state"])})


def error_of(
    code: str, message: str, *, retryable: bool = False, stage: str | None = None
) -> dict[str, Any]:
    """Build the error object that status, customStatus and row share."""
    return {"code": code, "message": message, "retryable": retryable, "stage": stage}


def artifacts_of(manifest: Mapping[str, Any], job_id: str) -> list[dict[str, Any]]:
    """List a manifest's artifacts with their paths under the API in place of the blobs'."""
    return [
        {
            "name": artifact["name"],
            "url": artifact_url(job_id, artifact["name"]),
            "content_type": artifact["content_type"],
            "size_bytes": artifact["size_bytes"],
            "sha256": artifact["sha256"],
            "expires_at": None,
        }
        for artifact in manifest["artifacts"]
    ]


def figures_of(manifest: Mapping[str, Any], notes: Sequence[str] = ()) -> dict[str, Any] | None:
    """Give the figures of a model; their `notes` say what is less than was asked for.

    Args:
        manifest: Of the job.
        notes: Those on its image, which come first.
    """
    figures = manifest.get("mesh")
    if figures is None:
        return None
    return {**figures, "notes": [*notes, *(manifest.get("result") or {}).get("notes", [])]}


def output_of(
    job_id: str, manifest: Mapping[str, Any], notes: Sequence[str] = ()
) -> dict[str, Any]:
    """Build the output of a job's workflow instance."""
    return {
        "id": job_id,
        "state": JobState.SUCCEEDED.value,
        "artifacts": artifacts_of(manifest, job_id),
        "figures": figures_of(manifest, notes),
        "engine": manifest.get("engine"),
        "stage_seconds": manifest.get("stage_seconds", {}),
    }


def place_of(row: JobRow, seen: Mapping[str, Any] | None, now: float) -> dict[str, Any]:
    """Join what the pool and the agent know of a job that is not over.

    Args:
        row: What the table remembers.
        seen: What the pool says (`pool.view.view_place`), or None. What it expects of a running
            job it has from all jobs alike, so the agent's word goes before it.
        now: Epoch seconds.
    """
    left_s = row.seconds_left(now)
    return {**(seen or {}), **({} if left_s is None else {"estimated_seconds_left": left_s})}


def view_job(row: JobRow, place: Mapping[str, Any] | None) -> dict[str, Any]:
    """Build the body of ``GET /api/jobs/{id}``.

    Args:
        row: What the table remembers.
        place: What is known of the job at this moment (`place_of`), or None.
    """
    place = {} if row.state.is_over or place is None else place
    manifest = row.result or {}
    return {
        "id": row.job_id,
        "state": row.state.value,
        "suspended": place.get("suspended", False),
        "stage": row.stage,
        "percent": 100 if row.state is JobState.SUCCEEDED else row.percent,
        "queue_position": place.get("queue_position"),
        "estimated_seconds_left": place.get("estimated_seconds_left"),
        "vm": place.get("vm"),
        "waiting_for": place.get("waiting_for"),
        "retry_at": place.get("retry_at"),
        "artifacts": artifacts_of(manifest, row.job_id) if manifest else [],
        "error": row.error,
        "timings": {
            "created_at": row.created_at,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "stage_seconds": manifest.get("stage_seconds", {}),
        },
        "cost": row.cost,
        "figures": figures_of(manifest, row.notes),
        "engine": manifest.get("engine"),
        "metadata": row.metadata,
        "batch_id": row.batch_id,
        "created_at": row.created_at,
        "status_url": f"/api/jobs/{row.job_id}",
    }

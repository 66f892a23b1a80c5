"""What a backend installs: the client library and the ``coldforge`` command."""

from coldforge.client import Client, Job
from coldforge.errors import (
    AccessError,
    ApiError,
    ColdforgeError,
    ConflictError,
    DownloadError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    ServerFailureError,
    SettingError,
    UnreachableError,
    WaitTimeoutError,
)
from coldforge.models import Artifact, BatchStatus, JobStatus

__all__ = [
    "AccessError",
    "ApiError",
    "Artifact",
    "BatchStatus",
    "Client",
    "ColdforgeError",
    "ConflictError",
    "DownloadError",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobStatus",
    "NotFoundError",
    "RefusedError",
    "ServerFailureError",
    "SettingError",
    "UnreachableError",
    "WaitTimeoutError",
]

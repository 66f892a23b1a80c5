"""Errors of the control plane that a caller of the API can meet.

::

    ApiError                 status, code, a sentence that says what to do
    ├── InvalidRequestError  400  the request itself is wrong
    ├── EmptyBodyError       400  the body was empty when it arrived
    ├── UnknownJobError      404  no such job, batch, artifact or instance
    ├── JobOverError         409  it has ended already
    ├── InstanceStateError   409  it is suspended already, or is not
    ├── NothingToResetError  409  the VM is neither broken nor cooling down
    ├── InstanceOverError    410  the job's instance has ended
    ├── ArtifactExpiredError 410  the artifact is older than the deployment keeps any
    ├── LengthRequiredError  411  the body was sent in chunks and did not arrive
    ├── BodyTooLargeError    413  a form of too many parts, or a field or event that is too long
    ├── KeyReusedError       422  an Idempotency-Key came back with another body
    └── BusyError            429  too many open jobs; `retry_after_s` says when to come back
        ├── IntakeBusyError     503  too many images wait to be read
        └── IntakeFailingError  503  images can't be read at all at the moment

    StoreConflictError       someone else changed the stored object first: read again and retry
    ArmError                 Azure refused; `code` tells what
    AgentError               the agent refused; `code` tells what
    AgentUnreachableError    no answer from the agent
"""

from typing import Self


class ApiError(Exception):
    """Base of what the API answers as a problem."""

    status = 500
    code = "internal"
    retryable = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidRequestError(ApiError):
    """The request is wrong as it stands; sending it again will not help."""

    status = 400
    code = "invalid_request"


class EmptyBodyError(ApiError):
    """The body was empty when it arrived."""

    status = 400
    code = "body_empty"


class LengthRequiredError(ApiError):
    """The body was sent without its length and did not arrive."""

    status = 411
    code = "length_required"


class BodyTooLargeError(ApiError):
    """The body, or a part of it that is not an image, is too large."""

    status = 413
    code = "body_too_large"


class UnknownJobError(ApiError):
    """There is nothing under this id."""

    status = 404
    code = "not_found"


class ArtifactExpiredError(ApiError):
    """The artifact was stored and is no more."""

    status = 410
    code = "artifact_expired"

    @classmethod
    def named(cls, name: str) -> Self:
        """Name the artifact and say what to do."""
        return cls(
            f"The artifact {name} was deleted: this deployment keeps artifacts no longer. Send "
            "the job again to have it made anew."
        )


class JobOverError(ApiError):
    """The job has ended; nothing about it can be changed."""

    status = 409
    code = "job_over"


class InstanceOverError(ApiError):
    """The job's Durable instance has ended; 410 as the extension answers."""

    status = 410
    code = "instance_over"


class InstanceStateError(ApiError):
    """The job's Durable instance can't be suspended, or resumed, from the state it is in."""

    status = 409
    code = "instance_state"


class NothingToResetError(ApiError):
    """The VM is in no state that a reset could end."""

    status = 409
    code = "nothing_to_reset"


class KeyReusedError(ApiError):
    """The same Idempotency-Key came with another request."""

    status = 422
    code = "idempotency_key_reused"


class BusyError(ApiError):
    """Too many jobs are open.

    Attributes:
        retry_after_s: Seconds after which trying again is worth it.
    """

    status = 429
    code = "too_many_open_jobs"
    retryable = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class IntakeBusyError(BusyError):
    """Too many images wait to be read."""

    status = 503
    code = "intake_busy"


class IntakeFailingError(BusyError):
    """No process that reads images can be started."""

    status = 503
    code = "intake_failing"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            "Images can't be read at the moment; jobs that were taken go on. "
            "Send the same request again later.",
            retry_after_s=retry_after_s,
        )


class StoreConflictError(Exception):
    """Someone else changed the object since it was read."""


class ArmError(Exception):
    """Azure Resource Manager refused a call.

    Attributes:
        code: ``error.code`` of its answer, or ``Unreachable``. The only thing common to a refusal
            at once and to an operation that failed later; never judge by status.
        retry_after_s: From ``Retry-After``, or None.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class AgentError(Exception):
    """The agent answered with an error.

    Attributes:
        code: One of `gpu_agent.wire.Code`, or ``http_<status>``.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, *, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class AgentUnreachableError(Exception):
    """No answer from the agent, or one that no agent would give."""

"""Errors of the agent.

Drawn as a tree::

    AgentError                       anything that the agent says no with
    ├── RequestError                 answered over HTTP with `status` and `code`
    │   ├── InvalidRequestError      400
    │   ├── UnauthorizedError        401
    │   ├── UnknownJobError          404
    │   ├── UnknownRouteError        404
    │   ├── MethodError              405
    │   ├── RequestTooLargeError     413
    │   ├── DrainingError            409  until a newer epoch is heard
    │   ├── ClosedError              409  until the next boot
    │   ├── StaleEpochError          409
    │   ├── StaleFenceError          409
    │   ├── NotReadyError            409  still setting up
    │   └── FullError                429  with Retry-After
    ├── JobError                     ends one job; shown in its view
    │   ├── JobStoppedError
    │   │   ├── JobCancelledError
    │   │   └── JobTimeoutError
    │   ├── EngineError              raised by an engine, with a code of its own
    │   ├── UnexpectedError          nobody foresaw it
    │   └── StoreError               the artifact store failed
    │       ├── StoreUnavailableError    it may work later
    │       ├── ArtifactMissingError     nothing under that path
    │       ├── ArtifactTooLargeError    more than the reader accepts
    │       └── StoreDeniedError         this identity may not
    ├── JobStoreError                  the disk refuses, or another process has the job store
    └── SettingsError                the environment lacks or contradicts something
"""

import math

from gpu_agent.wire import Code

MOST_RETRY_AFTER_S = 60
"""A job may end, or be cancelled, sooner than it was expected to."""


class AgentError(Exception):
    """Any error that the agent raises on purpose."""


class RequestError(AgentError):
    """A request that is answered with a problem.

    Attributes:
        status: HTTP status.
        code: Stable code, one of `Code`'s where the wire names it.
        title: The same for every problem of this code.
        retry_after_s: Seconds to wait before asking again, or None.
    """

    status: int = 500
    code: str = Code.INTERNAL
    title: str = "The agent failed"
    retry_after_s: int | None = None


class InvalidRequestError(RequestError):
    """The request can't be understood; sending it again won't help."""

    status = 400
    code = Code.INVALID_REQUEST
    title = "Invalid request"


class UnauthorizedError(RequestError):
    """No token, or not one of ours."""

    status = 401
    code = Code.UNAUTHORIZED
    title = "Unauthorized"


class UnknownJobError(RequestError):
    """Neither held nor remembered."""

    status = 404
    code = Code.UNKNOWN_JOB
    title = "Unknown job"


class UnknownRouteError(RequestError):
    """No such route."""

    status = 404
    code = Code.INVALID_REQUEST
    title = "Unknown route"


class MethodError(RequestError):
    """The route exists and does not answer this method."""

    status = 405
    code = Code.INVALID_REQUEST
    title = "Method not allowed"


class RequestTooLargeError(RequestError):
    """The body has more bytes than any request of the wire needs."""

    status = 413
    code = Code.INVALID_REQUEST
    title = "Request too large"


class DrainingError(RequestError):
    """Drained: no new job until a newer epoch is heard."""

    status = 409
    code = Code.DRAINING
    title = "Draining"


class ClosedError(RequestError):
    """Closed: no new job or lease until the next boot."""

    status = 409
    code = Code.CLOSED
    title = "Closed"


class StaleEpochError(RequestError):
    """A newer wake period has been heard of."""

    status = 409
    code = Code.STALE_EPOCH
    title = "Stale epoch"


class StaleFenceError(RequestError):
    """A newer run of this job is held or remembered."""

    status = 409
    code = Code.STALE_FENCE
    title = "Stale fence"


class NotReadyError(RequestError):
    """The engine is still being set up; ask ``/v1/ready``."""

    status = 409
    code = Code.NOT_READY
    title = "Not ready"
    retry_after_s = 5


class FullError(RequestError):
    """Every slot is taken; ask again after `retry_after_s`.

    Args:
        message: One sentence.
        free_in_s: Seconds until the first slot should be free, or None when nobody knows.
    """

    status = 429
    code = Code.FULL
    title = "Full"
    retry_after_s = 5

    def __init__(self, message: str, free_in_s: float | None = None) -> None:
        super().__init__(message)
        if free_in_s is not None:
            self.retry_after_s = min(max(1, math.ceil(free_in_s)), MOST_RETRY_AFTER_S)


class JobError(AgentError):
    """Ends one job.

    Attributes:
        code: Stable code shown to the job's owner.
        retryable: Whether the same job may succeed when run again.
    """

    code: str = "internal"
    retryable: bool = True


class JobStoppedError(JobError):
    """The job must not go on."""


class JobCancelledError(JobStoppedError):
    """Somebody cancelled the job."""

    code = "cancelled"
    retryable = False


class JobTimeoutError(JobStoppedError):
    """The job took longer than it was given."""

    code = "timeout"
    retryable = True


class EngineError(JobError):
    """The engine could not make a model of this image.

    Args:
        code: Stable code, ``snake_case``: ``no_subject``, ``out_of_memory`` …
        message: One sentence for the job's owner.
        retryable: Whether the same image may succeed when run again.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class UnexpectedError(JobError):
    """Something that nobody foresaw; the log has the trace."""

    code = "internal"


class StoreError(JobError):
    """The artifact store failed."""

    code = "store_failed"
    retryable = True


class StoreUnavailableError(StoreError):
    """The store does not answer, or says that it is busy. It may work later."""

    code = "store_unavailable"


class ArtifactMissingError(StoreError):
    """Nothing lies under that path."""

    code = "input_missing"
    retryable = False


class ArtifactTooLargeError(StoreError):
    """More bytes lie there than the reader accepts."""

    code = "input_too_large"
    retryable = False


class StoreDeniedError(StoreError):
    """The agent's identity may not read or write there."""

    code = "store_denied"
    retryable = False


class JobStoreError(AgentError):
    """The job store can't be opened, read or written."""


class SettingsError(AgentError):
    """The environment lacks or contradicts something; the message names all of it."""

"""What can go wrong between a program and Coldforge.

::

    ColdforgeError
    ├── ApiError                the server answered, but not with what was asked for
    │   ├── RefusedError        the request is wrong (bad image, unknown option): change it
    │   ├── AccessError         the key is missing or wrong
    │   ├── NotFoundError       there is no such job or artifact
    │   ├── ConflictError       the job's state does not allow it; it may have ended already
    │   └── ServerFailureError  the server is overloaded or failed; tried several times
    ├── SettingError            the URL or the key can't be used; nothing was sent
    ├── UnreachableError        no answer at all, for as long as was allowed
    ├── WaitTimeoutError        the job did not end in time; it goes on
    ├── JobFailedError          the job ended without a model
    ├── JobCancelledError       the job was cancelled
    └── DownloadError           an artifact did not arrive whole
"""

from typing import ClassVar


class ColdforgeError(Exception):
    """Base of all; catch it to catch everything that this library raises by itself.

    Attributes:
        message: A sentence for people.
        code: Stable name of the condition, for programs.
        status: HTTP status, or None where no answer is behind it.
        retryable: Whether the same call may succeed later.
    """

    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.status = status
        self.retryable = retryable


class ApiError(ColdforgeError):
    """The server answered with an error; `code` is the server's."""

    default_code = "api_error"


class RefusedError(ApiError):
    """The request itself is wrong, as the message explains."""


class AccessError(ApiError):
    """The key is missing or wrong."""


class NotFoundError(ApiError):
    """There is no such job or artifact."""


class ConflictError(ApiError):
    """The state of the job does not allow it."""


class ServerFailureError(ApiError):
    """The server is overloaded, restarting or at fault.

    Attributes:
        retry_after_s: When it wants to be asked again, or None.
    """

    retry_after_s: float | None = None


class SettingError(ColdforgeError, ValueError):
    """The URL or the key can't be used. The message does not repeat it."""

    default_code = "setting_invalid"


class UnreachableError(ColdforgeError):
    """The server could not be reached for as long as was allowed."""

    default_code = "server_unreachable"


class WaitTimeoutError(ColdforgeError):
    """The job did not end in time. It goes on."""

    default_code = "wait_timeout"


class JobFailedError(ColdforgeError):
    """The job ended without a model; `code` and `retryable` are the job's.

    Attributes:
        stage: Where it failed, or None before the first stage.
    """

    default_code = "job_failed"

    def __init__(
        self, message: str, *, code: str | None, retryable: bool, stage: str | None
    ) -> None:
        super().__init__(message, code=code, retryable=retryable)
        self.stage = stage


class JobCancelledError(ColdforgeError):
    """The job was cancelled."""

    default_code = "job_cancelled"


class DownloadError(ColdforgeError):
    """An artifact did not arrive whole, or is not what the server says it is."""

    default_code = "download_failed"


def error_for_status(status: int) -> type[ApiError]:
    """Return the class that stands for an HTTP status of 400 and above."""
    match status:
        case 401 | 403:
            return AccessError
        case 404 | 410:
            return NotFoundError
        case 409:
            return ConflictError
        case 408 | 429:
            return ServerFailureError
        case _ if status >= 500:
            return ServerFailureError
        case _:
            return RefusedError

"""What can go wrong in the host, one tree.

::

    HostError
    ├── AppLoadError             the app cannot run, and why; the host ends
    ├── DataFolderError          the data folder cannot be used
    ├── BlobsUnavailableError    a storage account does not answer; asked again later
    ├── HostStoppingError        the host is ending and takes no more calls
    └── RequestRefusedError      a management call that can't be done; carries its HTTP status
        ├── UnknownFunctionError
        ├── InvalidInstanceIdError
        ├── InstanceNotFoundError
        ├── InstanceExistsError
        ├── InstanceOverError
        ├── InstanceStateError
        ├── NotTerminalError
        ├── NotFailedError
        ├── NotImplementedByHostError
        └── InternalError        a fault of this host
"""

from enum import StrEnum
from http import HTTPStatus


class HostError(Exception):
    """Any error of the host."""


class AppLoadError(HostError):
    """The app cannot be loaded; the text names the function and the reason in one sentence."""


class DataFolderError(HostError):
    """The data folder is in use by another host or can't be written."""


class BlobsUnavailableError(HostError):
    """A storage account does not answer, or refuses; the next look may succeed."""


class HostStoppingError(HostError):
    """The host is ending and takes no more calls; what was asked for stays in the store."""


class Codes(StrEnum):
    """Release of the Durable extension whose status codes the management API answers with."""

    OF_2024 = "2024"
    NEWEST = "newest"


class RequestRefusedError(HostError):
    """A management call that can't be done.

    Attributes:
        status: The HTTP status.
        status_of_2024: What it was in 2024 (release 2.13.7), None for the same.
    """

    status = HTTPStatus.BAD_REQUEST
    status_of_2024: HTTPStatus | None = None
    exception_type = "System.ArgumentException"


class UnknownFunctionError(RequestRefusedError):
    """No function of that kind has this name."""


class InvalidInstanceIdError(RequestRefusedError):
    """The instance id holds characters that Azure refuses, or is too long."""


class InstanceNotFoundError(RequestRefusedError):
    """No instance has this id."""

    status = HTTPStatus.NOT_FOUND


class InstanceExistsError(RequestRefusedError):
    """A live instance has this id."""

    status = HTTPStatus.CONFLICT
    status_of_2024 = HTTPStatus.INTERNAL_SERVER_ERROR
    exception_type = "System.InvalidOperationException"


class InstanceOverError(RequestRefusedError):
    """The instance has ended; nothing can be sent to it."""

    status = HTTPStatus.GONE


class InstanceStateError(RequestRefusedError):
    """The instance is not in a state that allows the call."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    exception_type = "System.InvalidOperationException"


class NotTerminalError(RequestRefusedError):
    """Only an instance that has ended can be purged."""

    status = HTTPStatus.PRECONDITION_FAILED


class NotFailedError(RequestRefusedError):
    """Only an instance that has failed can be rewound."""

    status = HTTPStatus.PRECONDITION_FAILED
    status_of_2024 = HTTPStatus.INTERNAL_SERVER_ERROR
    exception_type = "System.InvalidOperationException"


class NotImplementedByHostError(RequestRefusedError):
    """A call that Azure knows and this host does not."""

    status = HTTPStatus.NOT_IMPLEMENTED
    exception_type = "System.NotImplementedException"


class InternalError(RequestRefusedError):
    """Something failed that never should."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    exception_type = "System.Exception"

"""Errors as Azure Resource Manager says them.

`ArmError` carries an error's code, message and HTTP status. Raised, it is the answer to a request;
kept in an operation, it is how that failed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class ArmDetail:
    """What an error has to say, as a value.

    Attributes:
        code: Azure's word, such as ``AllocationFailed``: what clients decide by.
        message: For people.
    """

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Return the JSON of Azure's error object."""
        return {"code": self.code, "message": self.message}


class ArmError(Exception):
    """A request is refused.

    Attributes:
        status: HTTP status of the answer.
        detail: Code and message.
        headers: To be added to the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = ArmDetail(code, message)
        self.headers = headers or {}

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": self.detail.to_json()}


class ThrottledError(ArmError):
    """Too many requests: the one kind of error whose body Azure does not wrap in ``error``.

    Attributes:
        bucket: Name of the empty bucket.
        violation: What Azure writes, as JSON in a string, about the limit and its breach.
    """

    def __init__(self, retry_after_s: int, bucket: str, violation: Mapping[str, Any]) -> None:
        self.bucket = bucket
        self.violation = {"operationGroup": bucket, **violation}
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            "OperationNotAllowed",
            "The server rejected the request because too many requests have been received for "
            "this subscription.",
            headers={"Retry-After": str(retry_after_s)},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        detail = {
            "code": "TooManyRequests",
            "target": self.bucket,
            "message": json.dumps(self.violation, separators=(",", ":")),
        }
        return {**self.detail.to_json(), "details": [detail]}


def conflict(message: str) -> ArmError:
    """Return the error for an act that another one stands in the way of."""
    return ArmError(HTTPStatus.CONFLICT, "Conflict", message)


def not_found(code: str, message: str) -> ArmError:
    """Return the error for something that does not exist."""
    return ArmError(HTTPStatus.NOT_FOUND, code, message)


def bad_request(code: str, message: str) -> ArmError:
    """Return the error for a request that can't be understood."""
    return ArmError(HTTPStatus.BAD_REQUEST, code, message)

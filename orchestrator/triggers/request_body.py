"""Reading the body of a POST: multipart with files, or JSON with a URL or base64."""

import base64
import binascii
import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import azure.functions as func

from orchestrator.domain.errors import InvalidRequestError
from orchestrator.domain.image_rules import ImageLimits
from orchestrator.domain.input_errors import ImageTooLargeError
from orchestrator.domain.job import MAX_BATCH, JobRequest

JSON_FIELDS = ("options", "metadata", "start_within_s")
IMAGE_FIELDS = ("image_url", "image_base64")
MAX_JSON_BYTES = ImageLimits().max_bytes * 4 // 3 + 64 * 1024
"""Base64 takes four bytes for three."""
MAX_BATCH_BYTES = 100 * 1000 * 1000
"""What the Functions host itself takes at most in one request."""
MAX_MULTIPART_BYTES = ImageLimits().max_bytes + 256 * 1024


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where an image comes from: bytes that came along, or a URL to fetch."""

    data: bytes | None = None
    url: str | None = None
    name: str | None = None

    def digest(self) -> str:
        """Identify the image as it was sent."""
        content = self.data if self.data is not None else f"url:{self.url}".encode()
        return hashlib.sha256(content).hexdigest()


def read_job(request: func.HttpRequest) -> tuple[ImageSource, JobRequest]:
    """Read the body of ``POST /jobs``.

    Raises:
        InvalidRequestError: The body is neither form nor JSON, or a field is wrong.
        ImageTooLargeError: The body is larger than the largest image can make it.
    """
    if _is_form(request):
        _limit(request, MAX_MULTIPART_BYTES)
        sources = _form_images(request)
        if len(sources) != 1:
            raise InvalidRequestError(
                f"send exactly one file in the field 'image', not {len(sources)}; "
                "POST /api/batches takes several",
                code="image_missing" if not sources else "too_many_images",
            )
        return sources[0], JobRequest.from_json(_form_fields(request))
    _limit(request, MAX_JSON_BYTES)
    body = _json_object(request)
    source = _json_image(body)
    rest = {name: value for name, value in body.items() if name not in IMAGE_FIELDS}
    return source, JobRequest.from_json(rest)


def read_batch(request: func.HttpRequest) -> tuple[list[ImageSource], JobRequest]:
    """Read the body of ``POST /batches``: files in ``image``, or ``{"images": [...]}``.

    Raises:
        InvalidRequestError: As for `read_job`, or there are no images, or too many.
    """
    _limit(request, MAX_BATCH_BYTES)
    if _is_form(request):
        sources = _form_images(request)
        fields = _form_fields(request)
    else:
        body = _json_object(request)
        images = body.pop("images", None)
        if not isinstance(images, list):
            raise InvalidRequestError("images must be a list of objects", code="image_missing")
        sources = [_json_image(image) for image in images]
        fields = body
    if not 1 <= len(sources) <= MAX_BATCH:
        raise InvalidRequestError(
            f"a batch takes 1 to {MAX_BATCH} images, not {len(sources)}",
            code="too_many_images" if sources else "image_missing",
        )
    return sources, JobRequest.from_json(fields)


def _is_form(request: func.HttpRequest) -> bool:
    content_type: str = request.headers.get("content-type", "")
    return content_type.lower().startswith("multipart/form-data")


def _limit(request: func.HttpRequest, max_bytes: int) -> None:
    size_bytes = len(request.get_body())
    if size_bytes > max_bytes:
        raise ImageTooLargeError(
            f"The request has {size_bytes / 1e6:.1f} MB, more than the {max_bytes / 1e6:.0f} MB "
            "that it may have: an image may have 20 MB. Send less, or smaller images."
        )


def _form_images(request: func.HttpRequest) -> list[ImageSource]:
    sources = []
    for file in request.files.getlist("image"):
        with contextlib.closing(file):
            sources.append(ImageSource(data=file.read(), name=file.filename))
    return sources


def _form_fields(request: func.HttpRequest) -> dict[str, Any]:
    """Read the form's text fields; those that hold JSON in a JSON body hold its text here."""
    fields: dict[str, Any] = dict(request.form.items())
    for name in JSON_FIELDS:
        if name in fields:
            fields[name] = read_json(
                fields[name], otherwise=f"the form field {name} must hold JSON"
            )
    return fields


def _json_object(request: func.HttpRequest) -> dict[str, Any]:
    body = read_json(
        request.get_body(),
        otherwise="the body is neither multipart/form-data nor JSON: send a file in the field "
        "'image', or JSON with image_url or image_base64",
        code="body_unreadable",
    )
    if not isinstance(body, dict):
        raise InvalidRequestError("the JSON body must be an object", code="body_unreadable")
    return body


def read_json(text: str | bytes, *, otherwise: str, code: str = "invalid_request") -> Any:
    """Decode JSON as the standard has it: no NaN, which Python would take and give back.

    Args:
        text: What the caller sent.
        otherwise: What the caller is told when it is no JSON.
        code: The code that goes with that.

    Raises:
        InvalidRequestError: It is no JSON, or nested without end.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(otherwise, code=code) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _json_image(body: Any) -> ImageSource:
    if not isinstance(body, Mapping):
        raise InvalidRequestError("each image must be an object", code="image_missing")
    given = [name for name in IMAGE_FIELDS if body.get(name) is not None]
    if len(given) != 1:
        raise InvalidRequestError(
            "give exactly one of image_url and image_base64", code="image_missing"
        )
    value = body[given[0]]
    if not isinstance(value, str):
        raise InvalidRequestError(f"{given[0]} must be a string")
    if given[0] == "image_url":
        return ImageSource(url=value)
    return ImageSource(data=_decode(value))


def _decode(text: str) -> bytes:
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            "image_base64 is no valid base64", code="image_base64_invalid"
        ) from error

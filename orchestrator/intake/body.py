"""Parses the body of a POST: multipart with files, or JSON with a URL or base64.

Pure: content type and bytes in, values out. It needs nothing of Azure, so that it can run in a
process of its own.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

from orchestrator.domain.errors import BodyTooLargeError, InvalidRequestError
from orchestrator.domain.image_source import ImageSource
from orchestrator.domain.input_errors import ImageTooLargeError
from orchestrator.domain.job import MAX_BATCH
from orchestrator.domain.json_values import check_json, decode_json, read_json
from orchestrator.intake.image_rules import ImageLimits

JSON_FIELDS = ("options", "metadata", "start_within_s")
IMAGE_FIELDS = ("image_url", "image_base64")
MAX_BATCH_BYTES = 100 * 1000 * 1000
"""What the Functions host itself takes at most in one request."""
MAX_PARTS = MAX_BATCH + 28
"""Of a form: the images of the largest batch, and room for fields."""
MAX_FIELD_BYTES = 64 * 1024
"""Of a form's text field: metadata takes 4 KB, the others less."""

_LIMITS = ImageLimits()
_CHUNK_BYTES = 64 * 1024
_MAX_BUFFER_BYTES = 4 * _CHUNK_BYTES
"""What the decoder may hold back, looking for the end of a part's headers or of the preamble."""
_MAX_BOUNDARY_LENGTH = 200
"""RFC 2046 allows 70; the decoder searches for it in every chunk."""
_BLANKS = " \t\r\n\f\v"
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/_\s-]", re.ASCII)
_DATA_URL = re.compile(r"\s*data:", re.IGNORECASE | re.ASCII)
_URL_SAFE = str.maketrans("-_", "+/")


def check_size(posted: str, content_type: str, size_bytes: int, limits: ImageLimits) -> None:
    """Refuse a body that is larger than any of its kind, before anything is kept for it.

    Args:
        posted: ``job`` or ``batch``.
        content_type: As the header has it, or empty.
        size_bytes: Of the body.
        limits: Tells how large an image may be.

    Raises:
        ImageTooLargeError: It is.
    """
    if posted == "batch":
        max_bytes = MAX_BATCH_BYTES
    elif _is_form(content_type):
        max_bytes = limits.max_bytes + 256 * 1024
    else:
        # Base64 takes four bytes for three, and escaped line ends 5 % more.
        max_bytes = limits.max_bytes * 3 // 2
    if size_bytes > max_bytes:
        raise ImageTooLargeError(
            f"The request has {size_bytes / 1e6:.1f} MB, more than the {max_bytes / 1e6:.0f} MB "
            f"that it may have: an image may have {limits.max_bytes / 1e6:.0f} MB. "
            "Send less, or smaller images."
        )


def parse_job(
    content_type: str, body: bytes, limits: ImageLimits = _LIMITS
) -> tuple[list[ImageSource], dict[str, Any]]:
    """Parse the body of ``POST /jobs``.

    Args:
        content_type: As the header has it, or empty.
        body: Not empty.
        limits: Tells how large an image may be.

    Returns:
        The image, alone in a list, and the other fields, for `JobRequest.from_json`.

    Raises:
        InvalidRequestError: The body is neither form nor JSON, or has not exactly one image.
        BodyTooLargeError: The form has too many parts, or a field of it is too long.
        ImageTooLargeError: The body is larger than the largest image can make it.
    """
    check_size("job", content_type, len(body), limits)
    if _is_form(content_type):
        form = _read_form(content_type, body)
        if len(form.images) != 1:
            raise InvalidRequestError(
                f"send exactly one file in the field 'image', not {len(form.images)}; "
                "POST /api/batches takes several",
                code="image_missing" if not form.images else "too_many_images",
            )
        return form.images, form.fields
    fields = _json_object(body)
    source = _json_image(fields)
    return [source], {name: value for name, value in fields.items() if name not in IMAGE_FIELDS}


def parse_batch(
    content_type: str, body: bytes, limits: ImageLimits = _LIMITS
) -> tuple[list[ImageSource], dict[str, Any]]:
    """Parse the body of ``POST /batches``: files in ``image``, or ``{"images": [...]}``.

    Args:
        content_type: As the header has it, or empty.
        body: Not empty.
        limits: Tells how large an image may be.

    Returns:
        The images, 1 to `MAX_BATCH`, and the other fields, for `JobRequest.from_json`.

    Raises:
        InvalidRequestError: As for `parse_job`, or there are no images, or too many.
        BodyTooLargeError: As for `parse_job`.
        ImageTooLargeError: The body is larger than the host takes.
    """
    check_size("batch", content_type, len(body), limits)
    if _is_form(content_type):
        form = _read_form(content_type, body)
        _check_count(len(form.images))
        return form.images, form.fields
    fields = _json_object(body)
    images = fields.pop("images", None)
    if not isinstance(images, list):
        raise InvalidRequestError("images must be a list of objects", code="image_missing")
    _check_count(len(images))
    return [_json_image(image, f"images[{n}]") for n, image in enumerate(images)], fields


PARSERS = {"job": parse_job, "batch": parse_batch}
"""By what is posted."""


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_BATCH:
        raise InvalidRequestError(
            f"a batch takes 1 to {MAX_BATCH} images, not {count}",
            code="too_many_images" if count else "image_missing",
        )


def _is_form(content_type: str) -> bool:
    return content_type.strip().lower().startswith("multipart/form-data")


# Forms


@dataclass(slots=True)
class _Form:
    """What a form holds; a field that comes twice has its first value, as browsers' parsers do."""

    images: list[ImageSource] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)


def _read_form(content_type: str, body: bytes) -> _Form:
    """Read a form; the fields that hold JSON in a JSON body hold its text here."""
    form = _Form()
    for part, data in _parts(content_type, body):
        if isinstance(part, File):
            if part.name == "image":
                form.images.append(ImageSource(data=data, name=part.filename))
        else:
            form.fields.setdefault(part.name, _read_field(part, data))
    check_json(form.fields)
    return form


def _read_field(part: Field, data: bytes) -> Any:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"the form field {part.name!a} is not UTF-8: byte {error.start} is wrong"
        ) from error
    if part.name in JSON_FIELDS:
        return decode_json(text, otherwise=f"the form field {part.name} must hold JSON")
    return text


def _parts(content_type: str, body: bytes) -> Iterator[tuple[Field | File, bytes]]:
    """Yield a form's parts whole, each with its bytes."""
    part: Field | File | None = None
    pieces: list[bytes] = []
    size = 0
    for event in _events(content_type, body):
        if isinstance(event, Field | File):
            if not isinstance(event.name, str):
                raise _unreadable("one of its parts has no name")
            part, pieces, size = event, [], 0
        elif isinstance(event, Data) and part is not None:
            pieces.append(event.data)
            size += len(event.data)
            if isinstance(part, Field) and size > MAX_FIELD_BYTES:
                raise BodyTooLargeError(
                    f"the form field {part.name[:60]!a} has more than {MAX_FIELD_BYTES} bytes"
                )
            if not event.more_data:
                yield part, b"".join(pieces)


def _events(content_type: str, body: bytes) -> Iterator[Any]:
    """Yield the decoder's events and translate its errors."""
    try:
        boundary = parse_options_header(content_type)[1].get("boundary", "").encode("ascii")
        if not 1 <= len(boundary) <= _MAX_BOUNDARY_LENGTH:
            raise _unreadable("its Content-Type has no boundary, or one that is too long")
        decoder = MultipartDecoder(
            boundary, max_form_memory_size=_MAX_BUFFER_BYTES, max_parts=MAX_PARTS
        )
        chunks = (body[at : at + _CHUNK_BYTES] for at in range(0, len(body), _CHUNK_BYTES))
        for chunk in (*chunks, None):
            decoder.receive_data(chunk)
            while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
                yield event
    except RequestEntityTooLarge as error:
        raise BodyTooLargeError(
            f"the form has more than {MAX_PARTS} parts, or more than "
            f"{_MAX_BUFFER_BYTES // 1024} KB of headers in one of them"
        ) from error
    except ValueError as error:
        raise _unreadable(str(error)) from error


def _unreadable(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the form can't be read ({why}): let your HTTP library build it, Content-Type included",
        code="body_unreadable",
    )


# JSON


def _json_object(body: bytes) -> dict[str, Any]:
    fields = read_json(
        body,
        otherwise="the body is neither multipart/form-data nor JSON: send a file in the field "
        "'image', or JSON with image_url or image_base64",
        code="body_unreadable",
    )
    if not isinstance(fields, dict):
        raise InvalidRequestError("the JSON body must be an object", code="body_unreadable")
    return fields


def _json_image(body: Any, place: str = "") -> ImageSource:
    """Read the image of an object.

    Args:
        body: Decoded JSON.
        place: Where the object is, for messages; empty for the body itself.
    """
    inside = f"{place}." if place else ""
    if not isinstance(body, Mapping):
        raise InvalidRequestError(f"{place} must be an object", code="image_missing")
    given = [name for name in IMAGE_FIELDS if body.get(name) is not None]
    if len(given) != 1:
        where = f"{place}: " if place else ""
        raise InvalidRequestError(
            f"{where}give exactly one of image_url and image_base64", code="image_missing"
        )
    name, value = f"{inside}{given[0]}", body[given[0]]
    if not isinstance(value, str):
        raise InvalidRequestError(f"{name} must be a string")
    if match := _DATA_URL.match(value):
        return ImageSource(data=_decode_data_url(name, value, match.end()))
    if given[0] == "image_url":
        return ImageSource(url=value)
    return ImageSource(data=_decode(name, value))


def _decode_data_url(name: str, url: str, begin: int) -> bytes:
    comma = url.find(",", begin)
    if comma < 0 or not url[begin:comma].rstrip().lower().endswith(";base64"):
        raise _invalid_base64(
            name, "a data URL must begin with 'data:', a media type and ';base64,'"
        )
    return _decode(name, url, comma + 1)


def _decode(name: str, text: str, begin: int = 0) -> bytes:
    """Decode base64: with line ends or without, either alphabet, padded or not.

    Args:
        name: Of the field, for messages.
        text: The field's value.
        begin: Index of the first character that belongs to the base64.
    """
    end = len(text.rstrip(_BLANKS + "="))
    if wrong := _NOT_BASE64.search(text, begin, end):
        raise _invalid_base64(name, f"character {wrong.start() + 1} is {wrong[0]!a}")
    letters = "".join(text[begin:end].split()).translate(_URL_SAFE)
    padding, needed = text.count("=", max(begin, end)), -len(letters) % 4
    if needed == 3:
        raise _invalid_base64(
            name, f"it has {len(letters)} letters, one too many or too few: was it cut off?"
        )
    if padding not in (0, needed):
        raise _invalid_base64(name, f"it ends with {padding} '=' instead of {needed}")
    try:
        return base64.b64decode(letters + "=" * needed, validate=True)
    except binascii.Error as error:
        raise _invalid_base64(name, str(error)) from error


def _invalid_base64(name: str, why: str) -> InvalidRequestError:
    return InvalidRequestError(f"{name} is not valid base64: {why}", code="image_base64_invalid")

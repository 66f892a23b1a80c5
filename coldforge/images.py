"""What a caller gives as an image: a file, bytes, or the URL of one."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

from coldforge.errors import RefusedError
from coldforge.wording import make_readable

MAX_IMAGE_BYTES = 70 * 1000 * 1000
"""The most that any server takes, checked before anything is sent. Each deployment has its own,
lower limit."""

ImageInput = str | PathLike[str] | bytes
"""Bytes, a URL, or the path of a file."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image on its way: either a URL, or a name and bytes."""

    url: str | None
    name: str
    data: bytes

    @classmethod
    def of(cls, image: ImageInput) -> Self:
        """Read an image.

        Args:
            image: Bytes, a URL (``http://`` or ``https://``), or the path of a file.

        Raises:
            OSError: The file can't be read.
            RefusedError: It is larger than any server accepts.
        """
        if isinstance(image, bytes):
            _check_size(len(image))
            return cls(None, "image", image)
        if isinstance(image, str) and image.lower().startswith(("http://", "https://")):
            return cls(image, "", b"")
        path = Path(image)
        _check_size(path.stat().st_size)
        return cls(None, path.name, path.read_bytes())

    def as_json(self) -> dict[str, str]:
        """Return the field that carries it in a JSON body."""
        if self.url is not None:
            return {"image_url": self.url}
        return {"image_base64": base64.b64encode(self.data).decode("ascii")}

    def as_form_file(self) -> tuple[str, tuple[str, bytes, str]]:
        """Return the part that carries its bytes in a form."""
        return "image", (make_readable(self.name), self.data, "application/octet-stream")


def without_absent(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_IMAGE_BYTES:
        raise RefusedError(
            f"The image has {size_bytes / 1e6:.1f} MB; servers take at most 70 MB. Make it "
            "smaller: more than 2048 pixels on the longest edge are not used.",
            code="image_too_large",
        )

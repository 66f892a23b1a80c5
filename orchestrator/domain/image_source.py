"""Where the image of a job comes from."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Bytes that came with the request, or a URL to fetch."""

    data: bytes | None = None
    url: str | None = None
    name: str | None = None

    def digest(self) -> str:
        """Identify the image as it was sent."""
        content = self.data if self.data is not None else f"url:{self.url}".encode()
        return hashlib.sha256(content).hexdigest()


JobParser = Callable[[str, bytes], tuple[ImageSource, dict[str, Any]]]
"""Content-Type and body of ``POST /jobs`` to the image and the other fields."""

BatchParser = Callable[[str, bytes], tuple[list[ImageSource], dict[str, Any]]]
"""Content-Type and body of ``POST /batches`` to the images and the other fields."""

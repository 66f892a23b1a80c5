"""Where the image of a job comes from."""

import hashlib
from dataclasses import dataclass


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

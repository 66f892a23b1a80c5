"""What can be wrong with the image a caller sends, or with the URL it gives.

::

    InputError
    ├── ImageError
    │   ├── EmptyImageError             400 image_empty
    │   ├── UnsupportedImageTypeError   415 image_unsupported_type
    │   ├── ImageTooLargeError          413 image_too_large
    │   ├── TooManyPixelsError          422 image_too_many_pixels
    │   ├── ImageTooSmallError          422 image_too_small
    │   ├── BlankImageError             422 image_blank
    │   ├── TruncatedImageError         422 image_truncated
    │   ├── UnreadableImageError        422 image_unreadable
    │   ├── ImageTooCostlyError         422 image_too_costly
    │   └── LostImageError              422 image_lost
    └── ImageUrlError
        ├── InvalidImageUrlError        400 image_url_invalid
        ├── ForbiddenImageUrlError      400 image_url_forbidden
        ├── UnreachableImageUrlError    422 image_url_unreachable
        ├── ImageUrlTimeoutError        422 image_url_timeout
        ├── ImageUrlTooLargeError       413 image_url_too_large
        ├── ImageUrlStatusError         422 image_url_bad_status
        ├── ImageUrlRedirectsError      422 image_url_too_many_redirects
        └── ImageUrlEncodingError       422 image_url_encoded

None of them goes away by sending the same request again, but for the two that depend on a far
server's mood: those are ``retryable``.
"""

from typing import ClassVar, Self


class InputError(Exception):
    """The caller's input is refused.

    Attributes:
        status: HTTP status of the answer.
        code: Stable name of the condition, for programs.
        message: A sentence for people that says what to do. Never holds a URL's query.
        retryable: Whether the same request may succeed later.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "input_invalid"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ImageError(InputError):
    """The image itself is refused."""


class EmptyImageError(ImageError):
    """No byte was sent."""

    code = "image_empty"


class UnsupportedImageTypeError(ImageError):
    """The file is of another type than those taken."""

    status = 415
    code = "image_unsupported_type"


class ImageTooLargeError(ImageError):
    """The file has too many bytes."""

    status = 413
    code = "image_too_large"


class TooManyPixelsError(ImageError):
    """The header announces more pixels than are decoded here."""

    status = 422
    code = "image_too_many_pixels"


class ImageTooSmallError(ImageError):
    """An edge is too short for an object to be seen."""

    status = 422
    code = "image_too_small"


class BlankImageError(ImageError):
    """There is nothing to see in it."""

    status = 422
    code = "image_blank"


class TruncatedImageError(ImageError):
    """The file ends before the image does."""

    status = 422
    code = "image_truncated"

    @classmethod
    def of(cls, format_name: str) -> Self:
        """Name the file's type and what probably happened."""
        return cls(
            f"The {format_name} ends before its image does. It was probably cut off on its way: "
            "send it again."
        )


class UnreadableImageError(ImageError):
    """The file is damaged, or made to be costly to read."""

    status = 422
    code = "image_unreadable"

    @classmethod
    def damaged(cls, format_name: str) -> Self:
        """Name the file's type and the way out."""
        return cls(
            f"The {format_name} is damaged and can't be read. Save it again from the original "
            "and send that."
        )

    @classmethod
    def crashed(cls) -> Self:
        """Say what may help when the decoder itself broke down over the file."""
        return cls(
            "The image is damaged in a way that its decoder can't cope with. "
            "Save it again from the original and send that."
        )

    @classmethod
    def too_costly(cls, format_name: str, *, because: str) -> Self:
        """Say which count went beyond what a camera or an editor writes."""
        return cls(
            f"The {format_name} has {because}, which no camera or editor writes and which would "
            "take too long to read. Save it again and send that."
        )


class ImageTooCostlyError(ImageError):
    """Reading it went beyond what one image may take."""

    status = 422
    code = "image_too_costly"

    @classmethod
    def beyond(cls, limit: str, *, what: str = "image") -> Self:
        """Name what was read and the limit: ``cpu``, ``memory`` or ``time``."""
        return cls(
            f"Reading this {what} takes more {limit} than one {what} may take. "
            "Open the photo in an editor, save it as a plain JPEG or PNG, and send that."
        )


class LostImageError(ImageError):
    """The image was removed from storage before it was read."""

    status = 422
    code = "image_lost"


class ImageUrlError(InputError):
    """The image could not be fetched from the URL."""


class InvalidImageUrlError(ImageUrlError):
    """The URL is malformed or of a kind not taken."""

    code = "image_url_invalid"


class ForbiddenImageUrlError(ImageUrlError):
    """The URL, or one it redirects to, leads to an address that is not public."""

    code = "image_url_forbidden"


class UnreachableImageUrlError(ImageUrlError):
    """No connection, or one that broke off."""

    status = 422
    code = "image_url_unreachable"
    retryable = True


class ImageUrlTimeoutError(ImageUrlError):
    """The look-up of the host was too slow, or the server to begin or to end."""

    status = 422
    code = "image_url_timeout"
    retryable = True


class ImageUrlTooLargeError(ImageUrlError):
    """The server sends, or announces, too many bytes."""

    status = 413
    code = "image_url_too_large"


class ImageUrlStatusError(ImageUrlError):
    """The server answered with another status than 200."""

    status = 422
    code = "image_url_bad_status"


class ImageUrlRedirectsError(ImageUrlError):
    """The URL redirects too often."""

    status = 422
    code = "image_url_too_many_redirects"


class ImageUrlEncodingError(ImageUrlError):
    """The server sends the image compressed although it was asked not to."""

    status = 422
    code = "image_url_encoded"

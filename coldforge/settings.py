"""Checks the server's address, keys and tokens before anything is sent.

No message repeats a value: it may be a secret, or a secret that was set in the wrong place.
"""

from urllib.parse import urlsplit

from coldforge.errors import SettingError

MAX_SECRET_LENGTH = 16_384
"""The most that servers take as one header; keys and tokens are far shorter."""


def clean_url(value: str) -> str:
    """Return a server's address without blanks at its ends.

    Raises:
        SettingError: It is not a web address, or holds more than one.
    """
    url = value.strip()
    if not url.isprintable() or " " in url:
        raise SettingError("The URL contains a space or a control character. Set it again.")
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError:
        # Its message repeats a part of the value.
        is_address = False
    if not is_address or parts.scheme not in ("http", "https"):
        raise SettingError("The URL is not a web address: it must begin with http:// or https://.")
    if "@" in parts.netloc:
        raise SettingError(
            "The URL contains a user name or a password. Leave them out; give a key with --key."
        )
    if parts.query or parts.fragment:
        raise SettingError(
            "The URL must not contain '?' or '#'. Leave that part out, and give a key with --key."
        )
    return url


def clean_secret(what: str, value: str | None) -> str | None:
    """Return a key or a token without blanks at its ends, such as the newline of a file.

    Args:
        what: What the message calls it: ``key``, ``token``.
        value: As it was set, or None.

    Returns:
        None if nothing is left.

    Raises:
        SettingError: It can't be sent in a header, or is not what was meant.
    """
    secret = (value or "").strip().strip("\ufeff").strip()
    if not secret:
        return None
    if secret[0] in "\"'" and secret[-1] == secret[0]:
        raise SettingError(f"The {what} is in quotes. Leave them out.")
    if len(secret) > MAX_SECRET_LENGTH:
        raise SettingError(
            f"The {what} has {len(secret):,} characters. Allowed: up to {MAX_SECRET_LENGTH:,}."
        )
    if not all("!" <= character <= "~" for character in secret):
        raise SettingError(
            f"The {what} contains a space, a line break or a character that is not ASCII. "
            "Copy it again."
        )
    return secret

"""Issues and checks the tokens that the local cloud lives on.

They look like Entra ID's to those who read their claims (Azurite does), and are signed with a key
that lives in one folder: this stand-in accepts its own signature and no other.
"""

import os
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

TENANT_ID = "7f1c5c5e-0b6f-4f3b-9a55-1d0c0f5e5a01"
TOKEN_LIFE_S = 24 * 3600
MANAGEMENT_AUDIENCES = (
    "https://management.azure.com",
    "https://management.azure.com/",
    "https://management.core.windows.net",
    "https://management.core.windows.net/",
)

_ALGORITHM = "ES256"


class TokenError(ValueError):
    """A token is not accepted.

    Attributes:
        code: Azure's word for the reason.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TokenIssuer:
    """Signs tokens, and recognises them."""

    def __init__(self, key_file: Path) -> None:
        """Use a key file, and make it if it is absent.

        It outlives the process, because clients keep a token for a day.
        """
        self._key = _load_key(key_file)

    def issue(
        self,
        *,
        resource: str,
        subject: str,
        client_id: str,
        now: float,
        bearer_id: str | None = None,
    ) -> str:
        """Return a token.

        Args:
            resource: For whom, such as ``https://storage.azure.com``.
            subject: The identity's name.
            client_id: The identity's client id.
            now: Epoch seconds.
            bearer_id: Resource id of that to which the identity belongs, if it is known.
        """
        issued_at = int(now)
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            # A reader's clock may be a little behind ours.
            "nbf": issued_at - 300,
            "iat": issued_at - 300,
            "exp": issued_at + TOKEN_LIFE_S,
            "appid": client_id,
            "oid": subject,
            "sub": subject,
            "tid": TENANT_ID,
            "idtyp": "app",
            "ver": "1.0",
            **({"xms_mirid": bearer_id} if bearer_id else {}),
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def check(self, token: str, *, audiences: tuple[str, ...]) -> dict[str, Any]:
        """Return a token's claims.

        Raises:
            TokenError: It is not ours, has expired, or is for somebody else.
        """
        try:
            return jwt.decode(
                token, self._key.public_key(), algorithms=[_ALGORITHM], audience=audiences
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenError("ExpiredAuthenticationToken", "The access token expired.") from error
        except jwt.InvalidAudienceError as error:
            raise TokenError(
                "InvalidAuthenticationTokenAudience",
                f"The access token is for another audience than {audiences[0]}.",
            ) from error
        except jwt.InvalidTokenError as error:
            raise TokenError(
                "InvalidAuthenticationToken", "The access token is invalid."
            ) from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    if not path.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        unfinished = path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        unfinished.replace(path)
    loaded = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} is not a key of this program")
    return loaded

"""Which image URLs may be fetched, and which addresses may be connected to.

A URL that a caller names is fetched from inside our network, where the metadata service, the
identity endpoint and the agents answer without asking who calls. So an address is taken only
when it is public for certain, and each redirect is judged as if the caller had named it.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

from orchestrator.domain.input_errors import ForbiddenImageUrlError, InvalidImageUrlError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_LENGTH = 8_192

_DEFAULT_PORTS = {"http": 80, "https": 443}
WEB_PORTS = frozenset(_DEFAULT_PORTS.values())
"""Ports that callers may name; others belong to services that are no web servers."""
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_BYTES_NOT_UTF8 = re.compile("[\udc80-\udcff]")
"""How the headers' decoder marks them."""
_KEPT_IN_TARGET = "!#$%&'()*+,/:;=?@[]~"


@dataclass(frozen=True, slots=True)
class ImageUrl:
    """A URL that may be asked for, if its host's addresses are public.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Lower case, without the brackets of an IPv6 address.
        port: Always given.
        target: Path and query, percent-encoded. May hold a secret: never log it.
        is_named: Whether the operator's settings name this host and port, so that it may be
            private.
    """

    scheme: str
    host: str
    port: int
    target: str
    is_named: bool

    @property
    def origin(self) -> str:
        """Scheme, host and port; safe to log."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        open_ports: frozenset[int] = WEB_PORTS,
    ) -> Self:
        """Read a URL and judge all of it but the addresses behind its name.

        Args:
            text: An absolute URL.
            allowed_hosts: ``host:port`` entries that settings name, lower case.
            open_ports: Ports that any host may be asked on.

        Raises:
            InvalidImageUrlError: It can't be fetched as it stands.
            ForbiddenImageUrlError: Its port is not open to callers.
        """
        text = text.strip()
        if not text or len(text) > MAX_URL_LENGTH:
            raise InvalidImageUrlError(
                f"The image URL must have 1 to {MAX_URL_LENGTH:,} characters."
            )
        if _FORBIDDEN_CHARACTERS.search(text.replace(" ", "%20")):
            raise InvalidImageUrlError(
                "The image URL contains a control character, a backslash or half of a "
                "surrogate pair. Percent-encode it."
            )
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise InvalidImageUrlError("The image URL is malformed.") from error
        if parts.scheme not in _DEFAULT_PORTS:
            raise InvalidImageUrlError("The image URL must begin with https:// or http://.")
        if "@" in parts.netloc:
            raise InvalidImageUrlError(
                "The image URL contains a user name or password. Use a signed link instead."
            )
        host = _canonical_host(host)
        port = _DEFAULT_PORTS[parts.scheme] if port is None else port
        is_named = f"{host}:{port}" in allowed_hosts
        if port not in open_ports and not is_named:
            raise ForbiddenImageUrlError(
                f"The image URL asks for port {port}; images are fetched from ports "
                f"{' and '.join(map(str, sorted(open_ports)))} only."
            )
        target = quote(parts.path or "/", safe=_KEPT_IN_TARGET)
        if parts.query:
            target += "?" + quote(parts.query, safe=_KEPT_IN_TARGET)
        return cls(parts.scheme, host, port, target, is_named)

    def resolve_location(self, location: str) -> str:
        """Return the absolute URL that a redirect names, not yet judged.

        Reads what browsers read: bytes that are not UTF-8 are percent-encoded as they are, and a
        backslash in front of the query is a slash.

        Args:
            location: The header, decoded with `surrogateescape`.

        Raises:
            InvalidImageUrlError: It is malformed.
        """
        location = _BYTES_NOT_UTF8.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", location)
        path, mark, query = location.strip().partition("?")
        location = path.replace("\\", "/") + mark + query
        try:
            return urljoin(self.origin + self.target, location)
        except ValueError as error:
            raise InvalidImageUrlError("The image URL redirects to a malformed URL.") from error

    def check_address(self, address: IpAddress, *, is_public: bool) -> None:
        """Refuse an address that this URL's host resolved to.

        The message leaves the address out: it would tell a caller what lies inside.

        Raises:
            ForbiddenImageUrlError: It isn't public and the settings don't name the host, or it
                is the platform's own and the settings name it by a name only.
        """
        is_literal = self.host == str(address)
        if self.is_named and (is_literal or not is_platform_address(address)):
            return
        if not is_public:
            raise ForbiddenImageUrlError(
                f"The image URL leads to {self.host}, which is not on the public internet. "
                "Upload the image instead of linking to it."
            )


def _canonical_host(host: str | None) -> str:
    if not host:
        raise InvalidImageUrlError("The image URL names no host.")
    if ":" in host:
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError as error:
            raise InvalidImageUrlError("The image URL names a malformed address.") from error
        if address.scope_id is not None:
            raise InvalidImageUrlError("The image URL names an address of a local interface.")
        return str(address)
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise InvalidImageUrlError("The image URL's host name is malformed.") from error
    name = name.lower().removesuffix(".")
    if len(name) > 253 or not _is_host_name(name):
        raise InvalidImageUrlError("The image URL's host name is malformed.")
    return name


_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


def _is_host_name(name: str) -> bool:
    return all(_LABEL.fullmatch(label) for label in name.split("."))


_PLATFORM_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # instance metadata, App Service identity
        "168.63.129.16/32",  # Azure's wire server and DNS: looks public, answers inside only
        "fe80::/10",
        "fd00:ec2::/32",
    )
)
# The standard library's registry differs between patch releases; these hold for all of them.
_NEVER_PUBLIC_NETWORKS = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # relays of 6to4
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
    )
)
_GLOBAL_UNICAST_V6 = ipaddress.ip_network("2000::/3")


def is_platform_address(address: IpAddress) -> bool:
    """Tell whether the cloud's own services answer there, whatever the registries say."""
    return any(address in network for network in _PLATFORM_NETWORKS)


def is_public_address(address: IpAddress) -> bool:
    """Tell whether an address is unicast on the public internet, and nothing else in disguise.

    IPv6 is taken from 2000::/3 only, which leaves out addresses that carry an IPv4 address
    (mapped, compatible, NAT64).
    """
    if is_platform_address(address) or any(address in net for net in _NEVER_PUBLIC_NETWORKS):
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return address.version == 4 or address in _GLOBAL_UNICAST_V6

"""Fetches an image from a URL that a caller named, from inside our network and without harm.

Each hop resolves its host once, checks every address, and connects to these addresses only: a
name that answers otherwise a moment later changes nothing. Proxies of the environment, cookies
and credentials play no part.
"""

import asyncio
import functools
import io
import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from orchestrator.domain.input_errors import (
    ForbiddenImageUrlError,
    ImageUrlEncodingError,
    ImageUrlRedirectsError,
    ImageUrlStatusError,
    ImageUrlTimeoutError,
    ImageUrlTooLargeError,
    InvalidImageUrlError,
    UnreachableImageUrlError,
)
from orchestrator.intake.dns import DnsResolver
from orchestrator.intake.url_rules import WEB_PORTS, ImageUrl, IpAddress, is_public_address

MAX_HEAD_BYTES = 256 * 1024
"""Of status line and headers of one answer, as Chromium takes; the trailers may have as much."""
_MAX_HEADERS = 1_000
_NEVER_REACHED_BYTES = 1024 * 1024
"""Above `MAX_HEAD_BYTES` and one read of the socket."""
_WHOLE = frozenset({200, 203})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "compress", "x-compress", "br", "zstd"})
_CHUNK_BYTES = 64 * 1024
_HEADERS = {
    "Accept": "image/png, image/jpeg, image/webp",
    # Compressed bytes would have to be unpacked before they can be counted.
    "Accept-Encoding": "identity",
    "User-Agent": "coldforge-image-fetch/1",
}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How long and how large a fetch may be.

    Attributes:
        first_byte_s: From the start of a hop to the first byte of its body.
        total_s: For everything, redirects included.
        max_bytes: Of the body; what is beyond is not read. One fetch holds about as much memory.
        max_redirects: How many are followed.
    """

    first_byte_s: float = 3.0
    total_s: float = 20.0
    max_bytes: int = 20 * 1000 * 1000
    max_redirects: int = 3


class Resolver(Protocol):
    """Looks up the addresses of a host."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return IPv4 and IPv6 addresses as text, at least one.

        Raises:
            TimeoutError: No answer in time.
            OSError: There are none.
        """


def _ignore(_bytes: int) -> None:
    """Do nothing."""


class ImageFetcher:
    """Fetches images by URL. Holds no connection between two fetches."""

    def __init__(
        self,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        open_ports: frozenset[int] = WEB_PORTS,
        limits: FetchLimits | None = None,
        resolver: Resolver | None = None,
        is_public: Callable[[IpAddress], bool] = is_public_address,
    ) -> None:
        """Set what may be fetched.

        Args:
            allowed_hosts: ``host:port`` entries that may be private and on any port, such as
                ``127.0.0.1:8080``. What they redirect to is judged like any other URL.
            open_ports: Ports that any public host may be asked on.
            limits: Time and size.
            resolver: Looks up host names; DNS by default.
            is_public: Tells whether an address may be connected to.
        """
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self._open_ports = open_ports
        self._limits = limits or FetchLimits()
        self._resolver = resolver or DnsResolver()
        self._is_public = is_public

    async def fetch(self, url: str, *, on_bytes: Callable[[int], None] = _ignore) -> bytes:
        """Return the body behind a URL; whether it is an image is not looked at.

        Args:
            url: Absolute.
            on_bytes: Told of each piece's size as it arrives; what it raises ends the fetch.

        Raises:
            ImageUrlError: With a sentence for the caller that holds neither an address nor the
                URL's query.
        """
        target = self._judge(url)
        try:
            async with asyncio.timeout(self._limits.total_s):
                for _ in range(self._limits.max_redirects + 1):
                    answer = await self._fetch_hop(target, on_bytes)
                    if isinstance(answer, bytes):
                        return answer
                    target = answer
        except TimeoutError as error:
            raise ImageUrlTimeoutError(
                f"{target.host} did not send the whole image within {self._limits.total_s:g} s. "
                "Try again, or upload the image instead of linking to it."
            ) from error
        raise ImageUrlRedirectsError(
            f"The image URL redirects more than {self._limits.max_redirects} times. "
            "Give the URL where it ends."
        )

    async def _fetch_hop(
        self, target: ImageUrl, on_bytes: Callable[[int], None]
    ) -> bytes | ImageUrl:
        """Return the body, or where the server redirects to."""
        first_byte = asyncio.timeout(self._limits.first_byte_s)
        try:
            async with first_byte:
                addresses = await self._resolve(target)
                async with (
                    aiohttp.ClientSession(
                        connector=_Connector(_Pinned(target, addresses)),
                        cookie_jar=aiohttp.DummyCookieJar(),
                        timeout=aiohttp.ClientTimeout(total=None),
                        auto_decompress=False,
                        trust_env=False,
                        max_line_size=_NEVER_REACHED_BYTES,
                        max_field_size=_NEVER_REACHED_BYTES,
                        max_headers=_MAX_HEADERS,
                    ) as session,
                    session.get(
                        _to_yarl(target), headers=_HEADERS, allow_redirects=False
                    ) as response,
                ):
                    if response.status in _REDIRECTS and "Location" in response.headers:
                        return self._judge(target.resolve_location(response.headers["Location"]))
                    return await self._read(target, response, first_byte, on_bytes)
        except TimeoutError as error:
            if not first_byte.expired():
                raise
            raise ImageUrlTimeoutError(
                f"{target.host} did not begin to answer within {self._limits.first_byte_s:g} s. "
                "Try again, or upload the image instead of linking to it."
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableImageUrlError(
                f"{target.host} {_describe(error)}. Check that the URL opens in a browser "
                "without signing in."
            ) from error

    def _judge(self, url: str) -> ImageUrl:
        return ImageUrl.parse(url, allowed_hosts=self._allowed_hosts, open_ports=self._open_ports)

    async def _resolve(self, target: ImageUrl) -> list[str]:
        literal = _read_address(target.host)
        texts = [literal] if literal else await self._look_up(target)
        if not texts:
            raise OSError("no address")
        for text in texts:
            address = ipaddress.ip_address(text)
            target.check_address(address, is_public=self._is_public(address))
        return texts

    async def _look_up(self, target: ImageUrl) -> list[str]:
        try:
            return list(await self._resolver.resolve(target.host, target.port))
        except TimeoutError as error:
            raise ImageUrlTimeoutError(
                f"The address of {target.host} could not be looked up in time. "
                "Try again, or upload the image instead of linking to it."
            ) from error

    async def _read(
        self,
        target: ImageUrl,
        response: aiohttp.ClientResponse,
        first_byte: asyncio.Timeout,
        on_bytes: Callable[[int], None],
    ) -> bytes:
        if response.status not in _WHOLE:
            raise ImageUrlStatusError(
                f"{target.host} answered with status {response.status} instead of the image. "
                "Check that the URL opens in a browser without signing in."
            )
        if _is_compressed(response):
            raise ImageUrlEncodingError(
                f"{target.host} sends the image compressed, which is not taken. "
                "Upload the image instead of linking to it."
            )
        max_bytes = self._limits.max_bytes
        # Gives its bytes away without copying them.
        body = io.BytesIO()
        if (response.content_length or 0) <= max_bytes:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                first_byte.reschedule(None)
                if body.tell() + len(chunk) > max_bytes:
                    break
                on_bytes(len(chunk))
                body.write(chunk)
            else:
                return body.getvalue()
        raise ImageUrlTooLargeError(
            f"The image at {target.host} has more than {max_bytes / 1e6:g} MB. "
            "Send it smaller: more than 2048 pixels on the longest edge are not used."
        )


class _Pinned(AbstractResolver):
    """Answers with the addresses that were checked, whatever the name means by now."""

    def __init__(self, target: ImageUrl, addresses: Sequence[str]) -> None:
        self._target = target
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host != self._target.host:
            raise ForbiddenImageUrlError("The image URL names another host than was checked.")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        return


class _HeadTooLargeError(aiohttp.ClientError):
    """The server sends more headers than are taken."""


class _Protocol(ResponseHandler):
    """Gives up on a server whose headers, or trailers behind the last chunk, have no end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._body: StreamReader | None = None
        self._body_bytes = 0
        self._head_bytes = 0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        body_bytes = self._body.total_bytes if self._body else 0
        # What comes while the body doesn't grow is kept by the parser.
        self._head_bytes = 0 if body_bytes > self._body_bytes else self._head_bytes + len(data)
        self._body_bytes = body_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(_HeadTooLargeError())

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        _, self._body = data
        super().feed_data(data, size)

    def _give_up(self, error: Exception) -> None:
        self.set_exception(error)
        if self._body is not None:
            self._body.set_exception(error)
        if self.transport is not None:
            self.transport.close()


class _Connector(aiohttp.TCPConnector):
    """Connects to checked addresses only and keeps no connection.

    aiohttp limits each header and their number, but not all of them together, and has no door for
    a protocol of one's own: hence its private attribute.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        super().__init__(resolver=resolver, use_dns_cache=False, force_close=True)
        protocol: type[ResponseHandler] = _Protocol
        self._factory = functools.partial(protocol, loop=self._loop)


def _read_address(host: str) -> str | None:
    """Read an address, also in the short forms that browsers know, such as ``127.1``.

    Returns:
        The address as text, or nothing if the host is a name.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _is_compressed(response: aiohttp.ClientResponse) -> bool:
    """Tell whether a compression is named; browsers pass over any other word, and so do we."""
    words = ",".join(response.headers.getall("Content-Encoding", ())).lower().split(",")
    return not _COMPRESSIONS.isdisjoint(word.strip() for word in words)


def _to_yarl(target: ImageUrl) -> URL:
    url = URL(target.origin + target.target, encoded=True)
    # Two parsers that read one URL differently are how checks of this kind are passed by.
    if url.host != target.host or url.port != target.port or url.user is not None:
        raise InvalidImageUrlError("The image URL is malformed.")
    return url


def _describe(error: Exception) -> str:
    match error:
        case _HeadTooLargeError():
            return f"sends more than {MAX_HEAD_BYTES // 1024} KiB of headers"
        case aiohttp.ClientConnectorCertificateError():
            return "has a TLS certificate that is not trusted"
        case aiohttp.ClientSSLError():
            return "could not agree on a TLS connection"
        case aiohttp.ClientConnectorError():
            return "could not be connected to"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return "broke off before the image was whole"
        case aiohttp.ClientError():
            return "did not answer in proper HTTP"
        case _:
            return "could not be found"

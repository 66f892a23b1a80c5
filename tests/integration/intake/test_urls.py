"""Fetching an image from servers that mean harm, over real sockets."""

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import Sequence

import pytest

from orchestrator.domain.input_errors import ImageUrlError, UnreachableImageUrlError
from orchestrator.intake.urls import MAX_HEAD_BYTES, FetchLimits, ImageFetcher
from tests.fakes.hostile_server import (
    Exchange,
    HostileServer,
    answer,
    redirect,
    running_hostile_server,
)

LIMITS = FetchLimits(first_byte_s=0.5, total_s=1.5, max_bytes=1_000_000)
LONG_S = 60.0
"""Never reached, unless a test hangs."""
SOON_S = 30.0
"""Far above the limits, whatever else the machine does, and below a hang."""


class FakeResolver:
    """Gives one answer after the other, and the last one from then on."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not found:
            raise OSError("no such host")
        return found


@pytest.fixture(name="server")
def _server():
    """A server whose behaviour the test sets path by path."""
    with running_hostile_server() as server:
        yield server


@pytest.fixture(name="other")
def _other():
    """A second server, which nothing allows."""
    with running_hostile_server() as server:
        server.behaviours["/inside"] = answer(b"a secret from inside")
        yield server


def fetch(server: HostileServer, path: str, **options) -> bytes:
    fetcher = ImageFetcher(
        allowed_hosts=options.pop("allowed_hosts", frozenset({server.host})),
        limits=options.pop("limits", LIMITS),
        **options,
    )
    return asyncio.run(fetcher.fetch(path if "://" in path else server.origin + path))


def refusal(server: HostileServer, path: str, **options) -> ImageUrlError:
    began = time.monotonic()
    with pytest.raises(ImageUrlError) as caught:
        fetch(server, path, **options)
    assert time.monotonic() - began < SOON_S
    assert caught.value.message.endswith(".")
    return caught.value


def served_as(body_from: bytes, *, length: int | None = None):
    def behave(exchange: Exchange) -> None:
        stated = "" if length is None else f"Content-Length: {length}\r\n"
        exchange.send(f"HTTP/1.1 200 OK\r\n{stated}Connection: close\r\n\r\n".encode())
        exchange.send(body_from)

    return behave


class TestFetch:
    def test_returns_the_body(self, server):
        server.behaviours["/a.png?sig=a%2Bb"] = answer(b"bytes")

        assert fetch(server, "/a.png?sig=a%2Bb") == b"bytes"

    def test_asks_as_a_stranger(self, server, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        server.behaviours["/first"] = answer(
            b"", status="302 Found", headers=("Location: /second", "Set-Cookie: a=b")
        )
        server.behaviours["/second"] = answer(b"x")

        fetch(server, "/first")

        head = server.heads[-1].lower()
        assert "accept-encoding: identity" in head
        assert not [word for word in ("cookie:", "authorization:", "referer:") if word in head]

    def test_follows_three_redirects(self, server):
        for number in range(3):
            server.behaviours[f"/{number}"] = redirect(f"/{number + 1}")
        server.behaviours["/3"] = answer(b"there")

        assert fetch(server, "/0") == b"there"

    def test_takes_a_body_of_unknown_length(self, server):
        server.behaviours["/a"] = served_as(b"until the end")

        assert fetch(server, "/a") == b"until the end"

    def test_takes_a_body_in_tiny_chunks(self, server):
        """Their framing is larger than the limit of the headers, and is no header."""
        count = 100_000
        server.behaviours["/a"] = lambda exchange: exchange.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"1\r\na\r\n" * count
            + b"0\r\n\r\n"
        )

        assert fetch(server, "/a", limits=FetchLimits()) == b"a" * count

    def test_holds_the_body_once(self, server):
        """A limit of so many bytes costs about as much memory, not twice that."""
        body = bytes(8_000_000)
        server.behaviours["/a"] = served_as(body)
        fetcher = ImageFetcher(
            allowed_hosts=frozenset({server.host}), limits=FetchLimits(max_bytes=len(body))
        )

        async def measure() -> int:
            tracemalloc.start()
            try:
                assert len(await fetcher.fetch(f"{server.origin}/a")) == len(body)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert asyncio.run(measure()) < 1.5 * len(body)


ANSWERS = {
    "a long content policy": f"HTTP/1.1 200 OK|X-Policy: {'a' * 200_000}|Content-Length: 5||image",
    "a long reason": f"HTTP/1.1 200 {'a' * 10_000}|Content-Length: 5||image",
    "many headers": f"HTTP/1.1 200 OK|{'X-A: b|' * 900}Content-Length: 5||image",
    "no reason": "HTTP/1.1 200|Content-Length: 5||image",
    "a reason in Latin-1": "HTTP/1.1 200 Schön|Content-Length: 5||image",
    "a header in Latin-1": "HTTP/1.1 200 OK|X-A: schön|Content-Length: 5||image",
    "a folded header": "HTTP/1.1 200 OK|X-A: b| c|Content-Length: 5||image",
    "a header twice": "HTTP/1.1 200 OK|Server: a|Server: a|Content-Length: 5||image",
    "line feeds alone": "HTTP/1.1 200 OK\nContent-Length: 5\n\nimage",
    "HTTP/1.0": "HTTP/1.0 200 OK||image",
    "HTTP/1.0 kept alive": "HTTP/1.0 200 OK|Connection: keep-alive||image",
    "no length": "HTTP/1.1 200 OK||image",
    "no length, kept alive": "HTTP/1.1 200 OK|Connection: keep-alive||image",
    "an odd content type": "HTTP/1.1 200 OK|Content-Type: ;;=ÿ|Content-Length: 5||image",
    "chunks with extensions": (
        'HTTP/1.1 200 OK|Transfer-Encoding: Chunked||5;a=b;c="d e"|image|0|X-Trailer: a||'
    ),
    "chunks with padded sizes": "HTTP/1.1 200 OK|Transfer-Encoding: chunked||0005  |image|00||",
    "chunks in HTTP/1.0": "HTTP/1.0 200 OK|Transfer-Encoding: chunked||5|image|0||",
    "early hints": "HTTP/1.1 103 Early|Link: </a>||HTTP/1.1 200 OK|Content-Length: 5||image",
    "an offer of HTTP/2": (
        "HTTP/1.1 200 OK|Upgrade: h2|Connection: Upgrade|Content-Length: 5||image"
    ),
    "line ends in front": "|HTTP/1.1 200 OK|Content-Length: 5||image",
    "a line end behind": "HTTP/1.1 200 OK|Content-Length: 5||image|",
    "status 203": "HTTP/1.1 203 Transformed|Content-Length: 5||image",
    "encoding: nothing": "HTTP/1.1 200 OK|Content-Encoding:|Content-Length: 5||image",
    "encoding: Identity": "HTTP/1.1 200 OK|Content-Encoding: Identity|Content-Length: 5||image",
    "encoding: UTF-8": "HTTP/1.1 200 OK|Content-Encoding: UTF-8|Content-Length: 5||image",
    "encoding: aws-chunked": (
        "HTTP/1.1 200 OK|Content-Encoding: aws-chunked|Content-Length: 5||image"
    ),
}
"""What browsers take. A bar is a line end of CR and LF."""


class TestOddAnswers:
    @pytest.mark.parametrize("name", ANSWERS)
    def test_that_browsers_take_are_taken(self, server, name):
        sent = ANSWERS[name].replace("|", "\r\n").encode("latin-1")
        server.behaviours["/a"] = lambda exchange: exchange.send(sent)

        assert fetch(server, "/a") == b"image"

    @pytest.mark.parametrize(
        ("location", "target"),
        [
            ("there", "/deep/there"),
            ("../there", "/there"),
            ("?size=l", "/deep/a?size=l"),
            ("//{host}/there", "/there"),
            ("HTTP://{host}/there#part", "/there"),
            ("  /there  ", "/there"),
            ("/a b", "/a%20b"),
            ("/ünd?ö=ß", "/%C3%BCnd?%C3%B6=%C3%9F"),
            ("/\udcfcnd", "/%FCnd"),
            ("\\deep\\there", "/deep/there"),
            ("/there?a=" + "a" * 8_000, "/there?a=" + "a" * 8_000),
        ],
        ids=range(11),
    )
    def test_may_redirect_as_browsers_follow(self, server, location, target):
        sent = f"HTTP/1.1 302 F\r\nLocation: {location.format(host=server.host)}\r\n\r\n"
        server.behaviours["/deep/a"] = lambda exchange: exchange.send(
            sent.encode("utf-8", "surrogateescape")
        )
        server.behaviours[target] = answer(b"there")

        assert fetch(server, "/deep/a") == b"there"


class TestHeads:
    """Status line and headers, together."""

    def test_may_be_as_large_as_the_limit(self, server):
        lines = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: ", "\r\n\r\n"
        filler = "a" * (MAX_HEAD_BYTES - sum(map(len, lines)))
        server.behaviours["/a"] = lambda exchange: exchange.send(filler.join(lines).encode())
        server.behaviours["/b"] = lambda exchange: exchange.send(
            filler.join(lines).encode() + b"image"
        )

        assert "broke off" in refusal(server, "/a").message
        assert fetch(server, "/b") == b"image"

    @pytest.mark.parametrize(
        "piece",
        [b"a" * 65_536, b"X-A: " + b"a" * 4_000 + b"\r\n"],
        ids=["in one header", "in many headers"],
    )
    def test_that_never_end_are_cut_off(self, server, piece):
        sent_bytes = 0

        def behave(exchange: Exchange) -> None:
            nonlocal sent_bytes
            exchange.send(b"HTTP/1.1 200 OK\r\nX-A: ")
            while not exchange.is_stopping.is_set():
                exchange.send(piece)
                sent_bytes += len(piece)

        server.behaviours["/a"] = behave

        error = refusal(server, "/a", limits=FetchLimits(first_byte_s=LONG_S, total_s=LONG_S))

        assert error.code == "image_url_unreachable"
        assert "sends more than 256 KiB of headers" in error.message
        assert sent_bytes < 20_000_000

    def test_that_are_announced_for_ever_are_cut_off(self, server):
        def behave(exchange: Exchange) -> None:
            while not exchange.is_stopping.is_set():
                exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1_000)

        server.behaviours["/a"] = behave

        error = refusal(server, "/a", limits=FetchLimits(first_byte_s=LONG_S, total_s=LONG_S))

        assert "sends more than 256 KiB of headers" in error.message

    @pytest.mark.parametrize(
        "piece", [b"a" * 65_536, b"X-A: " + b"a" * 200_000 + b"\r\n"], ids=["one", "many"]
    )
    def test_that_end_in_trailers_for_ever_are_cut_off(self, server, piece):
        sent_bytes = 0

        def behave(exchange: Exchange) -> None:
            nonlocal sent_bytes
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            exchange.send(b"5\r\nimage\r\n0\r\nX-A: ")
            while not exchange.is_stopping.is_set():
                exchange.send(piece)
                sent_bytes += len(piece)

        server.behaviours["/a"] = behave

        error = refusal(server, "/a", limits=FetchLimits(first_byte_s=LONG_S, total_s=LONG_S))

        assert "sends more than 256 KiB of headers" in error.message
        assert sent_bytes < 20_000_000

    def test_of_very_many_headers_are_refused(self, server):
        server.behaviours["/a"] = answer(b"image", headers=("X-A: b",) * 2_000)

        assert refusal(server, "/a").code == "image_url_unreachable"


class TestForbiddenAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://localhost/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://0/",
            "http://10.0.0.1/",
            "http://169.254.169.254/metadata/identity/oauth2/token",
            "http://168.63.129.16/machine",
        ],
    )
    def test_are_not_connected_to(self, server, url):
        assert refusal(server, url).code == "image_url_forbidden"

    def test_are_refused_behind_a_name(self, server):
        resolver = FakeResolver(["93.184.216.34", "10.0.0.5"])

        error = refusal(server, "http://photos.example/a", resolver=resolver)

        assert error.code == "image_url_forbidden"
        assert "10.0.0.5" not in error.message

    def test_are_refused_after_a_redirect(self, server, other):
        server.behaviours["/a"] = redirect(f"{other.origin}/inside")
        server.behaviours["/b"] = redirect("http://169.254.169.254/metadata")
        server.behaviours["/c"] = redirect("//10.0.0.1/")

        codes = {refusal(server, path).code for path in ("/a", "/b", "/c")}

        assert codes == {"image_url_forbidden"}
        assert other.heads == []


class TestPinning:
    def test_connects_to_the_address_that_was_checked(self, server):
        """The name is asked for once a hop, and the second hop finds what it means by then.

        Loopback stands for the public internet here, and 10.0.0.9 for what lies inside.
        """
        resolver = FakeResolver(["127.0.0.1"], ["10.0.0.9"])
        origin = f"http://rebind.example:{server.port}"
        server.behaviours["/a"] = answer(b"from the checked address")
        server.behaviours["/b"] = redirect("/a")
        options = {
            "resolver": resolver,
            "is_public": lambda address: str(address) == "127.0.0.1",
            "open_ports": frozenset({server.port}),
            "allowed_hosts": frozenset(),
        }

        assert fetch(server, f"{origin}/a", **options) == b"from the checked address"
        assert resolver.asked == ["rebind.example"]

        resolver.answers = [["127.0.0.1"], ["10.0.0.9"]]
        assert refusal(server, f"{origin}/b", **options).code == "image_url_forbidden"
        assert len(server.heads) == 2


class TestSlowServers:
    def test_that_never_answer(self, server):
        server.behaviours["/a"] = lambda exchange: exchange.wait(30)

        error = refusal(server, "/a")

        assert (error.code, error.retryable) == ("image_url_timeout", True)
        assert "0.5 s" in error.message

    def test_that_drip_their_headers(self, server):
        def behave(exchange: Exchange) -> None:
            exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not exchange.wait(0.05):
                exchange.send(b"a")

        server.behaviours["/a"] = behave

        assert refusal(server, "/a").code == "image_url_timeout"

    def test_that_send_headers_and_no_body(self, server):
        def behave(exchange: Exchange) -> None:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            exchange.wait(30)

        server.behaviours["/a"] = behave

        assert "0.5 s" in refusal(server, "/a").message

    def test_that_drip_their_body(self, server):
        def behave(exchange: Exchange) -> None:
            exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while not exchange.wait(0.05):
                exchange.send(b"a")

        server.behaviours["/a"] = behave

        error = refusal(server, "/a")

        assert error.code == "image_url_timeout"
        assert "1.5 s" in error.message

    def test_that_redirect_slowly_share_one_limit(self, server):
        def behave(exchange: Exchange) -> None:
            exchange.wait(0.4)
            redirect("/a")(exchange)

        server.behaviours["/a"] = behave

        error = refusal(
            server, "/a", limits=FetchLimits(first_byte_s=1, total_s=0.9, max_redirects=20)
        )

        assert error.code == "image_url_timeout"


class TestLargeBodies:
    def test_are_refused_by_their_announced_length(self, server):
        server.behaviours["/a"] = served_as(b"", length=50_000_000)

        error = refusal(server, "/a")

        assert (error.code, error.status) == ("image_url_too_large", 413)

    def test_are_refused_with_the_limit_that_is_set(self, server):
        server.behaviours["/a"] = served_as(b"", length=50_000_000)
        server.behaviours["/b"] = served_as(bytes(300_001))
        limits = FetchLimits(max_bytes=300_000)

        for path in ("/a", "/b"):
            message = refusal(server, path, limits=limits).message
            assert "more than 0.3 MB" in message
            assert "more than 2048 pixels on the longest edge are not used" in message

    def test_are_taken_up_to_the_limit(self, server):
        server.behaviours["/a"] = served_as(bytes(300_000))

        assert len(fetch(server, "/a", limits=FetchLimits(max_bytes=300_000))) == 300_000

    def test_are_cut_off_when_they_stream_for_ever(self, server):
        sent_bytes = 0

        def behave(exchange: Exchange) -> None:
            nonlocal sent_bytes
            exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            while not exchange.is_stopping.is_set():
                exchange.send(bytes(65_536))
                sent_bytes += 65_536

        server.behaviours["/a"] = behave

        assert refusal(server, "/a").code == "image_url_too_large"
        assert sent_bytes < 20_000_000

    def test_are_cut_off_when_they_stream_chunks_for_ever(self, server):
        def behave(exchange: Exchange) -> None:
            exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not exchange.is_stopping.is_set():
                exchange.send(b"10000\r\n" + bytes(65_536) + b"\r\n")

        server.behaviours["/a"] = behave

        assert refusal(server, "/a").code == "image_url_too_large"


class TestBadAnswers:
    def test_of_more_bytes_than_were_sent(self, server):
        server.behaviours["/a"] = served_as(b"short", length=1_000)

        error = refusal(server, "/a")

        assert error.code == "image_url_unreachable"
        assert "broke off" in error.message

    def test_of_fewer_bytes_than_were_sent_never_give_more(self, server):
        server.behaviours["/a"] = served_as(b"0123456789", length=4)

        try:
            body = fetch(server, "/a")
        except UnreachableImageUrlError:
            # When all of it arrives at once, the client sees the lie.
            body = b"0123"

        assert body == b"0123"

    @pytest.mark.parametrize(
        "status", ["404 Not Found", "204 No Content", "206 Partial Content", "500 Oops"]
    )
    def test_of_another_status(self, server, status):
        server.behaviours["/a"] = answer(b"", status=status)

        error = refusal(server, "/a?sig=secret", limits=LIMITS)
        assert error.code == "image_url_bad_status"
        assert "secret" not in error.message

    def test_of_compressed_bytes(self, server):
        body = gzip.compress(bytes(10_000))
        server.behaviours["/a"] = answer(body, headers=("Content-Encoding: gzip",))
        server.behaviours["/b"] = answer(body, headers=("Content-Encoding: utf-8, X-GZip",))
        server.behaviours["/c"] = answer(
            body, headers=("Content-Encoding: identity", "Content-Encoding: br")
        )

        codes = {refusal(server, path).code for path in ("/a", "/b", "/c")}

        assert codes == {"image_url_encoded"}

    def test_of_redirects_in_a_circle(self, server):
        server.behaviours["/a"] = redirect("/b")
        server.behaviours["/b"] = redirect("/a")

        assert refusal(server, "/a").code == "image_url_too_many_redirects"
        assert len(server.heads) == 4

    def test_of_redirects_to_other_schemes(self, server):
        server.behaviours["/a"] = redirect("file:///etc/passwd")

        assert refusal(server, "/a").code == "image_url_invalid"

    def test_of_something_that_is_not_http(self, server):
        server.behaviours["/a"] = lambda exchange: exchange.send(b"SSH-2.0-OpenSSH\r\n\r\n")

        assert refusal(server, "/a").code == "image_url_unreachable"

    def test_of_nobody(self, server):
        error = refusal(server, "http://gone.example/", resolver=FakeResolver([]))

        assert error.code == "image_url_unreachable"
        assert "could not be found" in error.message

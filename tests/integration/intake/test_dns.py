"""Looking up names of strangers at a name server that means harm, over real sockets."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import aiodns
import pytest

from orchestrator.domain.input_errors import ImageUrlTimeoutError
from orchestrator.intake.dns import DnsResolver, open_channel
from orchestrator.intake.urls import ImageFetcher
from tests.fakes.dns_server import (
    AAAA,
    NO_SUCH_NAME,
    REFUSED,
    SERVER_FAILED,
    A,
    DnsServer,
    Question,
    addresses,
    refuse,
    running_dns_server,
    silence,
)

HOSTS_FILE = Path("/etc/hosts")
LONG_S = 60.0
"""Never reached, unless a test hangs."""
SOON_S = 10.0
"""Well above the short limit and well below the long one."""
SHORT_S = 0.2
V4, V6 = "93.184.216.34", "2606:4700::1111"


@pytest.fixture(name="server")
def _server():
    """A name server that never answers for ``stuck…`` and knows ``honest``."""
    with running_dns_server() as server:
        server.answers.update(honest=addresses(V4, V6), stuck=silence)
        yield server


class Channels:
    """Opens channels to the server and remembers them."""

    def __init__(self, server: DnsServer) -> None:
        self.server = server
        self.opened: list[aiodns.DNSResolver] = []

    def __call__(self) -> aiodns.DNSResolver:
        self.opened.append(open_channel([self.server.address]))
        return self.opened[-1]

    def count_open(self) -> int:
        return sum(map(is_open, self.opened))


def is_open(channel: aiodns.DNSResolver) -> bool:
    try:
        return bool(channel.nameservers)
    except RuntimeError:
        return False


class CountingExecutor(ThreadPoolExecutor):
    """Counts what it is given."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.tasks = 0

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks += 1
        return super().submit(*args, **kwargs)


def resolver(server: DnsServer, **options: Any) -> DnsResolver:
    return DnsResolver(**{"limit_s": LONG_S, "channel": Channels(server)} | options)


def look_up(server: DnsServer, name: str, **options: Any) -> list[str]:
    return list(asyncio.run(resolver(server, **options).resolve(name, 443)))


async def with_stuck(
    dns: DnsResolver, count: int, act: Callable[[list[asyncio.Task[Any]]], Awaitable[Any]]
) -> Any:
    """Act while so many look-ups wait for an answer that never comes."""
    tasks = [
        asyncio.create_task(dns.resolve(f"stuck.{number}.example", 443)) for number in range(count)
    ]
    await asyncio.sleep(0)
    try:
        return await act(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TestResolve:
    def test_gives_addresses_of_both_kinds(self, server):
        assert set(look_up(server, "honest.example")) == {V4, V6}
        assert {kind for _, kind in server.asked} == {A, AAAA}

    @pytest.mark.parametrize("address", [V4, V6])
    def test_gives_those_of_one_kind_if_there_are_no_others(self, server, address):
        server.answers["one"] = addresses(address)

        assert look_up(server, "one.example") == [address]

    def test_gives_ipv4_if_the_other_question_is_never_answered(self, server):
        server.answers["half"] = lambda question: (
            question.answer([V4]) if question.kind == A else None
        )

        assert look_up(server, "half.example") == [V4]

    def test_takes_an_answer_that_comes_late(self, server):
        """The first two questions, A and AAAA, are lost; those asked again are answered."""

        def answer(question: Question) -> bytes | None:
            kinds = [kind for _, kind in server.asked]
            return question.answer([V4]) if question.kind in kinds else None

        server.answers["late"] = answer

        assert look_up(server, "late.example") == [V4]

    def test_asks_the_next_server_if_one_is_dead(self, server):
        with running_dns_server() as dead:
            dead.answers["honest"] = silence
            channel = partial(open_channel, [dead.address, server.address])

            assert V4 in look_up(server, "honest.example", channel=channel)
            assert dead.names == {"honest.example"}

    @pytest.mark.parametrize(
        "answer",
        [
            addresses(),
            refuse(NO_SUCH_NAME),
            refuse(SERVER_FAILED),
            refuse(REFUSED),
            lambda question: question.packet[:2] + b"garbage",
            lambda question: question.answer([V4])[:-2],
        ],
        ids=["none", "no such name", "server failed", "refused", "garbage", "cut off"],
    )
    def test_says_that_there_is_no_address(self, server, answer):
        server.answers["bad"] = answer

        with pytest.raises(OSError, match="no address"):
            look_up(server, "bad.example")

    @pytest.mark.parametrize("name", ["localhost", "photos.localhost"])
    def test_knows_localhost_without_asking(self, server, name):
        assert "127.0.0.1" in look_up(server, name)
        assert server.asked == []

    def test_reads_the_hosts_file_without_asking(self, server):
        lines = HOSTS_FILE.read_text("utf-8").splitlines() if HOSTS_FILE.exists() else []
        entries = [line.partition("#")[0].split() for line in lines]
        named = [entry[:2] for entry in entries if entry[1:] and "localhost" not in entry[1]]
        if not named:
            pytest.skip(f"{HOSTS_FILE} names nothing but localhost.")

        for address, name in named:
            assert address in look_up(server, name)
        assert server.asked == []


class TestTimeLimit:
    def test_holds_for_a_server_that_never_answers(self, server):
        """Ours, not the one of c-ares, which depends on how many servers there are."""
        patient = partial(aiodns.DNSResolver, [server.address], tries=100)
        dns = resolver(server, limit_s=SHORT_S, channel=patient)

        async def wait_for_the_end() -> type[Exception]:
            task = asyncio.create_task(dns.resolve("stuck.example", 443))
            await asyncio.wait([task], timeout=SOON_S)
            return type(task.exception())

        assert asyncio.run(wait_for_the_end()) is TimeoutError

    def test_is_a_retryable_refusal_of_the_url(self, server):
        fetcher = ImageFetcher(resolver=resolver(server, limit_s=SHORT_S))

        with pytest.raises(ImageUrlTimeoutError) as caught:
            asyncio.run(fetcher.fetch("https://stuck.example/a.png"))

        assert caught.value.retryable
        assert "looked up in time" in caught.value.message


class TestStuckLookups:
    def test_delay_neither_an_honest_one_nor_the_threads(self, server):
        """200 never get an answer, and the threads of the loop are asked nothing."""

        async def act(tasks: list[asyncio.Task[Any]]) -> None:
            threads = CountingExecutor()
            asyncio.get_running_loop().set_default_executor(threads)
            await asyncio.to_thread(server.wait_until, lambda: len(server.names) == 200)

            assert V4 in await dns.resolve("honest.example", 443)
            assert not [task for task in tasks if task.done()]
            assert threads.tasks == 1

        dns = resolver(server)
        asyncio.run(with_stuck(dns, 200, act))

    def test_share_one_socket(self, server):
        async def act(tasks: list[asyncio.Task[Any]]) -> None:
            await dns.resolve("honest.example", 443)

        dns = resolver(server)
        asyncio.run(with_stuck(dns, 50, act))

        assert len(server.ports) == 1

    def test_beyond_the_bound_wait_for_their_turn(self, server):
        async def act(tasks: list[asyncio.Task[Any]]) -> None:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SHORT_S):
                    await dns.resolve("honest.example", 443)
            assert "honest.example" not in server.names

            tasks[0].cancel()
            assert V4 in await dns.resolve("honest.example", 443)

        dns = resolver(server, max_in_flight=2)
        asyncio.run(with_stuck(dns, 2, act))

    def test_beyond_the_bound_are_refused_after_the_time_limit(self, server):
        """None is held for longer than the others: the wait counts."""

        async def act(tasks: list[asyncio.Task[Any]]) -> list[Any]:
            return await asyncio.gather(*tasks, return_exceptions=True)

        dns = resolver(server, max_in_flight=2, limit_s=SHORT_S)
        ends = asyncio.run(with_stuck(dns, 6, act))

        assert [type(end) for end in ends] == [TimeoutError] * 6


class TestChannels:
    @pytest.mark.parametrize("name", ["honest.example", "gone.example", "stuck.example"])
    def test_are_closed_with_their_event_loop(self, server, name):
        async def look_up_and_leave() -> None:
            with contextlib.suppress(OSError):
                async with asyncio.timeout(SHORT_S):
                    await dns.resolve(name, 443)

        channels = Channels(server)
        dns = resolver(server, channel=channels)
        for _ in range(5):
            asyncio.run(look_up_and_leave())

        assert (len(channels.opened), channels.count_open()) == (5, 0)

    def test_are_renewed_although_one_lookup_never_ends(self, server):
        """An answer is kept for its time to live, so that no channel may serve for ever."""

        async def act(tasks: list[asyncio.Task[Any]]) -> None:
            for _ in range(250):
                await dns.resolve("honest.example", 443)
            assert len(channels.opened) > 2
            # The one with the stuck look-up: 250 others are over.
            assert channels.count_open() == 1

        channels = Channels(server)
        dns = resolver(server, channel=channels)
        asyncio.run(with_stuck(dns, 1, act))

        assert channels.count_open() == 0

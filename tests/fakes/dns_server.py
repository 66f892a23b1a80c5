"""A name server on loopback that answers each name as a test wants it."""

import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

A, AAAA = 1, 28
NO_ERROR, SERVER_FAILED, NO_SUCH_NAME, REFUSED = 0, 2, 3, 5
PATIENCE_S = 60.0

Answer = Callable[["Question"], bytes | None]


@dataclass(frozen=True)
class Question:
    """One question; `kind` is the number of the record's type."""

    packet: bytes
    name: str
    kind: int

    @classmethod
    def read(cls, packet: bytes) -> "Question":
        labels, at = [], 12
        while length := packet[at]:
            labels.append(packet[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        (kind,) = struct.unpack_from("!H", packet, at + 1)
        return cls(packet, ".".join(labels).lower(), kind)

    def answer(self, addresses: Sequence[str] = (), *, code: int = NO_ERROR) -> bytes:
        """Build the answer with those of the addresses that are of the asked kind."""
        version = {A: 4, AAAA: 6}.get(self.kind)
        found = [one for one in map(ipaddress.ip_address, addresses) if one.version == version]
        question_ends = 12 + len(self.name) + 2 + 4
        head = struct.pack("!2sHHHHH", self.packet[:2], 0x8180 | code, 1, len(found), 0, 0)
        records = [
            struct.pack("!HHHIH", 0xC00C, self.kind, 1, 60, len(one.packed)) + one.packed
            for one in found
        ]
        return head + self.packet[12:question_ends] + b"".join(records)


@dataclass
class DnsServer:
    """What the server says and what it was asked.

    Attributes:
        address: ``host:port``.
        answers: What happens to each name; the first label counts alone. Any other name does not
            exist.
        asked: Names and kinds, in the order of their arrival, repetitions included.
        ports: Where questions came from.
    """

    address: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.asked}

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait for questions; blocks the thread."""
        with self.changed:
            assert self.changed.wait_for(is_true, PATIENCE_S)


def addresses(*found: str) -> Answer:
    """Answer as a decent server would."""
    return lambda question: question.answer(found)


def refuse(code: int) -> Answer:
    """Answer with an error."""
    return lambda question: question.answer(code=code)


def silence(question: Question) -> None:
    """Never answer."""


@contextmanager
def running_dns_server() -> Iterator[DnsServer]:
    """Serve on a free UDP port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        server = DnsServer(f"127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while True:
                packet, sender = listener.recvfrom(4096)
                if not packet:
                    return
                question = Question.read(packet)
                answer = server.answers.get(question.name.partition(".")[0], refuse(NO_SUCH_NAME))(
                    question
                )
                if answer is not None:
                    listener.sendto(answer, sender)
                with server.changed:
                    server.ports.add(sender[1])
                    server.asked.append((question.name, question.kind))
                    server.changed.notify_all()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            listener.sendto(b"", listener.getsockname())
            thread.join()

"""A web server on loopback that answers each path as a test wants it, byte by byte."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Behaviour = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One request, and the socket to answer it on."""

    head: str
    socket: socket.socket
    is_stopping: threading.Event

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait(self, timeout_s: float) -> bool:
        """Do nothing for a while; true when the server is being closed."""
        return self.is_stopping.wait(timeout_s)


@dataclass
class HostileServer:
    """What the server does and what it was asked.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        behaviours: What happens on each path.
        otherwise: What happens on any other path: 404.
        heads: Request lines and headers, in the order of their arrival.
    """

    port: int
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    otherwise: Behaviour = field(
        default_factory=lambda: answer(b"nothing here", status="404 Not Found")
    )

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


def answer(body: bytes, *, status: str = "200 OK", headers: tuple[str, ...] = ()) -> Behaviour:
    """Answer as a decent server would."""

    def behave(exchange: Exchange) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        exchange.send("\r\n".join(lines).encode() + body)

    return behave


def redirect(location: str) -> Behaviour:
    """Send the client elsewhere."""
    return answer(b"", status="302 Found", headers=(f"Location: {location}",))


@contextmanager
def running_hostile_server() -> Iterator[HostileServer]:
    """Serve on a free port; on leaving, every behaviour that still runs is told to end."""
    is_stopping = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                received = self.request.recv(65536)
                if not received:
                    return
                head += received
            text = head.decode("latin-1")
            hostile.heads.append(text)
            behave = hostile.behaviours.get(text.split(" ")[1], hostile.otherwise)
            try:
                behave(Exchange(text, self.request, is_stopping))
            except OSError:
                return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        hostile = HostileServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hostile
        finally:
            is_stopping.set()
            server.shutdown()
            thread.join()

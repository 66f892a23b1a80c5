"""Chooses TCP ports that will still be free when their program starts."""

import random
import socket

# Below the ranges from which Linux (32768) and macOS (49152) take the local ports of outgoing
# connections: a port is chosen long before its program binds it, and is bound again after a
# restart, while hundreds of polls come and go.
_PORTS = range(15_000, 30_000)


def choose_free_ports(count: int) -> list[int]:
    """Choose distinct ports of 127.0.0.1 that nobody listens on.

    Args:
        count: How many, 1 or more.

    Returns:
        `count` port numbers, in no order.

    Raises:
        OSError: No free port was found.
    """
    free: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, 2_000):
        if len(free) == count:
            return free
        if is_free(port):
            free.append(port)
    raise OSError(f"found only {len(free)} of {count} free ports")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that a former server left in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""Free loopback ports for tests and demos, where nobody has assigned any.

Chosen below the range from which the kernel takes ports for outgoing connections: a server that is
stopped for a while must find its port free when it starts again.
"""

import contextlib
import random
import socket

_CANDIDATES = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Return that many different ports of 127.0.0.1 on which nobody listens now."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(_CANDIDATES, len(_CANDIDATES)):
            if len(found) == count:
                return found
            listener = held.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                found.append(port)
    raise AssertionError(f"fewer than {count} ports are free")

"""The network of the pod that this process runs in, as the kernel shows it without a capability."""

from __future__ import annotations

import socket
import time
from typing import Final

from ..process.listening import sockets
from .policy import CONNECT_SECONDS, SEEN_AGAIN_SECONDS, SEEN_SECONDS

_LOOPBACKS: Final = ("127.0.0.1", "::1")


def loopbacks() -> tuple[str, ...]:
    """Return the loopback addresses that this pod has."""
    return tuple(one for one in _LOOPBACKS if _has(one))


def _has(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as bound:
            bound.bind((address, 0))
    except OSError:
        return False
    return True


def answering_port(address: str, port: int) -> int:
    """Return the port of the socket that a connection to an address of this pod reaches.

    It is another one where the kernel redirects the connection. Nothing is sent. 0 if the kernel
    does not show it. Raises OSError where there is no connection.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_SECONDS)
        connection.bind((address, 0))  # or others could use the same port at the same time
        own = connection.getsockname()[:2]
        before = {one.port for one in sockets() if one.peer == own}  # of a connection that ended
        connection.connect((address, port))
        deadline = time.monotonic() + SEEN_SECONDS
        while True:
            for one in sockets():
                if one.peer == own and not one.listening and one.port not in before:
                    return one.port
            if time.monotonic() > deadline:
                return 0
            time.sleep(SEEN_AGAIN_SECONDS)

"""The network of the pod that this process runs in, as the kernel shows it without a capability."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from .policy import CONNECT_SECONDS, SEEN_AGAIN_SECONDS, SEEN_SECONDS

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN: Final = "0A"
_WORD: Final = 8
_LOOPBACKS: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class PodSocket:
    """One TCP socket; addresses are without the prefix of mapped IPv4."""

    address: str
    port: int
    peer: tuple[str, int]
    listening: bool
    user: int

    @property
    def local(self) -> bool:
        """Whether only processes in the pod can connect to it."""
        return ip_address(self.address).is_loopback


def read_table(text: str) -> Iterator[PodSocket]:
    """Yield the sockets of a table in the form of /proc/net/tcp (proc_net_tcp(5))."""
    for line in text.splitlines()[1:]:
        _, local, peer, state, _, _, _, user, *_ = line.split()
        address, port = _endpoint(local)
        yield PodSocket(address, port, _endpoint(peer), state == _LISTEN, int(user))


def sockets(tables: Iterable[Path] = _TABLES) -> tuple[PodSocket, ...]:
    """Return all TCP sockets of this network namespace."""
    return tuple(one for table in tables if table.exists() for one in read_table(table.read_text()))


def _endpoint(written: str) -> tuple[str, int]:
    words, _, port = written.partition(":")
    raw = b"".join(
        int(words[start : start + _WORD], 16).to_bytes(4, sys.byteorder)
        for start in range(0, len(words), _WORD)
    )
    parsed = ip_address(raw)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed), int(port, 16)


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
    with socket.create_connection((address, port), timeout=CONNECT_SECONDS) as connection:
        own = connection.getsockname()[:2]
        deadline = time.monotonic() + SEEN_SECONDS
        while True:
            for one in sockets():
                if one.peer == own and not one.listening:
                    return one.port
            if time.monotonic() > deadline:
                return 0
            time.sleep(SEEN_AGAIN_SECONDS)

"""The TCP sockets of this network namespace, and which process listens, as the kernel shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_LISTENS: Final = "0A"
_TABLES: Final = ("tcp", "tcp6")
_WORD: Final = 8


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One TCP socket; addresses are without the prefix of mapped IPv4."""

    address: str
    port: int
    peer: tuple[str, int]
    listening: bool
    user: int
    inode: str

    @property
    def local(self) -> bool:
        """Whether only processes of this network namespace can connect to it."""
        return ip_address(self.address).is_loopback


def read_table(text: str) -> Iterator[TcpSocket]:
    """Yield the sockets of a table in the form of /proc/net/tcp (proc_net_tcp(5))."""
    for line in text.splitlines()[1:]:
        _, local, peer, state, _, _, _, user, _, inode, *_ = line.split()
        yield TcpSocket(*_endpoint(local), _endpoint(peer), state == _LISTENS, int(user), inode)


def sockets(proc: Path = _PROC) -> Iterator[TcpSocket]:
    """Yield all TCP sockets of this network namespace."""
    for table in _TABLES:
        try:
            text = (proc / "net" / table).read_text()
        except OSError:
            continue
        yield from read_table(text)


def _endpoint(written: str) -> tuple[str, int]:
    words, _, port = written.partition(":")
    raw = b"".join(
        int(words[start : start + _WORD], 16).to_bytes(4, sys.byteorder)
        for start in range(0, len(words), _WORD)
    )
    parsed = ip_address(raw)
    return str(getattr(parsed, "ipv4_mapped", None) or parsed), int(port, 16)


@dataclass(frozen=True, slots=True)
class Listening:
    """A process that listens: its number and its command line."""

    pid: int
    command: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether it is `sealyard serve`."""
        words = [word.rpartition("/")[2] for word in self.command]
        return "serve" in words and ("sealyard" in words or "proxy" in words)

    def __str__(self) -> str:
        """Return the program and its number; arguments may hold secrets."""
        name = self.command[0].rpartition("/")[2] if self.command else "a process"
        return f"{name} (pid {self.pid})"


def at_port(port: int, proc: Path = _PROC) -> Listening | None:
    """Return who listens at a port; None where it cannot be seen."""
    found = (one for one in sockets(proc) if one.listening and one.port == port)
    wanted = {f"socket:[{one.inode}]" for one in found}
    for pid in (one for one in proc.iterdir() if one.name.isdecimal()) if wanted else ():
        try:
            if any(str(one.readlink()) in wanted for one in (pid / "fd").iterdir()):
                words = (pid / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                return Listening(
                    int(pid.name), tuple(word.decode("utf-8", "replace") for word in words)
                )
        except OSError:  # another user's, or it has ended
            continue
    return None

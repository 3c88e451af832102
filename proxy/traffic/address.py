"""The two kinds of places where Sealyard listens or forwards to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or address, and a port."""

    host: str
    port: int

    @property
    def authority(self) -> bytes:
        """The Host of requests whose client sent none."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}".encode("ascii")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: str

    @property
    def authority(self) -> bytes:
        """The Host of requests whose client sent none: a socket has no name."""
        return b"localhost"


Address = TcpAddress | UnixAddress

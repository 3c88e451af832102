"""Values of settings: addresses and networks."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host name or address (IPv6 without brackets), and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, as the configuration spells it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        """Return `unix:/path`, as the configuration spells it."""
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


@dataclass(frozen=True, slots=True)
class OriginalPort:
    """127.0.0.1, at the port that the client of a redirected connection called."""

    def __str__(self) -> str:
        """Return `original-port`, as the configuration spells it."""
        return "original-port"


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """Where a listener forwards to, with or without TLS."""

    address: Address | OriginalPort
    tls: bool = False

"""Values of settings: addresses and networks, and what a value holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
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


def inside(value: object) -> Iterator[object]:
    """Yield a value and, of a dataclass or a tuple, every value inside it."""
    yield value
    if isinstance(value, tuple):
        inner: Iterable[object] = value
    elif is_dataclass(value):
        inner = (getattr(value, one.name) for one in fields(value))
    else:
        return
    for one in inner:
        yield from inside(one)


def files_in(*values: object) -> tuple[Path, ...]:
    """Return the paths inside values, those of references to secrets among them."""
    return tuple(one for one in inside(values) if isinstance(one, Path))

"""What this hop adds to the messages that it forwards: Via, X-Forwarded-*, and the client's place.

Whoever sets X-Forwarded-For chooses whom the backend takes the client for. So what comes from a
peer that is not on the list of trusted proxies is dropped, and this hop's own view stands there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from ...config.settings import Network
from ...core.errors import LoopDetected
from ...core.http.message import TELLING, Headers, header_values
from .framing import HTTP_10
from .gate import RawRequest, is_authority

_FORWARDED: Final = b"forwarded"
_FOR: Final = b"x-forwarded-for"
_HOST: Final = b"x-forwarded-host"
_PROTO: Final = b"x-forwarded-proto"

_ABSOLUTE: Final = re.compile(rb"(https?:)?//([^/?#]*)", re.IGNORECASE)
_LIST: Final = re.compile(rb"[ \t]*,[ \t]*")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a client's connection; `address` is empty on a Unix socket.

    `called` is the port that a redirected client called, 0 where nobody asked for it.
    """

    address: str = ""
    encrypted: bool = False
    called: int = 0


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What the hop changes in one request, and `place`: scheme and authority as the client says."""

    dropped: frozenset[bytes] = frozenset()
    lines: tuple[bytes, ...] = ()
    place: bytes = b""


STRAIGHT: Final = Forwarding()
"""No hop at all."""


class ForwardingHeaders:
    """One listener of one process, as others on the path of a message see it.

    `name` is its pseudonym in Via. It must be its own: two Sealyards in a row, or the two listeners
    of one, are no loop, so it is drawn anew for each and never configured.
    """

    __slots__ = ("_name", "_trusted", "_vias")

    def __init__(self, name: str, trusted: Sequence[Network] = ()) -> None:
        self._name = name.encode("ascii")
        self._trusted = tuple(trusted)
        self._vias = {version: b"Via: 1.%d %b" % (version, self._name) for version in (0, 1)}

    def refuse_loop(self, headers: Headers) -> None:
        """Refuse a request that has been here already (RFC 9110 section 7.6.3).

        Raises:
            LoopDetected: Its Via names this hop.
        """
        for value in header_values(headers, b"via"):
            if any(self._name in one.split() for one in _LIST.split(value)):
                raise LoopDetected("via")

    def crossing(self, raw: RawRequest, peer: Peer, host: bytes) -> Forwarding:
        """Return what changes in a request with this Host, which is empty where none came."""
        proto = b"https" if peer.encrypted else b"http"
        via = self._vias[0 if raw.version == HTTP_10 else 1]
        address = peer.address.encode("ascii")
        if self._trusted and _trusts(self._trusted, peer.address):
            return _appended(raw.headers, via, address, proto, host)
        lines = [via, b"X-Forwarded-Proto: " + proto]
        if address:
            lines.append(b"X-Forwarded-For: " + address)
        if host:
            lines.append(b"X-Forwarded-Host: " + host)
        return Forwarding(TELLING, tuple(lines), b"%b://%b" % (proto, host))


def _appended(
    headers: Headers, via: bytes, address: bytes, proto: bytes, host: bytes
) -> Forwarding:
    """Return the crossing of a request from a trusted proxy: its word stands, ours comes last."""
    lines = [via]
    dropped = {_FOR}
    chain = [*header_values(headers, _FOR), address]
    lines.append(b"X-Forwarded-For: " + b", ".join(chain))
    if forwarded := header_values(headers, _FORWARDED):
        dropped.add(_FORWARDED)
        lines.append(b"Forwarded: " + b", ".join([*forwarded, _element(address, proto)]))
    told = header_values(headers, _PROTO)
    if not told:
        lines.append(b"X-Forwarded-Proto: " + proto)
    elif told[0].lower() in {b"http", b"https"}:
        proto = told[0].lower()
    hosts = header_values(headers, _HOST)
    if not hosts and host:
        lines.append(b"X-Forwarded-Host: " + host)
    elif hosts and is_authority(hosts[0]):
        host = hosts[0]
    return Forwarding(frozenset(dropped), tuple(lines), b"%b://%b" % (proto, host))


def _element(address: bytes, proto: bytes) -> bytes:
    """Return one element of Forwarded (RFC 7239): an IPv6 address stands in brackets and quotes."""
    node = b'"[%b]"' % address if b":" in address else address
    return b"for=%b;proto=%b" % (node, proto)


@lru_cache(maxsize=1024)
def _trusts(networks: tuple[Network, ...], address: str) -> bool:
    if not address:
        return False
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)


@dataclass(frozen=True, slots=True)
class LocationRewrite:
    """Where the upstream is by its own account, and where the client found it.

    A backend that builds a Location from its own address would send the client past Sealyard.
    """

    own: frozenset[bytes] = frozenset()
    client: bytes = b""

    def as_seen(self, location: bytes) -> bytes:
        """Return a Location as the client must see it."""
        match = _ABSOLUTE.match(location)
        if match is None or match[2].lower() not in self.own or not self.client.partition(b"//")[2]:
            return location
        return self.client + location[match.end() :]


NOWHERE: Final = LocationRewrite()
"""Places without a name: every Location stays."""

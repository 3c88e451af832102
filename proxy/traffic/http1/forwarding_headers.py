"""The forwarding headers: Via, Forwarded and X-Forwarded-*.

Whoever sets X-Forwarded-For decides which client the backend sees. So these headers are dropped
from a peer that is not on the list of trusted proxies, and replaced by what Sealyard itself knows.
They also say which client has sent a request, where many clients share the connections of a proxy.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from ...config.settings import Network, TcpAddress
from ...core.errors import LoopDetected
from ...core.expressions.name_readings import tells_of_client
from ...core.http.header_names import HeaderNames
from ...core.http.message import Headers, header_values
from .framing import HTTP_10
from .gate import RawRequest, is_authority

_FORWARDED: Final = b"forwarded"
_FOR: Final = b"x-forwarded-for"
_HOST: Final = b"x-forwarded-host"
_PROTO: Final = b"x-forwarded-proto"

_LIST: Final = re.compile(rb"[ \t]*,[ \t]*")
_FORWARDED_FOR: Final = re.compile(rb"(?:^|;)[ \t]*for=([^;]*)", re.IGNORECASE)
_SITE_PREFIX: Final = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a client's connection; `address` is empty on a Unix socket.

    `called` is where a redirected client connected to, None where it was not looked up.
    `certificate` is the one (DER) that it has shown, which the handshake has verified in the
    context `trust`.
    """

    address: str = ""
    encrypted: bool = False
    called: TcpAddress | None = None
    certificate: bytes = b""
    trust: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What changes in one request; `place` is the scheme and authority that the client used.

    `client` is who has sent the request (see `client_name`), for shares and limits.
    """

    dropped: frozenset[bytes] = frozenset()
    lines: tuple[bytes, ...] = ()
    place: bytes = b""
    client: str = ""


UNCHANGED: Final = Forwarding()
"""No header is dropped or added."""


class ForwardingHeaders:
    """What one listener of one process says of itself to others on the path of a message.

    `name` is its pseudonym in Via. It is random, not configured: two Sealyards in a row, or two
    listeners of one, are no loop and must differ.
    """

    __slots__ = ("_name", "_trusts", "_vias")

    def __init__(self, name: str, trusted: Sequence[Network] = ()) -> None:
        self._name = name.encode("ascii")
        self._trusts = trusting(tuple(trusted))
        self._vias = {version: b"Via: 1.%d %b" % (version, self._name) for version in (0, 1)}

    def refuse_loop(self, headers: Headers) -> None:
        """Refuse a request that has been here already (RFC 9110 section 7.6.3).

        Raises:
            LoopDetected: Its Via names this listener.
        """
        for value in header_values(headers, b"via"):
            if any(self._name in one.split() for one in _LIST.split(value)):
                raise LoopDetected("via")

    def client(self, raw: RawRequest, peer: Peer) -> str:
        """Return who has sent a request (see `client_name`), for shares and limits."""
        if self._trusts(peer.address):
            return client_name(_client_address(raw, self._trusts, peer.address))
        return client_name(peer.address)

    def forwarding(self, raw: RawRequest, peer: Peer, host: bytes) -> Forwarding:
        """Return what changes in a request with this Host, which is empty where none came."""
        proto = b"https" if peer.encrypted else b"http"
        via = self._vias[0 if raw.version == HTTP_10 else 1]
        address, client = peer.address.encode("ascii"), self.client(raw, peer)
        if self._trusts(peer.address):
            return _appended(raw.headers, via, address, proto, host, client)
        told = raw.names[_telling]
        return _own(told, via, address, proto, host, client)


@lru_cache(maxsize=1024)
def _own(  # noqa: PLR0913, PLR0917 - the one caller has them all
    dropped: frozenset[bytes], via: bytes, address: bytes, proto: bytes, host: bytes, client: str
) -> Forwarding:
    """Return what changes in a request from a client: what it says of itself is dropped."""
    lines = [via, b"X-Forwarded-Proto: " + proto]
    if address:
        lines.append(b"X-Forwarded-For: " + address)
    if host:
        lines.append(b"X-Forwarded-Host: " + host)
    return Forwarding(dropped, tuple(lines), b"%b://%b" % (proto, host), client)


def _telling(names: HeaderNames) -> frozenset[bytes]:
    """Return the names, in lower case, of the headers that tell of the client."""
    return frozenset(filter(tells_of_client, names.places))


def _appended(  # noqa: PLR0913, PLR0917 - the one caller has them all
    headers: Headers, via: bytes, address: bytes, proto: bytes, host: bytes, client: str
) -> Forwarding:
    """Return what changes in a request from a trusted proxy: its entries stay, ours is the last."""
    lines = [via]
    dropped = {_FOR}
    lines.append(b"X-Forwarded-For: " + b", ".join([*header_values(headers, _FOR), address]))
    if forwarded := header_values(headers, _FORWARDED):
        dropped.add(_FORWARDED)
        lines.append(b"Forwarded: " + b", ".join([*forwarded, _element(address, proto)]))
    protos = header_values(headers, _PROTO)
    if not protos:
        lines.append(b"X-Forwarded-Proto: " + proto)
    elif protos[0].lower() in {b"http", b"https"}:
        proto = protos[0].lower()
    hosts = header_values(headers, _HOST)
    if not hosts and host:
        lines.append(b"X-Forwarded-Host: " + host)
    elif hosts and is_authority(hosts[0]):
        host = hosts[0]
    return Forwarding(frozenset(dropped), tuple(lines), b"%b://%b" % (proto, host), client)


def _element(address: bytes, proto: bytes) -> bytes:
    """Return one element of Forwarded (RFC 7239): an IPv6 address is bracketed and quoted."""
    node = b'"[%b]"' % address if b":" in address else address
    return b"for=%b;proto=%b" % (node, proto)


def trusts(networks: tuple[Network, ...], address: str) -> bool:
    """Return whether an address is in one of the networks; the empty one of a Unix socket never."""
    return bool(networks) and trusting(networks)(address)


@lru_cache(maxsize=64)
def trusting(networks: tuple[Network, ...]) -> Callable[[str], bool]:
    """Return `trusts` for some networks, which are dear to look up: Python hashes each."""

    @lru_cache(maxsize=1024)
    def trusted(address: str) -> bool:
        if not address:
            return False
        parsed = ip_address(address)
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any((mapped or parsed) in network for network in networks)

    return trusted


@lru_cache(maxsize=1024)
def client_name(address: str) -> str:
    """Return the name under which shares and limits count the client at an address.

    It is the address. IPv6 addresses are named by their network of 64 bits, which a site has at
    least (RFC 6177): a client there may use any of its addresses. Empty for a Unix socket.
    """
    if not address:
        return ""
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, _SITE_PREFIX), strict=False))


def _client_address(raw: RawRequest, trusts: Callable[[str], bool], peer: str) -> str:
    """Return the address of the client behind trusted proxies.

    Each proxy appends who has connected to it, so the entries are read from the right, as long as
    the proxy that wrote one is trusted. An entry that is no address (`unknown`, RFC 7239 section 6)
    leaves the proxy that wrote it. X-Forwarded-For counts before Forwarded.
    """
    chain = [one for value in raw.values(_FOR) for one in _LIST.split(value)]
    if not chain:
        elements = (one for value in raw.values(_FORWARDED) for one in _LIST.split(value))
        chain = [found[1] if (found := _FORWARDED_FOR.search(one)) else b"" for one in elements]
    client = peer
    for entry in reversed(chain):
        address = _entry_address(entry)
        if not address:
            break
        client = address
        if not trusts(client):
            break
    return client


@lru_cache(maxsize=1024)
def _entry_address(entry: bytes) -> str:
    """Return the address in an entry without quotes, brackets and port; empty if there is none."""
    text = entry.strip(b' \t"').decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # IPv4 and a port
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)

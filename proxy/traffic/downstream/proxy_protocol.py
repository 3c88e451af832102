"""The PROXY protocol, versions 1 and 2: a proxy that forwards bytes says who has connected to it.

The source is HAProxy's "The PROXY protocol Versions 1 & 2" (doc/proxy-protocol.txt). The header is
the first of a connection, before a TLS handshake. It is read strictly, from any pieces, and never
past its end: what follows it belongs to TLS or HTTP.
"""

from __future__ import annotations

import asyncio
import re
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from ..policy import PROXY_HEADER_BYTES

_V1_START: Final = b"PROXY "
_V1_BYTES: Final = 107
_V1_LINE: Final = re.compile(rb"PROXY (TCP4|TCP6) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)\r\n")
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_V1_PORT: Final = re.compile(rb"0|[1-9][0-9]{0,4}")
_HIGHEST_PORT: Final = 65_535

_V2_START: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED: Final = 16
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_NO_FAMILY: Final = 0x00
_TCP4: Final = 0x11
_TCP6: Final = 0x21
_UNIX: Final = 0x31
_V2_ADDRESSES: Final = {_NO_FAMILY: 0, _TCP4: 12, _TCP6: 36, _UNIX: 216}
"""Bytes of the addresses, by family and protocol: only streams come over TCP."""
_TLV_FIXED: Final = 3


class MalformedHeader(ValueError):
    """The bytes are no header of the PROXY protocol."""


class ProxyHeader:
    """The header at the beginning of one connection.

    `complete` says that all of it has been read. `source` is then the address of the client, empty
    where the header names none: a health check of the proxy itself (LOCAL), an unknown family, or a
    client on a Unix socket. The address of the proxy does not take its place, since it is trusted
    with more than this client.
    """

    __slots__ = ("_held", "complete", "source")

    def __init__(self) -> None:
        self._held = b""
        self.complete = False
        self.source = ""

    def feed(self, data: bytes) -> int:
        """Take the next bytes of the connection; return how many of them belong to the header.

        Raises MalformedHeader as soon as they cannot.
        """
        before = len(self._held)
        held = self._held + data
        first = held[:1] == _V1_START[:1]
        size = _v1_size(held) if first else _v2_size(held)
        self._held = held[:size]
        if size is None:
            return len(data)
        self.source = _v1_source(self._held) if first else _v2_source(self._held)
        self.complete = True
        return size - before


async def read_source(sock: socket.socket) -> str:
    """Read the PROXY header of a connection, and nothing behind it; return its source.

    Raises MalformedHeader where the connection begins otherwise, OSError where it breaks.
    """
    header = ProxyHeader()
    while not header.complete:
        try:
            data = sock.recv(PROXY_HEADER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(sock)
            continue
        if not data:
            raise MalformedHeader
        sock.recv(header.feed(data))
    return header.source


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)


def _v1_size(held: bytes) -> int | None:
    """Return the length of a line of version 1, None before its end."""
    if held[: len(_V1_START)] != _V1_START[: len(held)]:
        raise MalformedHeader
    end = held.find(b"\r\n", 0, _V1_BYTES)
    if end < 0:
        if len(held) >= _V1_BYTES or b"\n" in held:
            raise MalformedHeader
        return None
    return end + 2


def _v1_source(line: bytes) -> str:
    if _V1_UNKNOWN.fullmatch(line):
        return ""
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise MalformedHeader
    family, source, destination, *ports = found.groups()
    for port in ports:
        if not _V1_PORT.fullmatch(port) or int(port) > _HIGHEST_PORT:
            raise MalformedHeader
    kind = IPv4Address if family == b"TCP4" else IPv6Address
    try:
        address, _ = (kind(one.decode("ascii")) for one in (source, destination))
    except ValueError:
        raise MalformedHeader from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise MalformedHeader
    return str(address)


def _v2_size(held: bytes) -> int | None:
    """Return the length of a header of version 2, None before its end."""
    if held[: len(_V2_START)] != _V2_START[: len(held)]:
        raise MalformedHeader
    if len(held) < _V2_FIXED:
        return None
    size = _V2_FIXED + int.from_bytes(held[14:16], "big")
    if held[12] not in {_LOCAL, _PROXY} or size > PROXY_HEADER_BYTES:
        raise MalformedHeader
    return size if len(held) >= size else None


def _v2_source(header: bytes) -> str:
    if header[12] == _LOCAL:  # whatever else it holds is to be ignored
        return ""
    family = header[13]
    addresses = _V2_ADDRESSES.get(family)
    if addresses is None:
        raise MalformedHeader
    if family == _NO_FAMILY:  # as above
        return ""
    rest = header[_V2_FIXED:]
    _check_extensions(rest, addresses)
    if family == _TCP4:
        return str(IPv4Address(rest[:4]))
    return str(IPv6Address(rest[:16])) if family == _TCP6 else ""


def _check_extensions(rest: bytes, at: int) -> None:
    """Skip the extensions behind the addresses; raise MalformedHeader where one is cut."""
    if at > len(rest):
        raise MalformedHeader
    while at < len(rest):
        at += _TLV_FIXED + int.from_bytes(rest[at + 1 : at + _TLV_FIXED], "big")
    if at != len(rest):
        raise MalformedHeader

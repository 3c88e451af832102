"""Who is at the other end of a client's connection."""

from __future__ import annotations

import asyncio

from .hop import Peer
from .redirected import called_port


def peer_of(transport: asyncio.BaseTransport, *, redirected: bool) -> Peer:
    """Return who is at the other end, and of `redirected` clients which port they called."""
    name = transport.get_extra_info("peername")
    address = name[0].partition("%")[0] if isinstance(name, tuple) else ""
    encrypted = transport.get_extra_info("ssl_object") is not None
    return Peer(address, encrypted=encrypted, called=called_port(transport) if redirected else 0)

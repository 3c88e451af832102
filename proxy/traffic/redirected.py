"""Which port a client called before a redirect brought its connection here."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

_SO_ORIGINAL_DST: Final = 80  # in netfilter_ipv4.h; IPv6 has the same number
_IPV4_BYTES: Final = 16
_IPV6_BYTES: Final = 28


def called_port(transport: asyncio.BaseTransport) -> int:
    """Return the port that the client of a redirected connection called, 0 for any other."""
    connection = transport.get_extra_info("socket")
    own = transport.get_extra_info("sockname")
    if connection is None or connection.family not in {socket.AF_INET, socket.AF_INET6}:
        return 0
    six = connection.family == socket.AF_INET6
    level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
    try:
        # Of a duplicate, since uvloop's stand-in for a socket has no options.
        with socket.fromfd(connection.fileno(), connection.family, socket.SOCK_STREAM) as asked:
            found = asked.getsockopt(level, _SO_ORIGINAL_DST, _IPV6_BYTES if six else _IPV4_BYTES)
    except OSError:
        return 0
    # In both forms of the address, the port follows the family.
    port = int.from_bytes(found[2:4], "big")
    return 0 if port == own[1] else port

"""Ends that nobody can take for a good one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """Drop a connection by a reset rather than a close, where its kind knows the difference.

    An answer without a length or chunks ends with its connection (RFC 9112 section 6.3), so a close
    would make a whole one of what was cut.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):  # it is gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()

"""What control frames carry to the other peer, where a rule seals what the messages hold.

A close frame has room for a reason of 123 bytes, a ping for 125 of anything, and whatever a pong
says need not be an answer. In a direction that is sealed none of them carries what its sender
wrote: a close frame keeps its code alone, a ping carries a number in place of its bytes, and a pong
the bytes of the ping that it answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from ...core.http.message import Direction
from .frames import CLOSE, PING

REMEMBERED: Final = 16
"""So many pings of each peer may wait for their answers; peers send one at a time."""
_CODE: Final = 2
_NUMBER: Final = 8
_OTHER: Final[Mapping[Direction, Direction]] = {"request": "response", "response": "request"}


class Controls:
    """The control frames of one WebSocket; `sealed` are the directions that a rule seals."""

    __slots__ = ("_pings", "_sealed")

    def __init__(self, sealed: frozenset[Direction]) -> None:
        """Begin."""
        self._sealed = sealed
        self._pings: dict[Direction, dict[bytes, bytes]] = {"request": {}, "response": {}}

    def carried(self, opcode: int, payload: bytes, direction: Direction) -> bytes:
        """Return what a close, ping or pong frame carries on in a direction."""
        if not self._sealed:
            return payload
        sealed = direction in self._sealed
        if opcode == CLOSE:
            return payload[:_CODE] if sealed else payload
        if opcode == PING:
            return self._remembered(payload, direction, sealed=sealed)
        # An answer goes against the direction of its ping.
        asked = self._pings[_OTHER[direction]].pop(payload, None)
        if asked is not None:
            return asked
        return b"" if sealed else payload

    def _remembered(self, payload: bytes, direction: Direction, *, sealed: bool) -> bytes:
        sent = secrets.token_bytes(_NUMBER) if sealed and payload else payload
        pings = self._pings[direction]
        if len(pings) == REMEMBERED:
            del pings[next(iter(pings))]
        pings[sent] = payload
        return sent

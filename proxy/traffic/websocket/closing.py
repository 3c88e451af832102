"""Why and how a WebSocket ends (RFC 6455 section 7.4): codes and reasons, never a value."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

from ...core.errors import (
    BodyTooLarge,
    KeyUnavailable,
    MessageError,
    RejectedByRule,
    TrafficError,
)
from ...core.http.message import Direction
from .frames import CLOSE, PING

GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_TEXT: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
TRY_AGAIN_LATER: Final = 1013
BAD_GATEWAY: Final = 1014

_RESERVED: Final = frozenset({1004, 1005, 1006})
_STANDARD: Final = range(1000, 1015)
_OWN: Final = range(3000, 5000)


class Breach(Exception):
    """A peer breaks the protocol; `code` goes into the close frame."""

    def __init__(self, code: int, reason: str) -> None:
        """Keep the code for the peer and a reason, which holds no value."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


def close_payload(code: int, reason: str = "") -> bytes:
    """Return the payload of a close frame; the reason is short ASCII."""
    return code.to_bytes(2, "big") + reason.encode("ascii")


def check_close(payload: bytes) -> None:
    """Refuse a malformed close frame; an empty one is allowed and has no code.

    Raises:
        Breach: Its code may not be sent, or its reason is not UTF-8.
    """
    if not payload:
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code in _RESERVED or not (code in _STANDARD or code in _OWN):
        raise Breach(PROTOCOL_ERROR, "close-code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise Breach(INVALID_TEXT, "close-reason") from None


def code_of(error: TrafficError) -> int:
    """Return the close code, for both sides, of a message that was refused."""
    if isinstance(error, BodyTooLarge):
        return TOO_BIG
    if isinstance(error, KeyUnavailable):
        return TRY_AGAIN_LATER
    if isinstance(error, MessageError | RejectedByRule):
        return POLICY_VIOLATION
    return INTERNAL_ERROR


REMEMBERED: Final = 16
"""Pings of each peer that may await their pongs; peers send one at a time."""
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
        """Return the payload with which a close, ping or pong frame is forwarded."""
        if not self._sealed:
            return payload
        sealed = direction in self._sealed
        if opcode == CLOSE:
            return payload[:_CODE] if sealed else payload
        if opcode == PING:
            return self._remembered(payload, direction, sealed=sealed)
        # A pong goes against the direction of its ping.
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

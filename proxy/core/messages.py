"""One direction of a WebSocket: messages that have no heads of their own, one behind the other."""

from __future__ import annotations

from .blueprint import Blueprint
from .errors import InvalidBody
from .exchange import Exchange
from .formats import socketio
from .message import Direction


class Messages:
    """The messages of one direction, all under the rule that took the handshake.

    `awaited` is how many attachments have been announced and are still to come.
    """

    __slots__ = ("awaited", "blueprints", "direction", "exchange")

    def __init__(self, exchange: Exchange, direction: Direction) -> None:
        """Begin with the rule that took the handshake."""
        compiled = exchange.decision.compiled
        self.exchange = exchange
        self.direction = direction
        self.blueprints: tuple[Blueprint, ...] = ()
        if compiled is not None:
            self.blueprints = compiled.request if direction == "request" else compiled.response
        self.awaited = 0

    @property
    def seals(self) -> bool:
        """Whether a block seals something of these messages."""
        return any(one.block.encrypt for one in self.blueprints)

    def take_note(self, blueprint: Blueprint, body: bytes, *, binary: bool) -> bool:
        """Follow attachments; return whether the message is one, which no rule reads.

        Raises InvalidBody for one that nobody announced, and for more than one packet a message.
        """
        if blueprint.block.format != "socketio":
            return False
        if binary:
            if not self.awaited:
                raise InvalidBody("attachment-not-announced")
            self.awaited -= 1
            return True
        if socketio.SEPARATOR in body:
            raise InvalidBody("several-packets")
        self.awaited = socketio.awaited_after(body, self.awaited)
        return False

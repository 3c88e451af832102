"""A response of the upstream all of which has come; its connection carries other messages again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn

from ..core.errors import BodyTooLarge
from ..core.http.message import ResponseHead
from .response_reader import ResponseReader


class WholeResponse:
    """What a reader has read, with its whole body, given out as often as asked.

    `delimited`: it was not cut. `precedent` is there where the head is one that may come again.
    """

    __slots__ = ("_data", "arrived", "bodiless", "delimited", "framing", "head", "precedent")

    def __init__(self, reader: ResponseReader, head: ResponseHead, data: bytes) -> None:
        framing, bodiless = reader.framing, reader.bodiless
        self._data = data
        self.precedent = reader.precedent
        self.head = head
        self.framing = framing
        self.bodiless = bodiless
        self.delimited = bodiless or framing.present
        self.arrived = 0

    def take(self) -> bytes:
        """Return the whole body."""
        self.arrived = len(self._data)
        return self._data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        return self.take_up_to(limit)

    def take_up_to(self, limit: int) -> bytes:
        """Return the whole body without a wait; raise BodyTooLarge above `limit`."""
        if len(self._data) > limit:
            length = self.framing.length
            raise BodyTooLarge("response-body" if length is None else "response-length")
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in one piece, unless it is empty."""
        if data := self.take():
            yield data

    def divert(self) -> NoReturn:
        """Refuse: nobody asked for another protocol."""
        raise TypeError("a plain request cannot leave HTTP")

    def wait_longer(self, _: float) -> None:
        """Do nothing: all of it is there."""

    def stop(self) -> None:
        """Do nothing: there is nothing more to come."""

    def close(self) -> None:
        """Do nothing: the connection has been given back."""

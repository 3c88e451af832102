"""A request or a response that has come completely, as the fast path takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NoReturn

from ...core.errors import BodyTooLarge
from ...core.http.message import ResponseHead
from ..http1.fast_heads import FastHead
from ..http1.framing import Framing
from ..interfaces import Change, Outlet, RawConnection
from .response_writer import Connection, ResponseWriter


class WholeBody:
    """The complete body of a request. It can be taken once."""

    __slots__ = ("_data", "arrived", "framing")

    def __init__(self, data: bytes, framing: Framing) -> None:
        self._data: bytes = data
        self.framing = framing
        self.arrived = 0

    def take(self) -> bytes:
        """Return the whole body."""
        data, self._data = self._data, b""
        self.arrived += len(data)
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if len(self._data) > limit:
            raise BodyTooLarge("request-length")
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in one piece, unless it is empty."""
        if data := self.take():
            yield data


class FastRequest(ResponseWriter):
    """A request that has arrived, and the means to respond to it, with or without waits.

    `data` is its whole body.
    """

    __slots__ = ("data", "head")

    def __init__(self, link: Connection, head: FastHead, data: bytes, *, begun: bool) -> None:
        super().__init__(link, head.raw, begun=begun)
        self.head = head
        self.data = data

    def body(self, framing: Framing, *, expects_continue: bool = False) -> WholeBody:
        """Return the body, once the gate has found its framing.

        A fast request has no Expect header: its head would not be fast.
        """
        if expects_continue:
            raise TypeError("a fast request has no Expect header")
        return WholeBody(self.data, framing)

    async def switch(self, _: bytes) -> RawConnection:
        """Refuse: a fast request has no Upgrade header."""
        raise TypeError("a fast request cannot leave HTTP")

    def _ends(self) -> bool:
        return self.head.close

    def _connection_header(self) -> bytes | None:
        """Do as ResponseWriter: a fast request is HTTP/1.1, where connections persist."""
        if self.head.close or self._link.last:
            self.keep = False
        return None if self.keep else b"close"


class WholeResponse:
    """A response with its complete body, which can be taken more than once.

    `delimited`: it was not cut.
    """

    __slots__ = ("_data", "arrived", "bodiless", "delimited", "framing", "head")

    def __init__(
        self, head: ResponseHead, framing: Framing, data: bytes, *, bodiless: bool = False
    ) -> None:
        self._data = data
        self.head = head
        self.framing = framing
        self.bodiless = bodiless
        self.delimited = bodiless or framing.present
        self.arrived = 0

    def take(self) -> bytes:
        """Return the whole body."""
        self.arrived = len(self._data)
        return self._data

    @property
    def size(self) -> int:
        """The length of the body in bytes."""
        return len(self._data)

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if len(self._data) > limit:
            length = self.framing.length
            raise BodyTooLarge("response-body" if length is None else "response-length")
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in one piece, unless it is empty."""
        if data := self.take():
            yield data

    def divert(self) -> NoReturn:
        """Refuse: a fast request has no Upgrade header."""
        raise TypeError("a fast request cannot leave HTTP")

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Do nothing: all of it has come."""

    def lasts(self, _: float) -> None:
        """Do nothing: all of it has come."""

    def stop(self) -> None:
        """Do nothing: there is nothing more to come."""

    def close(self) -> None:
        """Do nothing: the connection has been given back."""

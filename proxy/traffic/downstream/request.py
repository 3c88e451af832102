"""One request of a client: its head, its body as it comes, and the means to respond to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from ...core.errors import BodyTooLarge, Busy, MalformedRequest
from ..bodies.response_writer import Connection, ResponseWriter
from ..byte_budget import Hold, add_piece, read_whole
from ..http1.framing import HTTP_10, Framing
from ..http1.gate import RawRequest
from ..http1.reader import BadChunk, BodyReader
from ..interfaces import RawConnection, RequestBody
from ..waits import Signal


class RequestConnection(Connection, RawConnection, Protocol):
    """A client's connection, as its request and the body of that see it."""

    def whole(self, framing: Framing) -> bytes | None:
        """Return the whole body if all of it has come, None where it has not or is in chunks."""

    def reads(self, body: ClientBody) -> None:
        """Let a body take what comes next."""

    def awaiting_body(self, *, waiting: bool) -> None:
        """Note that a wait for the client begins or ends, so that it can be bounded."""

    def invite(self) -> None:
        """Let a client that waits for a 100 send its body."""

    def took(self) -> None:
        """Note that what had come of the body has been taken."""


class ClientBody:
    """Reads the body; a client that waits for a 100 gets it when the first byte is read.

    That is after the rules have been found and the length has been checked (RFC 9110
    section 10.1.1), so a refused client never sends its body.
    """

    __slots__ = (
        "_came",
        "_connection",
        "_error",
        "_invites",
        "_pieces",
        "_reader",
        "_signal",
        "arrived",
        "framing",
        "waiting",
    )

    def __init__(self, connection: RequestConnection, framing: Framing, *, invites: bool) -> None:
        """Begin; `invites` says that the client waits for a 100."""
        self._connection = connection
        self._reader = BodyReader(framing)
        self._invites = invites
        self._pieces: list[bytes] = []
        self._signal = Signal()
        self._error: Exception | None = None
        self._came = False
        self.framing = framing
        self.arrived = 0
        self.waiting = 0
        """How many bytes have come and are not yet taken."""

    @property
    def complete(self) -> bool:
        """Whether its end has come."""
        return self._reader.complete

    @property
    def unread(self) -> bool:
        """Whether there may be more of it in what has come: `put` is to go on, in another turn."""
        return self._reader.unread and self._error is None

    @property
    def broken(self) -> bool:
        """Whether it can have no end any more."""
        return self._error is not None

    # --- called by the connection -------------------------------------------------------------

    def put(self, data: bytes) -> bytes:
        """Take bytes, and return those behind the end; `wake` is to follow."""
        try:
            piece, rest = self._reader.take(data)
        except BadChunk:
            self._error = MalformedRequest("body")
            return b""
        self._came = self._came or bool(data)
        if piece:
            add_piece(self._pieces, piece)
            self.waiting += len(piece)
        return rest

    def wake(self) -> None:
        """Resume whoever waits for more."""
        self._signal.set()

    def cut(self) -> None:
        """Note that the client sends no more: nothing comes behind what is unread."""
        if not self.unread:
            self.fail(ConnectionResetError("cut"))

    def fail(self, error: Exception) -> None:
        """Let nothing more come of it, unless it is complete or has failed."""
        if not self.complete and self._error is None:
            self._error = error
            self._signal.set()

    # --- called by the exchange ---------------------------------------------------------------

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there, else None and take nothing."""
        if not self._reader.complete:
            return None
        return self._taken()

    def _taken(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        data = b"".join(pieces)
        pieces.clear()
        self.waiting = 0
        self.arrived += len(data)
        if not self._reader.complete:
            self._connection.took()
        return data

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return the whole body, whose memory `hold` reserves.

        Raises:
            BodyTooLarge: It, or its Content-Length, is above `limit` bytes.
            Busy: There is no memory for it, or it comes too slowly to hold any.
        """
        length = self.framing.length
        if length is not None and length > limit:
            raise BodyTooLarge("request-length")
        whole = self.take()
        if whole is not None:
            if len(whole) > limit:
                raise BodyTooLarge("request-body")
            return whole
        await hold.reads(length or 0)
        hold.watch(lambda: self.arrived + self.waiting, lambda: self.fail(Busy("memory")))
        data = await read_whole(self.chunks(), limit, hold)
        hold.unwatch()
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        if self._invites and not self._came and not self.complete:
            self._connection.invite()
        self._invites = False
        while True:
            if data := self._taken():
                yield data
                continue
            if self._reader.complete:
                return
            if self._error is not None:
                raise self._error
            self._connection.awaiting_body(waiting=True)
            try:
                await self._signal.wait()
            finally:
                self._connection.awaiting_body(waiting=False)


class WholeBody:
    """A body all of which came with its head. It can be taken once."""

    __slots__ = ("_data", "arrived", "framing")

    def __init__(self, data: bytes, framing: Framing) -> None:
        self._data = data
        self.framing = framing
        self.arrived = 0

    def take(self) -> bytes:
        """Return the whole body."""
        data, self._data = self._data, b""
        self.arrived += len(data)
        return data

    async def read(self, limit: int, _: Hold) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        if len(self._data) > limit:
            raise BodyTooLarge("request-length")
        return self.take()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body in one piece, unless it is empty."""
        if data := self.take():
            yield data


class ClientRequest(ResponseWriter):
    """A request whose head has arrived, and the means to respond to it."""

    __slots__ = ("_body", "_connection", "_incomplete", "weighed")

    def __init__(
        self, connection: RequestConnection, raw: RawRequest, *, weighed: bool = False
    ) -> None:
        """Take a head that has been read; `weighed`: it is known that there is time for it."""
        super().__init__(connection, raw)
        self._connection = connection
        self._body: ClientBody | None = None
        self._incomplete = True
        self.weighed = weighed

    def body(self, framing: Framing, *, expects_continue: bool) -> RequestBody:
        """Return the body, once the gate has found its framing."""
        data = self._connection.whole(framing)
        if data is not None:
            self._incomplete = False
            return WholeBody(data, framing)
        body = self._body = ClientBody(self._connection, framing, invites=expects_continue)
        if not body.complete:
            self._connection.reads(body)
        return body

    @property
    def incomplete(self) -> bool:
        """Whether some of the body is still to come, or nobody has asked how it is framed."""
        return self._incomplete and (self._body is None or not self._body.complete)

    async def switch(self, head: bytes) -> RawConnection:
        """Respond with a 101 and return the connection."""
        self.answered = True
        self.keep = False
        self._connection.send(head)
        return self._connection

    def _ends(self) -> bool:
        """Whether the request itself makes its connection end with the response.

        It does with bytes of the body still to come: they are not a request.
        """
        return self.incomplete or _closes(self.raw)


def _closes(raw: RawRequest) -> bool:
    """Return whether a request is the last by its own head (RFC 9112 section 9.3).

    An Upgrade that is not granted is one too: its client may send what is no HTTP.
    """
    places = raw.names.places
    old = raw.version == HTTP_10
    if b"upgrade" in places:
        return True
    if b"connection" not in places:
        return old
    options = b",".join(raw.values(b"connection")).lower()
    listed = {one.strip(b" \t") for one in options.split(b",")}
    return b"close" in listed or (old and b"keep-alive" not in listed)

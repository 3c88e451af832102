"""Bodies that change while they pass: read ahead as far as a plan needs, then sent through a flow.

No more than one piece is held. A flow that fails, or a body that breaks off, raises in the middle
of `chunks`: the sender then drops the connection, so that no receiver takes a part for the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

from ...core.errors import BodyTooLarge
from ...core.http.message import ResponseHead
from ...core.planning.plan import PlannedFlow
from ...core.transform import Forwardable
from ...core.values.streams import Flow
from ..byte_budget import Hold
from ..http1.framing import CHUNKED, Framing
from ..interfaces import Change, IncomingBody, Outlet, UpstreamResponse


class Pieces:
    """The pieces of a body, the first of which can be read before the body is taken.

    Raises BodyTooLarge where they are more than `limit` bytes; None is no limit. `confirm` is
    awaited once a piece, or the end, has come: who seals may have to ask for its lease again.
    """

    __slots__ = ("_confirm", "_limit", "_pieces", "_seen")

    def __init__(
        self,
        body: IncomingBody,
        framing: Framing,
        limit: int | None,
        confirm: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Read nothing yet; raise BodyTooLarge where the Content-Length is above `limit`."""
        if limit is not None and framing.length is not None and framing.length > limit:
            raise BodyTooLarge("flowing-length")
        self._pieces = body.chunks()
        self._limit = limit
        self._confirm = confirm
        self._seen = b""

    async def beginning(self, suffices: Callable[[bytes], bool]) -> bytes:
        """Return as much of the body as suffices, or all of it where that is less."""
        while not suffices(self._seen):
            piece = await anext(self._pieces, b"")
            if not piece:
                break
            self._seen += piece
        return self._seen

    async def all(self) -> AsyncIterator[bytes]:
        """Return every piece, once; no piece is empty."""
        size = 0
        while piece := self._seen or await anext(self._pieces, b""):
            self._seen = b""
            size += len(piece)
            self._check(size)
            if self._confirm is not None:
                await self._confirm()
            yield piece
        if self._confirm is not None:
            await self._confirm()

    def _check(self, size: int) -> None:
        if self._limit is not None and size > self._limit:
            raise BodyTooLarge("flowing-body")


class TransformedBody:
    """A body as it comes out of what changes it, piece by piece.

    Attributes:
        flow: What changes it, or None.
        framing: How it goes out.
        arrived: How many bytes have been handed out.
        _changed: What comes out. It sets `_whole` behind the last piece.
    """

    __slots__ = ("_changed", "_first", "_whole", "arrived", "flow", "framing")

    def __init__(self, flow: Flow | PlannedFlow | None, framing: Framing) -> None:
        self.flow = flow
        self.framing = framing
        self.arrived = 0
        self._changed: AsyncIterator[bytes]
        self._first = b""
        self._whole = False

    def take(self) -> None:
        """Take nothing: it comes piece by piece."""

    async def read(self, limit: int, hold: Hold) -> NoReturn:
        """Refuse: what is to be read whole is read before it is transformed."""
        raise TypeError("a body that is transformed is not read")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return what comes out piece by piece; no piece is empty."""
        if self._first:
            first, self._first = self._first, b""
            self.arrived += len(first)
            yield first
        async for data in self._changed:
            self.arrived += len(data)
            yield data
        if not self._whole:
            # After an error nothing more comes. It must not look like the end of the body.
            raise ConnectionError("the body broke off before")


class FlowingBody(TransformedBody):
    """A body as it comes out of a flow, or as it came where there is none."""

    __slots__ = ("_pieces",)
    flow: Flow | None

    def __init__(self, pieces: Pieces, flow: Flow | PlannedFlow | None, framing: Framing) -> None:
        """Begin; `framing` is that of what comes in. Raises MessageError as `Flow.length` does."""
        if isinstance(flow, PlannedFlow):
            raise TypeError("a StreamedBody is for what is planned piece by piece")
        super().__init__(flow, framing if flow is None else _framing(flow.length(framing.length)))
        self._pieces = pieces
        self._changed = self._through(flow)

    async def prime(self) -> None:
        """Wait for the first bytes, where the head must wait for them; raise their error."""
        if self.flow is not None and self.flow.holds_head:
            self._first = await anext(self._changed, b"")

    async def _through(self, flow: Flow | None) -> AsyncIterator[bytes]:
        async for piece in self._pieces.all():
            if data := piece if flow is None else flow.feed(piece):
                yield data
        if flow is not None and (data := flow.end()):
            yield data
        self._whole = True


class DelegatingResponse:
    """What a response with a body takes over from the upstream's response that it wraps."""

    __slots__ = ()
    _response: UpstreamResponse

    @property
    def head(self) -> ResponseHead:
        """The head as it came."""
        return self._response.head

    @property
    def bodiless(self) -> bool:
        """Whether there can be no body: never."""
        return False

    @property
    def delimited(self) -> bool:
        """Whether a cut body can be told from a whole one."""
        return self._response.delimited

    def divert(self) -> NoReturn:
        """Refuse: a response with a body does not end HTTP on its connection."""
        raise TypeError("a response that is changed cannot leave HTTP")

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let no piece go at once: all of them come out of `chunks`."""

    def lasts(self, silence: float) -> None:
        """Let each silence of the body last up to so many seconds; may raise Busy."""
        self._response.lasts(silence)

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._response.close()


class FlowingResponse(DelegatingResponse, FlowingBody):
    """A response of the upstream whose body flows."""

    __slots__ = ("_response",)

    def __init__(
        self, response: UpstreamResponse, pieces: Pieces, flow: Flow | PlannedFlow | None
    ) -> None:
        """Begin; the response is delimited, and has a body."""
        super().__init__(pieces, flow, response.framing)
        self._response = response

    def stop(self) -> NoReturn:
        """Refuse: an end that is not the body's own must not look like one."""
        raise TypeError("a body that flows is not ended early")


def refuse_beside(message: Forwardable, body: IncomingBody | None) -> None:
    """Raise TypeError where the body does not come out of the flow that its message names."""
    if message.flow is not None and getattr(body, "flow", None) is not message.flow:
        raise TypeError("the body does not come out of the message's flow")


def _framing(length: int | None) -> Framing:
    return CHUNKED if length is None else Framing(length)

"""A response of which a beginning is read before it is decided how the response is treated."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ...core.http.message import ResponseHead
from ...core.planning.mistyped_response import Look, holds_sealed
from ..byte_budget import Hold, add_piece, read_whole
from ..http1.framing import Framing
from ..interfaces import UpstreamResponse
from ..policy import LONG_BYTES
from ..slices import Slices
from .transformed import DelegatingResponse

_OVERLAP = 15
"""A token's beginning, of 16 bytes, may lie in two pieces."""


async def look_at(response: UpstreamResponse, look: Look, slices: Slices) -> SeenResponse:
    """Return a response of which so much has been seen as a look takes, and its first piece.

    A long look runs in `slices`.
    """
    seen = SeenResponse(response)
    if look.over:
        await seen.see()
    while not look.over:
        piece = await seen.see()
        async with slices.turn(long=look.size > LONG_BYTES) as run:
            if not piece:
                await run(look.end)
                break
            await run(look.feed, piece)
    return seen


class SeenResponse(DelegatingResponse):
    """A response whose beginning has been read; all of its body comes out all the same.

    `head` is what rules read of its head.
    """

    __slots__ = ("_held", "_noted", "_pieces", "_response", "head")

    def __init__(self, response: UpstreamResponse) -> None:
        """Begin with nothing seen; the response has a body."""
        self._response = response
        self._pieces = response.chunks()
        self._held: list[bytes] = []
        self._noted: Callable[[], None] | None = None
        self.head: ResponseHead = response.head

    async def see(self) -> bytes:
        """Return the next piece of the body, to be given out later; empty at its end."""
        piece = await anext(self._pieces, b"")
        if piece:
            add_piece(self._held, piece)
        return piece

    def watch(self, noted: Callable[[], None]) -> bool:
        """Call `noted` once if something sealed is in the body, now if it has been seen.

        Return whether it has been seen.
        """
        seen = holds_sealed(b"".join(self._held))
        if seen:
            noted()
        else:
            self._noted = noted
        return seen

    @property
    def arrived(self) -> int:
        """How many bytes have come from the upstream."""
        return self._response.arrived

    @property
    def framing(self) -> Framing:
        """How the upstream framed it."""
        return self._response.framing

    def take(self) -> None:
        """Take nothing: some of it may be still to come."""

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return the whole body, as `hold` has room; raise BodyTooLarge above `limit`."""
        return await read_whole(self.chunks(), limit, hold, answer=True)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, from its beginning; no piece is empty."""
        held, self._held = self._held, []
        before = b""
        for piece in held:
            before = self._look(before, piece)
            yield piece
        async for piece in self._pieces:
            before = self._look(before, piece)
            yield piece

    def _look(self, before: bytes, piece: bytes) -> bytes:
        """Note something sealed in a piece; return what the next one is to be looked at with."""
        if self._noted is None:
            return b""
        seen = before + piece
        if holds_sealed(seen):
            noted, self._noted = self._noted, None
            noted()
        return seen[-_OVERLAP:]

    def stop(self) -> None:
        """Let `chunks` end here, although more would come."""
        self._response.stop()

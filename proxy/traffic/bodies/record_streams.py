"""Bodies on their way that are planned piece by piece: records, and parts of forms.

Each piece is changed once all of it that its plan takes has come, and sent at once. The keys are
asked for anew each time, so a session that is revoked or ends while a stream lasts opens and seals
nothing more of it. What fails raises in the middle of `chunks`: whoever sends them drops the
connection, so that no receiver takes what came for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from ...core.apply.forwardable import Forwardable
from ...core.planning.plan import Plan, PlannedFlow
from ...core.planning.record_stream import RecordFlow
from ..http1.framing import CHUNKED
from ..interfaces import UpstreamResponse
from .transformed import TransformedBody, TransformedResponse

Apply = Callable[[Plan], Awaitable[Forwardable]]


class StreamedBody(TransformedBody):
    """A body as its records or parts come out."""

    __slots__ = ("_apply", "_incoming", "_stopped")

    def __init__(self, incoming: AsyncIterator[bytes], message: Forwardable, apply: Apply) -> None:
        """Begin; `incoming` is what comes of the body, and `apply` carries a plan for it out."""
        if not isinstance(message.flow, PlannedFlow):
            raise TypeError("the message is not planned piece by piece")
        super().__init__(message.flow, CHUNKED)
        self._incoming = incoming
        self._apply = apply
        self._stopped = False
        self._changed = self._through(message.flow)

    async def prime(self) -> bool:
        """Wait for the first piece, and raise what it meets; return whether there is any."""
        self._first = await anext(self._changed, b"")
        return bool(self._first)

    async def _through(self, flow: PlannedFlow) -> AsyncIterator[bytes]:
        held: list[bytes] = []
        async for data in self._incoming:
            for step in flow.feed(data):
                held.append(await self._carried_out(step))
                if not flow.holds:
                    pieces, held = b"".join(held), []
                    if pieces:
                        yield pieces
        # What was stopped is not its end: what is held of a record is no record.
        for step in flow.end() if not self._stopped else ():
            yield await self._carried_out(step)
        self._whole = True

    async def _carried_out(self, step: bytes | Plan) -> bytes:
        if isinstance(step, bytes):
            return step
        message = await self._apply(step)
        if message.body is None:
            raise TypeError("what becomes of a piece is bytes")
        return message.body


class StreamedResponse(TransformedResponse, StreamedBody):
    """A response of the upstream whose records or parts are changed as they come."""

    __slots__ = ("_response",)

    def __init__(
        self,
        response: UpstreamResponse,
        incoming: AsyncIterator[bytes],
        message: Forwardable,
        apply: Apply,
    ) -> None:
        """Begin; the response has a body, of which `incoming` is what comes."""
        super().__init__(incoming, message, apply)
        self._response = response

    def stop(self) -> None:
        """Let `chunks` end behind the last whole record, although more would come."""
        if not isinstance(self.flow, RecordFlow):
            raise TypeError("a form is not ended early")
        self._stopped = True
        self._response.stop()

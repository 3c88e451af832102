"""Bodies on their way that are planned piece by piece: records, and parts of forms.

Each piece is changed once all of it that its plan takes has come, and sent at once. The keys are
asked for anew each time, so a session that is revoked or ends while a stream lasts opens and seals
nothing more of it. What fails raises in the middle of `chunks`: whoever sends them drops the
connection, so that no receiver takes what came for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

from ...core.apply.apply import Plan
from ...core.apply.forwardable import Forwardable
from ...core.http.message import ResponseHead
from ...core.planning.plan import PlannedFlow
from ...core.planning.record_stream import RecordFlow
from ..http1.framing import CHUNKED
from ..interfaces import IncomingBody, UpstreamResponse

Apply = Callable[[Plan], Awaitable[Forwardable]]


class StreamedBody:
    """A body as its records or parts come out. `arrived` counts what has been handed out."""

    __slots__ = (
        "_apply",
        "_first",
        "_incoming",
        "_pieces",
        "_stopped",
        "_whole",
        "arrived",
        "flow",
        "framing",
    )

    def __init__(self, incoming: AsyncIterator[bytes], message: Forwardable, apply: Apply) -> None:
        """Begin; `incoming` is what comes of the body, and `apply` carries a plan for it out."""
        if not isinstance(message.flow, PlannedFlow):
            raise TypeError("the message is not planned piece by piece")
        self.flow = message.flow
        self.framing = CHUNKED
        self.arrived = 0
        self._incoming = incoming
        self._apply = apply
        self._stopped = False
        self._whole = False
        self._first = b""
        self._pieces = self._changed(self.flow)

    async def prime(self) -> bool:
        """Wait for the first piece, and raise what it meets; return whether there is any."""
        self._first = await anext(self._pieces, b"")
        return bool(self._first)

    def take(self) -> None:
        """Take nothing: it comes piece by piece."""

    async def read(self, limit: int) -> NoReturn:
        """Refuse: whoever wants it whole takes it before it is streamed."""
        raise TypeError("a body that is planned piece by piece is not read whole")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return what comes out, as it comes; no piece is empty."""
        if self._first:
            first, self._first = self._first, b""
            self.arrived += len(first)
            yield first
        async for data in self._pieces:
            self.arrived += len(data)
            yield data
        if not self._whole:
            # After an error nothing more comes, which must not look like the end to anybody.
            raise ConnectionError("the body broke off before")

    async def _changed(self, flow: PlannedFlow) -> AsyncIterator[bytes]:
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


class StreamedResponse(StreamedBody):
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
        """Refuse: a response with a body leaves no other protocol behind."""
        raise TypeError("a response that is changed cannot leave HTTP")

    def wait_longer(self, seconds: float) -> None:
        """Let silences last so long."""
        self._response.wait_longer(seconds)

    def stop(self) -> None:
        """Let `chunks` end behind the last whole record, although more would come."""
        if not isinstance(self.flow, RecordFlow):
            raise TypeError("a form is not ended early")
        self._stopped = True
        self._response.stop()

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._response.close()


def refuse_beside(message: Forwardable, body: IncomingBody | None) -> None:
    """Raise TypeError where a body would pass beside the flow that its message says."""
    if message.flow is not None and getattr(body, "flow", None) is not message.flow:
        raise TypeError("the body does not come out of the message's flow")

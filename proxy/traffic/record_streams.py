"""Bodies of records on their way: each is changed once all of it has come, and sent at once.

For every record the keys are asked anew, so a session that is revoked or ends while a stream lasts
opens and seals nothing more of it. What fails raises in the middle of `chunks`: whoever sends them
drops the connection, so that no receiver takes what came for all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn

from ..core.forwardable import Forwardable
from ..core.message import ResponseHead
from ..core.pipeline import Plan
from ..core.record_flow import RecordFlow
from .framing import CHUNKED
from .interfaces import IncomingBody, UpstreamResponse

Apply = Callable[[Plan], Awaitable[Forwardable]]


class StreamedBody:
    """A body as its records come out. `arrived` counts what has been handed out."""

    __slots__ = (
        "_apply",
        "_body",
        "_first",
        "_pieces",
        "_stopped",
        "_whole",
        "arrived",
        "flow",
        "framing",
    )

    def __init__(self, body: IncomingBody, message: Forwardable, apply: Apply) -> None:
        """Begin; `apply` carries the plan of some records out."""
        if not isinstance(message.flow, RecordFlow):
            raise TypeError("the message has no records")
        self.flow = message.flow
        self.framing = CHUNKED
        self.arrived = 0
        self._body = body
        self._apply = apply
        self._stopped = False
        self._whole = False
        self._first = b""
        self._pieces = self._changed(self.flow)

    async def prime(self) -> bool:
        """Wait for the first records, and raise what they meet; return whether there are any."""
        self._first = await anext(self._pieces, b"")
        return bool(self._first)

    def take(self) -> None:
        """Take nothing: it comes record by record."""

    async def read(self, limit: int) -> NoReturn:
        """Refuse: whoever wants it whole takes it before it is streamed."""
        raise TypeError("a body of records is not read whole")

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

    async def _changed(self, flow: RecordFlow) -> AsyncIterator[bytes]:
        async for data in self._body.chunks():
            if (plan := flow.feed(data)) is not None:
                yield await self._records(plan)
        # What was stopped is not its end: what is held of a record is no record.
        if not self._stopped and (plan := flow.end()) is not None:
            yield await self._records(plan)
        self._whole = True

    async def _records(self, plan: Plan) -> bytes:
        message = await self._apply(plan)
        if message.body is None:
            raise TypeError("what becomes of records is bytes")
        return message.body


class StreamedResponse(StreamedBody):
    """A response of the upstream whose records are changed as they come."""

    __slots__ = ("_response",)

    def __init__(self, response: UpstreamResponse, message: Forwardable, apply: Apply) -> None:
        """Begin; the response has a body."""
        super().__init__(response, message, apply)
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
        raise TypeError("a response of records cannot leave HTTP")

    def wait_longer(self, seconds: float) -> None:
        """Let silences last so long."""
        self._response.wait_longer(seconds)

    def stop(self) -> None:
        """Let `chunks` end behind the last whole record, although more would come."""
        self._stopped = True
        self._response.stop()

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._response.close()


def refuse_beside(message: Forwardable, body: IncomingBody) -> None:
    """Raise TypeError where a body would pass beside the flow that its message says."""
    if message.flow is not None and getattr(body, "flow", None) is not message.flow:
        raise TypeError("the body does not come out of the message's flow")

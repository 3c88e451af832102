"""Copies of messages that pass: neither waits for its copy, nor is it changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from ...core.http.message import ResponseHead
from ..byte_budget import Hold
from ..http1.framing import Framing
from ..interfaces import Change, IncomingBody, Outlet, RawConnection, RequestBody, UpstreamResponse
from ..message_record import MessageRecord
from ..policy import SCANNED_BYTES
from .admission import AdmittedExchange
from .ladder import Ladder

_Body = TypeVar("_Body", bound=IncomingBody)


class _Tee(Generic[_Body]):
    """Passes a body on and keeps a copy of up to `limit` bytes; `ended` says that all has come."""

    __slots__ = ("_body", "_limit", "_pieces", "_size", "ended")

    def __init__(self, body: _Body, limit: int) -> None:
        self._body = body
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.ended = False

    @property
    def whole(self) -> bool:
        """Whether the copy is complete."""
        return self._size <= self._limit

    @property
    def copy(self) -> bytes:
        """The copy."""
        return b"".join(self._pieces)

    @property
    def whole_copy(self) -> bytes:
        """The copy if it is complete, else nothing."""
        return self.copy if self.whole else b""

    @property
    def arrived(self) -> int:
        """How many bytes have been handed out."""
        return self._body.arrived

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there."""
        data = self._body.take()
        if data:
            self._copy(data)
        self.ended = self.ended or data is not None
        return data

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return the whole body, as `hold` has room; raise BodyTooLarge above `limit`."""
        data = await self._body.read(limit, hold)
        self._copy(data)
        self.ended = True
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        async for data in self._body.chunks():
            self._copy(data)
            yield data
        self.ended = True

    def _copy(self, data: bytes) -> None:
        self._size += len(data)
        if self.whole:
            self._pieces.append(data)
        else:
            self._pieces.clear()


class TeeBody(_Tee[RequestBody]):
    """The body of a request."""

    __slots__ = ()

    @property
    def framing(self) -> Framing:
        """How the client framed it."""
        return self._body.framing


class TeeResponse(_Tee[UpstreamResponse]):
    """A response of the upstream."""

    __slots__ = ()

    @property
    def head(self) -> ResponseHead:
        """The head as it came."""
        return self._body.head

    @property
    def framing(self) -> Framing:
        """How the upstream framed it."""
        return self._body.framing

    @property
    def bodiless(self) -> bool:
        """Whether there can be no body."""
        return self._body.bodiless

    @property
    def delimited(self) -> bool:
        """Whether a cut body can be told from a whole one."""
        return self._body.delimited

    def divert(self) -> RawConnection:
        """Return the connection after a 101."""
        return self._body.divert()

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let no piece go at once: each is copied."""

    def lasts(self, silence: float) -> None:
        """Let silences last so long; may raise Busy."""
        self._body.lasts(silence)

    def stop(self) -> None:
        """Let `chunks` end here, although more would come."""
        self._body.stop()

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._body.close()


class Copies:
    """Copies a request and its response up to `limit` bytes each, to look at them afterwards."""

    def __init__(
        self,
        ladder: Ladder,
        admitted: AdmittedExchange,
        record: MessageRecord,
        limit: int = SCANNED_BYTES,
    ) -> None:
        self._ladder = ladder
        self._admitted = admitted
        self._record = record
        self._limit = limit
        self._request: TeeBody | None = None
        self._response: TeeResponse | None = None

    def request(self, body: RequestBody) -> TeeBody:
        """Return the request's body, to be sent in its place."""
        self._request = TeeBody(body, self._limit)
        return self._request

    def response(self, response: UpstreamResponse) -> TeeResponse:
        """Return the response, to be relayed in its place."""
        self._response = TeeResponse(response, self._limit)
        return self._response

    async def conclude(self, *, cut: bool = False) -> None:
        """Look for members that seem sensitive in what was copied whole.

        A message that was `cut` may have bodies whose ends have not come.
        """
        if self._request is not None and self._response is not None:
            bodies = self._request.whole_copy, self._response.whole_copy
            self._ladder.look(self._admitted, self._response.head, self._record, bodies)

    def give_up(self) -> None:
        """Take note that `conclude` came to no end, or is not called."""

"""Bodies that pass as they are while somebody listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from ..core.http.message import ResponseHead
from .framing import Framing
from .interfaces import IncomingBody, RawConnection, RequestBody, UpstreamResponse

_Body = TypeVar("_Body", bound=IncomingBody)


class _Overheard(Generic[_Body]):
    """Passes a body on and keeps up to `limit` bytes of it. `whole`: there were no more."""

    __slots__ = ("_body", "_limit", "_pieces", "_size")

    def __init__(self, body: _Body, limit: int) -> None:
        self._body = body
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def whole(self) -> bool:
        """Whether all that passed was kept."""
        return self._size <= self._limit

    @property
    def heard(self) -> bytes:
        """What passed."""
        return b"".join(self._pieces)

    @property
    def arrived(self) -> int:
        """How many bytes have been handed out."""
        return self._body.arrived

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there."""
        data = self._body.take()
        if data:
            self._hear(data)
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body; raise BodyTooLarge above `limit`."""
        data = await self._body.read(limit)
        self._hear(data)
        return data

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes."""
        async for data in self._body.chunks():
            self._hear(data)
            yield data

    def _hear(self, data: bytes) -> None:
        self._size += len(data)
        if self.whole:
            self._pieces.append(data)
        else:
            self._pieces.clear()


class OverheardBody(_Overheard[RequestBody]):
    """The body of a request."""

    __slots__ = ()

    @property
    def framing(self) -> Framing:
        """How the client framed it."""
        return self._body.framing


class OverheardResponse(_Overheard[UpstreamResponse]):
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

    def wait_longer(self, seconds: float) -> None:
        """Let silences last so long."""
        self._body.wait_longer(seconds)

    def stop(self) -> None:
        """Let `chunks` end here, although more would come."""
        self._body.stop()

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""
        self._body.close()

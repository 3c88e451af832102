"""Writes the response to one request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Protocol

from ...core.errors import UpstreamFailed
from ...core.planning.record_stream import RecordFlow
from ...core.transform import Forwardable
from ..byte_budget import Hold
from ..http1.boundaries import EventBoundaries, streams_events, streams_records
from ..http1.forwarding_headers import Peer
from ..http1.framing import ABSENT, CHUNKED, HTTP_10, LAST_CHUNK, Framing, as_chunk
from ..http1.gate import RawRequest
from ..http1.hop_by_hop import ONE_WRITE, WHOLE, framed, framed_whole
from ..http1.outgoing_heads import added_line, response_lines
from ..http1.pointing_headers import LocationRewrite
from ..http1.problem import Problem
from ..interfaces import Reported, Reports, UpstreamResponse
from .transformed import refuse_beside


class Connection(Protocol):
    """A client's connection, as a response sees it."""

    when_leaving: Callable[[], None] | None
    live: bool

    @property
    def peer(self) -> Peer:
        """Who is at the other end."""

    @property
    def leaving(self) -> bool:
        """Whether the process is about to end."""

    @property
    def last(self) -> bool:
        """Whether the request in progress is the last."""

    @property
    def crowded(self) -> bool:
        """Whether the client does not keep up."""

    def write(self, data: bytes) -> None:
        """Send bytes; raise ConnectionError where the client is gone."""

    def send(self, data: bytes) -> None:
        """Do so now, and not at the end of the loop's iteration."""

    async def drain(self) -> None:
        """Wait until the client takes more."""

    def report(self, reports: Reports, record: Reported) -> None:
        """Report a message once what has been written is sent."""

    def abort(self) -> None:
        """Drop the connection, so that the client sees that its response was cut."""


class ResponseWriter(ABC):
    """The response to a request that has arrived as `raw`.

    `answered` says that it has begun; `keep`, from then on, whether the connection may carry
    another request. `request_id` is what the response gets if it has no X-Request-Id, None where
    none is added. `held` is what the exchange holds of the budget of bytes, None where nothing.
    """

    __slots__ = ("_link", "answered", "held", "keep", "raw", "request_id")

    def __init__(self, link: Connection, raw: RawRequest) -> None:
        self._link = link
        self.answered = False
        self.keep = True
        self.raw = raw
        self.request_id: bytes | None = None
        self.held: Hold | None = None

    @property
    def peer(self) -> Peer:
        """Who sent the request."""
        return self._link.peer

    @abstractmethod
    def _ends(self) -> bool:
        """Whether the request itself makes its connection end with the response."""

    async def relay(
        self,
        message: Forwardable,
        response: UpstreamResponse,
        *,
        location_rewrite: LocationRewrite,
        close: bool = False,
    ) -> int:
        """Respond with a response of the upstream; return how many bytes of body were sent.

        Raises:
            TrafficError: The response was cut; if it had begun, the client sees that.
        """
        if close:
            self.keep = False
        sent = self.relay_whole(message, response, location_rewrite)
        if sent is None:
            return await self._stream(message, response, location_rewrite)
        return sent

    def relay_whole(
        self,
        message: Forwardable,
        response: UpstreamResponse,
        location_rewrite: LocationRewrite,
    ) -> int | None:
        """Respond with a complete response, or return None and send nothing."""
        if not isinstance(message, Forwardable):
            raise TypeError("only a Forwardable can be sent")
        if message.flow is not None:
            refuse_beside(message, response)
        if response.bodiless:
            self._send(
                message, _bodiless_framing(message, response, self.raw.method), location_rewrite
            )
            response.take()
            return 0
        body = message.body if message.body is not None else response.take()
        if body is None:
            return None
        lines = self._lines(message, location_rewrite)
        self.answered = True
        if len(body) <= ONE_WRITE:
            self._link.write(WHOLE % (lines, len(body), body))
        else:
            self._link.write(framed_whole(lines, len(body)))
            self._link.write(body)
        return len(body)

    def refuse(self, problem: Problem, *, close: bool = False) -> None:
        """Respond with a problem of Sealyard's own; cut the response if one has begun."""
        if self.answered:
            self._link.abort()
            return
        self.answered = True
        if close:
            self.keep = False
        head_only = self.raw.method == "HEAD"
        connection = self._connection_header()
        self._link.write(problem.render(connection=connection, head_only=head_only))

    def report(self, reports: Reports, record: Reported) -> None:
        """Report the message once its response is sent."""
        self._link.report(reports, record)

    def _lines(self, message: Forwardable, location_rewrite: LocationRewrite) -> bytes:
        """Return a head up to its framing."""
        connection = self._connection_header()
        lines = response_lines(message, connection=connection, location_rewrite=location_rewrite)
        return lines + added_line(self.request_id, message.frame.head.headers)

    def _connection_header(self) -> bytes | None:
        """Decide whether the connection persists; return the value of the Connection header."""
        if self.keep and not self._ends() and not self._link.last:
            return b"keep-alive" if self.raw.version == HTTP_10 else None
        self.keep = False
        return b"close"

    def _send(
        self, message: Forwardable, framing: Framing, location_rewrite: LocationRewrite
    ) -> None:
        """Send a head; its body, if any, follows."""
        lines = self._lines(message, location_rewrite)
        self.answered = True
        self._link.write(framed(lines, framing))

    async def _stream(
        self, message: Forwardable, response: UpstreamResponse, location_rewrite: LocationRewrite
    ) -> int:
        records = message.flow if isinstance(message.flow, RecordFlow) else None
        as_one = message.flow is not None and records is None
        framing = response.framing
        if framing.length is None or not framing.present:
            framing = CHUNKED
            if self.raw.version == HTTP_10:
                # RFC 9112 section 6.1: no chunks for HTTP/1.0; the connection ends the body.
                framing = ABSENT
                self.keep = False
                may_end = records is not None and records.open_ended
                if message.flow is not None and not may_end and not self.peer.address:
                    # A Unix socket has no resets: cut and complete would look alike.
                    raise UpstreamFailed("cut-cannot-be-shown")
        self._send(message, framing, location_rewrite)
        if records is not None:
            await self._link.drain()  # the head has gone, whatever becomes of the first record
        boundaries = None
        chunks = response.chunks()
        if framing.length is None and not as_one and streams_events(response.head.headers):
            boundaries = EventBoundaries()
            chunks = self._until_leaving(response, boundaries)
        outlet = BodyOutlet(self._link, boundaries, chunked=framing.chunked)
        response.offer(outlet)
        self._link.live = response.framing.content_length is None and streams_records(
            response.head.headers
        )
        try:
            async for data in chunks:
                outlet.send(data)
                await self._link.drain()
            if framing.chunked:
                self._link.write(LAST_CHUNK)
        except BaseException:
            # It must not look like the end: no last chunk, and a reset rather than a close.
            self._link.abort()
            raise
        finally:
            self._link.live = False
        return response.arrived

    async def _until_leaving(
        self, response: UpstreamResponse, boundaries: EventBoundaries
    ) -> AsyncIterator[bytes]:
        """Return a stream of events; once the drain begins, it ends with the present event."""
        link = self._link

        def leave() -> None:
            if boundaries.at_boundary:
                response.stop()

        link.when_leaving = leave
        if link.leaving:  # the drain has begun before the stream
            leave()
        try:
            async for data in response.chunks():
                if link.leaving:
                    if size := boundaries.last_boundary(data):
                        yield data[:size]
                        return
                    if boundaries.at_boundary:  # the stream was stopped as these bytes came
                        return
                yield data
        finally:
            link.when_leaving = None


class BodyOutlet:
    """Where the pieces of one body go; `boundaries` follow them if they are a stream of events."""

    __slots__ = ("_boundaries", "_chunked", "_link")

    def __init__(
        self, link: Connection, boundaries: EventBoundaries | None, *, chunked: bool
    ) -> None:
        self._link = link
        self._boundaries = boundaries
        self._chunked = chunked

    @property
    def ready(self) -> bool:
        """Whether a piece can go at once: the client keeps up, and is not to leave."""
        return not (self._link.crowded or self._link.leaving)

    def send(self, data: bytes) -> None:
        """Send a piece; raise ConnectionError where the client is gone."""
        if self._boundaries is not None:
            self._boundaries.pass_by(data)
        self._link.send(as_chunk(data) if self._chunked else data)


def _bodiless_framing(message: Forwardable, response: UpstreamResponse, method: str) -> Framing:
    """Return the framing of a body that is not sent: the length that a GET would show."""
    stays_empty = response.head.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
    if method != "HEAD" or message.frame.ruled or stays_empty or response.framing.length is None:
        return ABSENT
    return response.framing

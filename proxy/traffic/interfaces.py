"""The protocols between the parts of the traffic port, so that each part can be replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

from ..core.callers import VerifiedCaller
from ..core.errors import TrafficError
from ..core.http.message import ResponseHead
from ..core.transform import Forwardable
from ..core.values.key_needs import Opening
from ..telemetry.logs.access_line import MessageLine
from .byte_budget import Hold
from .http1.forwarding_headers import Peer
from .http1.framing import Framing
from .http1.gate import RawRequest
from .http1.pointing_headers import LocationRewrite
from .http1.problem import Problem


class Reporter(Protocol):
    """Where events and the lines of messages go."""

    def report(self, event: str, **fields: object) -> None:
        """Report one event."""

    def messages(self, lines: Sequence[MessageLine]) -> None:
        """Report messages that have ended."""


class IncomingBody(Protocol):
    """A body that is being received."""

    @property
    def arrived(self) -> int:
        """How many bytes have been handed out."""

    def take(self) -> bytes | None:
        """Return the whole body if all of it is there, else None and take nothing."""

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return the whole body, as `hold` has room; raise BodyTooLarge above `limit`."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Return the body piece by piece, as it comes; no piece is empty."""


class RequestBody(IncomingBody, Protocol):
    """The body of a client's request."""

    @property
    def framing(self) -> Framing:
        """How the client framed it."""


class Receiver(Protocol):
    """Receives the bytes of a connection that has switched from HTTP to another protocol."""

    def received(self, data: bytes) -> None:
        """Take bytes."""

    def ended(self) -> None:
        """Note that no more bytes will come."""

    def lost(self) -> None:
        """Note that the connection is lost."""

    def leaving(self) -> None:
        """Note that the drain has begun."""

    def writable(self, *, yes: bool) -> None:
        """Note whether the connection takes more bytes at present."""


class RawConnection(Protocol):
    """A connection that can switch to another protocol."""

    def divert(self, receiver: Receiver) -> bytes:
        """Send all bytes from now on to `receiver`; return those that have come already."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def unsent(self) -> int:
        """Return how many bytes wait until the peer reads."""

    def write_eof(self) -> None:
        """Say that no more bytes will be sent."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def abort(self) -> None:
        """Drop the connection."""


Change = Callable[[bytes], bytes | None]
"""Returns what a piece of a body becomes, or None where it is left to be read."""


class Outlet(Protocol):
    """Where the pieces of a body go."""

    @property
    def ready(self) -> bool:
        """Whether a piece can go at once."""

    def send(self, data: bytes) -> None:
        """Send a piece; raise ConnectionError where the client is gone."""


class UpstreamResponse(IncomingBody, Protocol):
    """A response of the upstream; the receiver calls `close` in the end."""

    @property
    def head(self) -> ResponseHead:
        """The head as it came."""

    @property
    def framing(self) -> Framing:
        """How the upstream framed the body, ABSENT where it ends with the connection."""

    @property
    def bodiless(self) -> bool:
        """Whether there can be no body (HEAD, 204, 304)."""

    @property
    def delimited(self) -> bool:
        """Whether a truncated body can be told from a complete one."""

    def divert(self) -> RawConnection:
        """Return the connection after a 101."""

    def lasts(self, silence: float) -> None:
        """Let each silence of the body last up to so many seconds, beside the permits.

        Raises:
            Busy: There is no room for another stream of records.
        """

    def offer(self, outlet: Outlet, change: Change | None = None) -> None:
        """Let pieces that come while `chunks` waits for one go at once, those that can.

        The others come out of `chunks`, and so does what `change` leaves.
        """

    def stop(self) -> None:
        """Let `chunks` end here, although more would come."""

    def close(self) -> None:
        """Give the connection back if it is beyond doubt, else drop it."""


class Reported(Protocol):
    """A message that is over."""

    @property
    def unopened(self) -> Sequence[object]:
        """What of it did not open."""


class Reports(Protocol):
    """Reports messages that are over."""

    def report(self, records: Sequence[Any]) -> None:
        """Write their lines, and report what did not open in the last one."""


class Request(Protocol):
    """A request that has arrived, and the means to respond to it."""

    @property
    def raw(self) -> RawRequest:
        """The head as the parser read it."""

    request_id: bytes | None
    """The id that the response gets if it has none; None where none is added."""

    weighed: bool
    """Whether it is known that the event loop has time for it."""
    held: Hold | None
    """What it holds of the budget of bytes; its connection releases it."""

    @property
    def peer(self) -> Peer:
        """Who sent it."""

    def body(self, framing: Framing, *, expects_continue: bool) -> RequestBody:
        """Return the body, once the gate has found its framing."""

    async def relay(
        self,
        message: Forwardable,
        response: UpstreamResponse,
        *,
        location_rewrite: LocationRewrite,
        close: bool = False,
    ) -> int:
        """Respond with a response of the upstream; return how many bytes of body were sent."""

    def refuse(self, problem: Problem, *, close: bool = False) -> None:
        """Respond with a problem of Sealyard's own."""

    def report(self, reports: Reports, record: Reported) -> None:
        """Report the message once its response is sent."""

    async def switch(self, head: bytes) -> RawConnection:
        """Respond with a 101 and return the connection."""


class OpensLog(Protocol):
    """Where it is written down what messages open."""

    def admit(self, caller: VerifiedCaller | None) -> None:
        """Raise CallerOpensLimited where a caller must not open more."""

    async def attempt(self, one: Opening) -> None:
        """Write down what is about to go on; raise KeyUnavailable where it must not."""

    def over(self, request_id: str, *, delivered: bool) -> None:
        """Note that such a message is over: handed over whole, or perhaps in part."""


class Listener(Protocol):
    """Where requests come from."""

    async def start(self) -> None:
        """Begin to accept connections."""

    def stop_accepting(self) -> None:
        """Accept no more, close what is idle, and let what is under way be the last."""

    async def drained(self, seconds: float) -> bool:
        """Wait until all connections have ended; return whether they did in time."""

    async def close(self) -> None:
        """Drop what is left."""


class Answerer(Protocol):
    """Responds to all requests that arrive."""

    def handle(self, request: Request) -> Coroutine[Any, Any, None]:
        """Respond to one request."""

    def reject(self, error: TrafficError) -> Problem:
        """Return the response to what is not a valid request."""

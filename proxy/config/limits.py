"""Limits and timeouts of the traffic port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .declared.kinds import BYTES, DAY, Duration, Size, WholeNumber
from .declared.section import Section, setting

KIBIBYTE: Final = BYTES["KiB"]
MEBIBYTE: Final = BYTES["MiB"]
_SIZE: Final = Size()
_COUNT: Final = WholeNumber(1, 1_000_000)


def _wait(doc: str, seconds: float) -> Any:  # noqa: ANN401 - as `setting`
    return setting(Duration(high=DAY), doc, default=seconds)


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """Sizes in bytes and numbers, for each listener; None: no limit."""

    body: int = setting(
        _SIZE, "The largest body that is buffered for a rule.", default=16 * MEBIBYTE
    )
    stream: int | None = setting(
        _SIZE,
        "The largest body that is sealed or opened while it passes, as a sealed stream or in"
        " a multipart form, in bytes as received. Without it there is no limit: such a body"
        " takes constant memory.",
        default=None,
    )
    window: int = setting(
        _SIZE,
        "How much is buffered in each direction of a body that passes unchanged.",
        default=64 * KIBIBYTE,
    )
    head: int = setting(_SIZE, "The largest message head.", default=64 * KIBIBYTE)
    header_line: int = setting(_SIZE, "The longest line of a message head.", default=8190)
    headers: int = setting(_COUNT, "The largest number of headers in a message.", default=128)
    connections: int = setting(
        _COUNT,
        "The largest number of requests that are under way at the upstream. One client and"
        " one route each leave a tenth of them to others.",
        default=100,
    )
    connections_per_route: int | None = setting(
        _COUNT,
        "The largest number of them on one route: those of one rule, or, without a rule,"
        " those whose paths differ only in identifiers. Without it, nine tenths of"
        " `connections`.",
        default=None,
    )
    waiting: int = setting(
        _COUNT,
        "The largest number of requests that wait for a turn at the upstream. One client and"
        " one route each leave a tenth of the places to others.",
        default=1000,
    )
    websockets: int = setting(
        _COUNT,
        "The largest number of WebSockets; one client leaves a tenth to others. They do not"
        " count as `connections`.",
        default=1000,
    )
    event_streams: int = setting(
        _COUNT,
        "The same for responses that are a stream of events or other records without a length.",
        default=1000,
    )
    long_transfers: int = setting(
        _COUNT,
        "The same for uploads and downloads that last more than a few seconds, or whose"
        " client does not read.",
        default=200,
    )
    clients: int = setting(_COUNT, "The largest number of client connections.", default=10_000)
    clients_per_address: int = setting(
        _COUNT,
        "The largest number of client connections from one IP address; Unix sockets are not"
        " counted.",
        default=1000,
    )
    upload_rate: int = setting(
        _SIZE,
        "The lowest rate of a request body, per second: a client that sends more slowly uses"
        " up `timeouts.body`.",
        default=240,
    )
    failures: int = setting(
        _COUNT,
        "So many requests in a row that get no connection to the upstream open its circuit"
        " breaker: requests are refused with 503 for `timeouts.rest`.",
        default=5,
    )
    gateway_errors: int | None = setting(
        _COUNT,
        "The same for requests in a row that are answered with 502, 503 or 504, or not at all"
        " (the connection was cut, or `timeouts.response` is over). Not counted unless set:"
        " one route that fails would make all others fail.",
        default=None,
    )

    @property
    def upstream_connections(self) -> int:
        """The most connections to the upstream: of requests, and of what lasts."""
        return self.connections + self.websockets + self.event_streams + self.long_transfers


LIMITS: Final = Section(TrafficLimits, "limits", "`limits` of a listener")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Timeouts in seconds, for each listener.

    `head` limits a complete request head. `body` limits each pause in a request body, and the total
    time that it may be slower than `limits.upload_rate`: waiting for it uses the time up, its bytes
    earn it back. `keepalive` limits an idle client connection, `write` the time in which a client
    receives the next 48 KiB of a response, and `linger` reading the rest of a refused upload.
    To the upstream, `connect`, `response` (from the end of the request to the response head) and
    `stream` (each pause in a body) limit a message, `queue` the wait for a connection, and `idle`
    the time that a connection is kept for its next message: less than the two seconds after which
    some backends close theirs. `tunnel` limits each pause of a WebSocket, and of a response that is
    a stream of events or other records without a length.
    An upstream that fails is left alone for `rest`, and twice as long after each trial in vain, but
    never longer than `longest_rest`.
    """

    head: float = _wait("For a complete request head.", 10.0)
    body: float = _wait("For each pause in a request body; see `limits.upload_rate`.", 30.0)
    keepalive: float = _wait("For the next request on an idle client connection.", 75.0)
    write: float = _wait("For a client to receive the next 48 KiB of a response.", 30.0)
    linger: float = _wait("For reading the rest of a refused upload.", 2.0)
    connect: float = _wait("For connecting to the upstream.", 5.0)
    response: float = _wait("From the end of a request to the head of its response.", 60.0)
    stream: float = _wait("For each pause in a response body.", 60.0)
    queue: float = _wait("For a turn at the upstream.", 1.0)
    idle: float = _wait("How long an idle upstream connection is kept.", 1.5)
    tunnel: float = _wait(
        "For each pause in a WebSocket, an event stream or another stream of records.", 3600.0
    )
    rest: float = _wait(
        "How long an upstream that fails is left alone; see `limits.failures`. After that one"
        " request is tried, and each that fails doubles the time.",
        0.5,
    )
    longest_rest: float = _wait("The longest such time.", 1.5)


TIMEOUTS: Final = Section(Timeouts, "timeouts", "`timeouts` of a listener")

"""Limits and timeouts of the traffic port, with their defaults."""

from __future__ import annotations

from dataclasses import dataclass

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """Sizes in bytes and numbers, for each listener.

    `body` limits a body that is held in memory for a rule; `stream`, if not None, a sealed stream
    or a multipart form that a rule changes while it passes. `window` limits what is buffered in
    each direction of a body that passes unchanged. At most `connections` requests are under way at
    the upstream, `connections_per_route` of them on one route, if that is not None, and `waiting`
    more queue. `websockets`, `event_streams` and `long_transfers` limit what lasts, beside these.
    `clients` connections are accepted, `clients_per_address` of them from one address.
    `upload_rate` bytes of a request body per second earn its client more time (see
    `Timeouts.body`). After `failures` to connect in a row, or so many `gateway_errors`, unless that
    is None, the upstream is left alone for a while (`Timeouts.rest`).
    """

    body: int = 16 * MEBIBYTE
    stream: int | None = None
    window: int = 64 * KIBIBYTE
    head: int = 64 * KIBIBYTE
    header_line: int = 8190
    headers: int = 128
    connections: int = 100
    connections_per_route: int | None = None
    waiting: int = 1000
    websockets: int = 1000
    event_streams: int = 1000
    long_transfers: int = 200
    clients: int = 10_000
    clients_per_address: int = 1000
    upload_rate: int = 240
    failures: int = 5
    gateway_errors: int | None = None

    @property
    def upstream_connections(self) -> int:
        """The most connections to the upstream: of requests, and of what lasts."""
        return self.connections + self.websockets + self.event_streams + self.long_transfers


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

    head: float = 10.0
    body: float = 30.0
    keepalive: float = 75.0
    write: float = 30.0
    linger: float = 2.0
    connect: float = 5.0
    response: float = 60.0
    stream: float = 60.0
    queue: float = 1.0
    idle: float = 1.5
    tunnel: float = 3600.0
    rest: float = 0.5
    longest_rest: float = 1.5

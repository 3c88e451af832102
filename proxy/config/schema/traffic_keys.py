"""The keys of `limits` and `timeouts`, with their defaults from the classes they fill."""

from __future__ import annotations

from typing import Final

from ..limits import KIBIBYTE, MEBIBYTE, Timeouts, TrafficLimits
from . import tables
from .tables import Key, Table

MOST: Final = 1_000_000
_LIMITS: Final = TrafficLimits()
_TIMEOUTS: Final = Timeouts()


def _size(name: str, doc: str, default: int | None) -> Key:
    if default is None:
        return Key(name, "size", doc, tables.SIZE)
    if default % MEBIBYTE == 0:
        written = f"{default // MEBIBYTE}MiB"
    elif default % KIBIBYTE == 0:
        written = f"{default // KIBIBYTE}KiB"
    else:
        written = f"{default}B"
    return Key(name, "size", doc, tables.SIZE, written)


def _count(name: str, doc: str, default: int) -> Key:
    return Key(name, "number", doc, tables.number(1, MOST), str(default))


def _wait(name: str, doc: str, default: float) -> Key:
    return Key(name, "duration", doc, tables.DURATION, f"{default:g}s")


LIMITS: Final = Table(
    "limits",
    "`limits` of a listener",
    (
        _size("body", "The largest body that is held in memory for a rule.", _LIMITS.body),
        _size(
            "frame",
            "The largest body that is sealed or opened while it passes, as a frame or as a form, in"
            " bytes as they come. Unless given there is no bound: the memory for it does not grow.",
            _LIMITS.frame,
        ),
        _size(
            "window", "What may wait in each direction of a body that only passes.", _LIMITS.window
        ),
        _size("head", "The largest head of a message.", _LIMITS.head),
        _size("header_line", "The longest line of a head.", _LIMITS.header_line),
        _count("headers", "The most headers of a message.", _LIMITS.headers),
        _count("connections", "The most connections to the upstream.", _LIMITS.connections),
        _count("waiting", "The most messages that queue for a connection.", _LIMITS.waiting),
        _count("clients", "The most connections of clients.", _LIMITS.clients),
        _count(
            "clients_per_address",
            "The most of them from one address; Unix sockets have none.",
            _LIMITS.clients_per_address,
        ),
        _size(
            "upload_rate",
            "What a second is worth in a request body: a client that sends less than this per"
            " second uses up `timeouts.body`.",
            _LIMITS.upload_rate,
        ),
    ),
)
SIZES: Final = frozenset(key.name for key in LIMITS.keys if key.syntax == "size")

TIMEOUTS: Final = Table(
    "timeouts",
    "`timeouts` of a listener",
    (
        _wait("head", "For a whole request head.", _TIMEOUTS.head),
        _wait(
            "body",
            "For the silences inside a request body; see `limits.upload_rate`.",
            _TIMEOUTS.body,
        ),
        _wait("keepalive", "For the rest between two requests of a client.", _TIMEOUTS.keepalive),
        _wait("write", "For a client to take the next 48 KiB of a response.", _TIMEOUTS.write),
        _wait("linger", "For the reading on after a refused upload.", _TIMEOUTS.linger),
        _wait("connect", "For a connection to the upstream.", _TIMEOUTS.connect),
        _wait(
            "response", "From the end of a request to the head of its response.", _TIMEOUTS.response
        ),
        _wait("stream", "For each silence inside a response body.", _TIMEOUTS.stream),
        _wait("queue", "For a free connection to the upstream.", _TIMEOUTS.queue),
        _wait(
            "idle", "The age of an upstream connection that waits for a message.", _TIMEOUTS.idle
        ),
        _wait(
            "tunnel",
            "For the silence of a WebSocket, or of a stream of events or other records.",
            _TIMEOUTS.tunnel,
        ),
    ),
)

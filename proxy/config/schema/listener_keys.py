"""The keys of a listener, its TLS, limits, timeouts and log.

Defaults of `limits` and `timeouts` come from the classes that they fill.
"""

from __future__ import annotations

from typing import Final

from ..limits import KIBIBYTE, MEBIBYTE, Timeouts, TrafficLimits
from . import tables
from .addresses import ADDRESS
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
            "stream",
            "The largest body that is sealed or opened while it passes, as a sealed stream or in a"
            " multipart form, in bytes as received. Without it there is no limit: such a body takes"
            " constant memory.",
            _LIMITS.stream,
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

TLS: Final = Table(
    "tls",
    "`tls` of a listener",
    (
        Key(
            "cert", "path", "The certificate chain that it shows (PEM).", tables.TEXT, required=True
        ),
        Key("key", "path", "Its private key (PEM).", tables.TEXT, required=True),
        Key("client_ca", "path", "Clients must show a certificate of this authority.", tables.TEXT),
    ),
)

UPSTREAM_TLS: Final = Table(
    "upstream_tls",
    "`upstream_tls` of a listener",
    (
        Key("ca", "path", "Who signs the upstream's certificate.", tables.TEXT, "the system's"),
        Key("cert", "path", "The certificate that Sealyard shows (PEM); with `key`.", tables.TEXT),
        Key("key", "path", "Its private key (PEM); with `cert`.", tables.TEXT),
        Key(
            "server_name",
            "name",
            "The name that the certificate must hold.",
            tables.TEXT,
            "the host",
        ),
    ),
)

LISTENER: Final = Table(
    "listener",
    "A listener",
    (
        Key(
            "name",
            "text",
            "Its name in logs and metrics; once in a file.",
            tables.TEXT,
            required=True,
        ),
        Key("listen", ADDRESS, "Where it accepts.", tables.TEXT, required=True),
        Key(
            "upstream",
            "`http://host:port`, `https://host:port`, `unix:/path`, `original-port`",
            "Where it forwards to; `original-port` is 127.0.0.1 at the port that the client of a"
            " redirected connection called (in pods).",
            tables.TEXT,
            required=True,
        ),
        Key(
            "unmatched",
            "`pass`, `reject`",
            "What becomes of requests that no rule matches. `validate` warns where writes among"
            " them pass beside what rules seal: reject them, or end the rules with one for all of"
            " the area.",
            tables.choice(("pass", "reject")),
            required=True,
        ),
        Key(
            "defaults",
            "mapping",
            "Rule keys for every rule that has not its own.",
            tables.table("defaults"),
        ),
        Key(
            "rules",
            "list of rules",
            "The rules; the first match wins.",
            {"type": "array", "items": tables.table("rule")},
        ),
        Key("tls", "mapping", "TLS towards clients.", tables.table("tls")),
        Key(
            "upstream_tls",
            "mapping",
            "TLS towards an `https` upstream.",
            tables.table("upstream_tls"),
        ),
        Key("limits", "mapping", "Sizes and numbers.", tables.table("limits")),
        Key("timeouts", "mapping", "Waits.", tables.table("timeouts")),
        Key(
            "trusted_names",
            "`true`, `false`",
            "Whether a tenant may be read from headers, queries and unverified claims.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "trusted_proxies",
            "list of networks, such as `10.0.0.0/8`",
            "Whose word on the client (`X-Forwarded-For` and its like) is passed on and added to;"
            " that of all others is replaced.",
            tables.many(tables.TEXT),
            "none",
        ),
        Key("jwks", "url", "Verifies the claims that `jwt:` reads.", tables.NOT_YET, later=True),
    ),
)

LEVELS: Final = ("info", "warning")

LOG: Final = Table(
    "log",
    "`log` of a rule or of `defaults`: which lines of its messages are written",
    (
        Key(
            "sample",
            "number above 0, up to 1",
            "Which share of the messages that went well is written; their lines carry it as"
            " `sample`. What was refused, failed or was cut off is always written, and counted are"
            " all.",
            tables.SHARE,
            "1",
        ),
        Key(
            "level",
            "`info`, `warning`",
            "From which level on lines are written; `warning` leaves what was refused, failed or"
            " was cut off.",
            tables.choice(LEVELS),
            "`info`",
        ),
    ),
)

"""The keys of a listener, its TLS, limits, timeouts and log.

Defaults of `limits` and `timeouts` come from the classes that they fill.
"""

from __future__ import annotations

from typing import Final, get_args

from ..limits import KIBIBYTE, MEBIBYTE, Timeouts, TrafficLimits
from ..settings import ClientClose
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


def _count(name: str, doc: str, default: int | None) -> Key:
    return Key(name, "number", doc, tables.number(1, MOST), str(default or ""))


def _wait(name: str, doc: str, default: float) -> Key:
    return Key(name, "duration", doc, tables.DURATION, f"{default:g}s")


LIMITS: Final = Table(
    "limits",
    "`limits` of a listener",
    (
        _size("body", "The largest body that is buffered for a rule.", _LIMITS.body),
        _size(
            "stream",
            "The largest body that is sealed or opened while it passes, as a sealed stream or in a"
            " multipart form, in bytes as received. Without it there is no limit: such a body"
            " takes constant memory.",
            _LIMITS.stream,
        ),
        _size(
            "window",
            "How much is buffered in each direction of a body that passes unchanged.",
            _LIMITS.window,
        ),
        _size("head", "The largest message head.", _LIMITS.head),
        _size("header_line", "The longest line of a message head.", _LIMITS.header_line),
        _count("headers", "The largest number of headers in a message.", _LIMITS.headers),
        _count(
            "connections",
            "The largest number of requests that are under way at the upstream. One client and"
            " one route each leave a tenth of them to others.",
            _LIMITS.connections,
        ),
        _count(
            "connections_per_route",
            "The largest number of them on one route: those of one rule, or, without a rule, those"
            " whose paths differ only in identifiers. Without it, nine tenths of `connections`.",
            _LIMITS.connections_per_route,
        ),
        _count(
            "waiting",
            "The largest number of requests that wait for a turn at the upstream. One client and"
            " one route each leave a tenth of the places to others.",
            _LIMITS.waiting,
        ),
        _count(
            "websockets",
            "The largest number of WebSockets; one client leaves a tenth to others. They do not"
            " count as `connections`.",
            _LIMITS.websockets,
        ),
        _count(
            "event_streams",
            "The same for responses that are a stream of events or other records without a length.",
            _LIMITS.event_streams,
        ),
        _count(
            "long_transfers",
            "The same for uploads and downloads that last more than a few seconds, or whose client"
            " does not read.",
            _LIMITS.long_transfers,
        ),
        _count("clients", "The largest number of client connections.", _LIMITS.clients),
        _count(
            "clients_per_address",
            "The largest number of client connections from one IP address; Unix sockets are not"
            " counted.",
            _LIMITS.clients_per_address,
        ),
        _size(
            "upload_rate",
            "The lowest rate of a request body, per second: a client that sends more slowly uses"
            " up `timeouts.body`.",
            _LIMITS.upload_rate,
        ),
        _count(
            "failures",
            "So many requests in a row that get no connection to the upstream open its circuit"
            " breaker: requests are refused with 503 for `timeouts.rest`.",
            _LIMITS.failures,
        ),
        _count(
            "gateway_errors",
            "The same for requests in a row that are answered with 502, 503 or 504, or not at all"
            " (the connection was cut, or `timeouts.response` is over). Not counted unless set: one"
            " route that fails would make all others fail.",
            _LIMITS.gateway_errors,
        ),
    ),
)
SIZES: Final = frozenset(key.name for key in LIMITS.keys if key.syntax == "size")

TIMEOUTS: Final = Table(
    "timeouts",
    "`timeouts` of a listener",
    (
        _wait("head", "For a complete request head.", _TIMEOUTS.head),
        _wait(
            "body",
            "For each pause in a request body; see `limits.upload_rate`.",
            _TIMEOUTS.body,
        ),
        _wait(
            "keepalive", "For the next request on an idle client connection.", _TIMEOUTS.keepalive
        ),
        _wait("write", "For a client to receive the next 48 KiB of a response.", _TIMEOUTS.write),
        _wait("linger", "For reading the rest of a refused upload.", _TIMEOUTS.linger),
        _wait("connect", "For connecting to the upstream.", _TIMEOUTS.connect),
        _wait(
            "response", "From the end of a request to the head of its response.", _TIMEOUTS.response
        ),
        _wait("stream", "For each pause in a response body.", _TIMEOUTS.stream),
        _wait("queue", "For a turn at the upstream.", _TIMEOUTS.queue),
        _wait("idle", "How long an idle upstream connection is kept.", _TIMEOUTS.idle),
        _wait(
            "tunnel",
            "For each pause in a WebSocket, an event stream or another stream of records.",
            _TIMEOUTS.tunnel,
        ),
        _wait(
            "rest",
            "How long an upstream that fails is left alone; see `limits.failures`. After that one"
            " request is tried, and each that fails doubles the time.",
            _TIMEOUTS.rest,
        ),
        _wait("longest_rest", "The longest such time.", _TIMEOUTS.longest_rest),
    ),
)

TLS: Final = Table(
    "tls",
    "`tls` of a listener",
    (
        Key("cert", "path", "The certificate chain (PEM).", tables.TEXT, required=True),
        Key("key", "path", "Its private key (PEM).", tables.TEXT, required=True),
        Key(
            "client_ca",
            "path",
            "The CA certificates (PEM) that client certificates must be issued by; clients must"
            " then present one.",
            tables.TEXT,
        ),
    ),
)

UPSTREAM_TLS: Final = Table(
    "upstream_tls",
    "`upstream_tls` of a listener",
    (
        Key(
            "ca",
            "path",
            "The CA certificates that verify the upstream (PEM).",
            tables.TEXT,
            "the system's CAs",
        ),
        Key("cert", "path", "Sealyard's client certificate (PEM); with `key`.", tables.TEXT),
        Key("key", "path", "Its private key (PEM); with `cert`.", tables.TEXT),
        Key(
            "server_name",
            "name",
            "The name that the upstream's certificate must be valid for.",
            tables.TEXT,
            "the host of `upstream`",
        ),
    ),
)

ON_CLIENT_CLOSE: Final[tuple[ClientClose, ...]] = get_args(ClientClose)

LISTENER: Final = Table(
    "listener",
    "A listener",
    (
        Key(
            "name",
            "text",
            "Its name in logs and metrics; unique in the file.",
            tables.TEXT,
            required=True,
        ),
        Key("listen", ADDRESS, "The address it listens on.", tables.TEXT, required=True),
        Key(
            "upstream",
            "`http://host:port`, `https://host:port`, `unix:/path`, `original-port`",
            "Where it forwards to. `original-port` is 127.0.0.1 at the port that the client of a"
            " redirected connection called (in pods).",
            tables.TEXT,
            required=True,
        ),
        Key(
            "unmatched",
            "`pass`, `reject`",
            "What happens with requests that no rule matches. `validate` warns if writes pass"
            " beside routes that rules seal: use `reject`, or end the rules with one that covers"
            " the rest of the area.",
            tables.choice(("pass", "reject")),
            required=True,
        ),
        Key(
            "defaults",
            "mapping",
            "Rule keys that apply to every rule that does not set them.",
            tables.table("defaults"),
        ),
        Key(
            "rules",
            "list of rules",
            "The rules; the first match wins.",
            {"type": "array", "items": tables.table("rule")},
        ),
        Key("tls", "mapping", "TLS for clients.", tables.table("tls")),
        Key(
            "upstream_tls",
            "mapping",
            "TLS to an `https` upstream.",
            tables.table("upstream_tls"),
        ),
        Key("limits", "mapping", "Limits of sizes and numbers.", tables.table("limits")),
        Key("timeouts", "mapping", "Timeouts.", tables.table("timeouts")),
        Key(
            "trusted_names",
            "`true`, `false`",
            "Whether a tenant may be read from headers, query parameters and unverified claims,"
            " which clients choose.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "trusted_proxies",
            "list of networks, such as `10.0.0.0/8`",
            "The proxies whose forwarding headers (`X-Forwarded-For` and the like) are kept and"
            " extended; those of other clients are replaced. Their addresses are no clients:"
            " `limits.clients_per_address` does not apply to them.",
            tables.many(tables.TEXT),
            "none",
        ),
        Key(
            "upstream_names",
            "list of `host` or `host:port`",
            "Names that the backend gives itself, besides the address in `upstream`. Where"
            " `Location`, `Content-Location`, `Link` or `Refresh` of a response point at one of"
            " them, they point at the address that the client used instead. A name without a port"
            " is that of the default port of `http` or `https`.",
            tables.many(tables.TEXT),
            "none",
        ),
        Key(
            "on_client_close",
            "`probe`, `abort`, `finish`",
            "What a client is taken for that closes its sending half (FIN) while its response is"
            " awaited. `probe` sends it one `100 Continue`: the request of a client that has closed"
            " the connection is aborted within a second, that of a client that still reads is"
            " answered. `abort` takes it for a client that has left, as nginx and Envoy do."
            " `finish` answers it. A reset, and a FIN before the end of the request, abort always.",
            tables.choice(ON_CLIENT_CLOSE),
            "`probe`",
        ),
        Key(
            "proxy_protocol",
            "`true`, `false`",
            "Whether each connection begins with a header of the PROXY protocol (version 1 or 2),"
            " which names the client. Connections are then accepted only from `trusted_proxies`,"
            " and only with such a header.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "client_names",
            "list",
            "Clients that the ladder may name where it tells which clients a stricter mode would"
            " refuse; the first that fits is taken. All others are `other`.",
            tables.many(tables.table("client_name")),
            "none",
        ),
        Key(
            "find_sensitive",
            "`true`, `false`",
            "Whether the ladder lists members that no rule seals and whose names or shapes look"
            " sensitive (passwords, diagnoses, e-mail addresses, card numbers, …), by path and kind"
            " and never by value. Of each second, ten messages of up to 32 KiB are looked at.",
            tables.SWITCH,
            "`false`",
        ),
        Key(
            "add_request_id",
            "`true`, `false`",
            "Whether requests and responses that have no `X-Request-Id` get one: the request id in"
            " Sealyard's log line. Those that have one are forwarded as they came.",
            tables.SWITCH,
            "`false`",
        ),
    ),
)

CLIENT_NAME: Final = Table(
    "client_name",
    "An element of `client_names` of a listener: `user_agent`, `address`, or both",
    (
        Key("name", "name", "Its name in reports.", tables.TEXT, required=True),
        Key(
            "user_agent",
            "product, such as `clinic-ios`",
            "The product that its `User-Agent` begins with, without the version.",
            tables.TEXT,
        ),
        Key(
            "address",
            "network, such as `10.2.0.0/16`",
            "The network of its address, as `X-Forwarded-For` of `trusted_proxies` tells it.",
            tables.TEXT,
        ),
    ),
)

LEVELS: Final = ("info", "warning")

LOG: Final = Table(
    "log",
    "`log` of a rule or of `defaults`: which log lines its messages get",
    (
        Key(
            "sample",
            "number above 0, up to 1",
            "The share of successful messages that is logged; their lines have it as `sample`."
            " Refused, failed and aborted messages are always logged, and every message is"
            " counted.",
            tables.SHARE,
            "1",
        ),
        Key(
            "level",
            "`info`, `warning`",
            "The lowest level that is logged; `warning` leaves only refused, failed and aborted"
            " messages.",
            tables.choice(LEVELS),
            "`info`",
        ),
    ),
)

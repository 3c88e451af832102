"""The gate: a parsed request head becomes a request with one reading, or an error.

The parser knows the grammar of messages; the gate knows what a proxy must not forward (RFC 9110,
RFC 9112). Each check below closes a gap that the parser was seen to leave open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from ...core.compiled.request_names import OVERRIDING
from ...core.errors import ExpectationFailed, MalformedRequest, MethodNotAllowed
from ...core.expressions.name_readings import fold_header
from ...core.http.header_names import HeaderNames, Places
from ...core.http.message import Headers, RequestHead, header_values
from ...core.http.path import CanonicalPath, canonical
from ...core.planning.overrides import REROUTING
from .framing import HTTP_10, HTTP_11, Framing, request_framing

_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_HIGHEST_PORT: Final = 65535


@lru_cache(maxsize=1024)
def is_authority(text: bytes) -> bool:
    """Return whether `text` is `uri-host[:port]`, without userinfo and with a port that exists."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    port = match.group(1)
    return port is None or 0 < int(port) <= _HIGHEST_PORT


__all__ = ["HTTP_10", "Admitted", "RawRequest", "admit", "is_authority"]

_COMMON: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = frozenset(
    {
        "ACL",
        "BIND",
        "CHECKOUT",
        "COPY",
        "LINK",
        "LOCK",
        "M-SEARCH",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "NOTIFY",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "QUERY",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SUBSCRIBE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
    }
)
"""Other methods that backends know: what one parser does not know, it may read as anything."""
_METHOD: Final = re.compile(r"[A-Z][A-Z-]*")
_ABSOLUTE: Final = re.compile(r"https?://([^/?]*)(.*)", re.IGNORECASE | re.DOTALL)
_BAD_TARGET: Final = re.compile(r"[^!-~]|[#\\]")
_ODD_NAME: Final = re.compile(rb"[^0-9A-Za-z-]")

_HEEDED: Final = {fold_header(one): one for one in OVERRIDING | REROUTING}
"""Headers that frameworks obey, by their CGI name: CGI reads `X.Method` and `X-Method` alike."""
_NOTABLE: Final = (
    OVERRIDING
    | REROUTING
    | {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"upgrade",
        b"connection",
        b"via",
    }
)
_ONCE: Final = frozenset(
    {
        b"content-location",
        b"content-range",
        b"content-type",
        b"etag",
        b"max-forwards",
        b"server",
        b"user-agent",
    }
)
"""Headers with one value: of two, one reader takes the first and another the last. Host and what
frames have refusals of their own."""
_USUAL: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
"""What asks for nothing beside an answer."""
_DRAFT: Final = b"sec-websocket-key1"
"""A WebSocket of a draft, whose client sends bytes that no header announces."""
_WS_KEY: Final = b"sec-websocket-key"
_WS_VERSION: Final = b"sec-websocket-version"


@dataclass(slots=True)
class RawRequest:
    """A request head as the reader has read it; `accepted`: the characters of its names are."""

    method: Final[str]
    target: Final[str]
    version: Final[tuple[int, int]]
    headers: Final[Headers]
    names: Final[HeaderNames]
    accepted: Final[bool] = False

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of the header `name` (lower case), in order."""
        return self.names.values_in(self.headers, name)


@dataclass(slots=True)
class Admitted:
    """A request that passed the gate.

    Attributes:
        host: Empty where an HTTP/1.0 client sent none.
        websocket: It is a complete WebSocket handshake (RFC 6455).
        upgrade: It asks for some other protocol; the Upgrade is ignored.
        overrides: The methods that it asks for in headers, which Express, Rails, PHP and Spring can
            be configured to obey.
        reroutes: The values of headers that some frameworks take for the path.
        via: The request has passed another proxy.
    """

    head: Final[RequestHead]
    path: Final[CanonicalPath]
    framing: Final[Framing]
    host: Final[bytes] = b""
    expects_continue: Final[bool] = False
    websocket: Final[bool] = False
    upgrade: Final[bool] = False
    overrides: Final[tuple[str, ...]] = ()
    reroutes: Final[tuple[bytes, ...]] = ()
    via: Final[bool] = False


def admit(raw: RawRequest) -> Admitted:
    """Return the request in its one reading.

    Raises:
        TrafficError: The request is malformed or ambiguous, or asks for what is refused.
    """
    if raw.method not in _COMMON or raw.version != HTTP_11:
        _check_line(raw)
    if _BAD_TARGET.search(raw.target):
        raise MalformedRequest(
            "target-character", detail="Percent-encode it, or set `accept: [raw-targets]`."
        )
    notable = _notable(raw)
    authority, target = None, raw.target
    if target[:1] != "/":
        authority, target = _split_target(target)
    hosts = notable.get(b"host", [])
    headers = _check_host(raw, hosts, authority)
    framing = request_framing(raw.version, notable)
    raw_path, mark, query = target.partition("?")
    path = canonical(raw_path)
    names = raw.names if headers is raw.headers else None
    head = RequestHead(raw.method, path.text, query if mark else None, headers, names)
    admitted = Admitted(head, path, framing, authority or (hosts[0] if hosts else b""))
    return admitted if notable.keys() <= _USUAL else _asking(admitted, raw, notable)


def _asking(admitted: Admitted, raw: RawRequest, notable: dict[bytes, list[bytes]]) -> Admitted:
    """Return a request with what it asks for beside an answer."""
    upgrade = b"upgrade" in notable
    websocket = upgrade and _asks_for_websocket(raw, notable, admitted.framing)
    return Admitted(
        admitted.head,
        admitted.path,
        admitted.framing,
        admitted.host,
        expects_continue=b"expect" in notable and _expects_continue(raw.version, notable),
        websocket=websocket,
        upgrade=upgrade and not websocket,
        overrides=tuple(one.decode("latin-1") for one in _of(OVERRIDING, notable)),
        reroutes=_of(REROUTING, notable),
        via=b"via" in notable,
    )


def _of(names: frozenset[bytes], notable: dict[bytes, list[bytes]]) -> tuple[bytes, ...]:
    """Return the values of some headers."""
    return tuple(value for name in names for value in notable.get(name, ()))


def _refuse(reason: str) -> NoReturn:
    raise MalformedRequest(reason)


def _check_line(raw: RawRequest) -> None:
    if raw.version != HTTP_11 and raw.version != HTTP_10:  # noqa: PLR1714 - a set would hash both
        _refuse("version")
    if raw.method not in _COMMON:
        if raw.method in {"CONNECT", "TRACE"}:
            raise MethodNotAllowed(raw.method.lower())
        if raw.method not in _OTHER:
            if _METHOD.fullmatch(raw.method) is None:
                _refuse("method")
            raise MethodNotAllowed("unknown-method")


def _notable(raw: RawRequest) -> dict[bytes, list[bytes]]:
    """Return the values of the headers that the gate must know, by name in lower case.

    Refuse names of headers that leave two readings.
    """
    names, headers = raw.names, raw.headers
    noted = names[_note]
    if noted is None:
        _refuse("parser")
    notable = {name: [headers[at][1] for at in places] for name, places in noted}
    if names.odd and not raw.accepted:
        _add_odd(notable, headers)
    return notable


def _note(names: HeaderNames) -> Places | None:
    """Return where names stand that the gate must know; None where they leave two readings."""
    places = names.places
    if _DRAFT in places or any(len(places.get(one, ())) > 1 for one in _ONCE):
        return None
    return names.standing(_NOTABLE)


def _add_odd(notable: dict[bytes, list[bytes]], headers: Headers) -> None:
    """Add what CGI reads as another header than it is called; refuse what it may take for two."""
    for name, value in headers:
        if b"_" in name:  # CGI folds `Content_Length` and `Content-Length` into one
            raise MalformedRequest(
                "header-name",
                detail="A name has `_`: use `-`, or set `accept: [header-underscores]`.",
            )
        heeded = _HEEDED.get(fold_header(name))
        if heeded is not None and _ODD_NAME.search(name):
            notable.setdefault(heeded, []).append(value)


def _split_target(target: str) -> tuple[bytes, str]:
    """Return the authority of a target in absolute-form, and the origin-form."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        _refuse("target-form")
    authority, rest = absolute.groups()
    if not rest.startswith("/"):
        rest = "/" + rest
    return authority.encode("ascii"), rest


def _check_host(raw: RawRequest, hosts: list[bytes], authority: bytes | None) -> Headers:
    """Return the headers with the one Host that counts.

    RFC 9112 section 3.2.2: the authority of an absolute-form target replaces the Host header.
    """
    if len(hosts) > 1 or (not hosts and raw.version == HTTP_11):
        _refuse("host-count")
    if hosts and not is_authority(hosts[0]):
        _refuse("host")
    if authority is None:
        return raw.headers
    if not is_authority(authority):
        _refuse("target-authority")
    if not hosts:
        return ((b"Host", authority), *raw.headers)
    return tuple(
        (name, authority if name.lower() == b"host" else value) for name, value in raw.headers
    )


def _expects_continue(version: tuple[int, int], notable: dict[bytes, list[bytes]]) -> bool:
    """Return whether the client waits for a 100 (RFC 9110 section 10.1.1: not on HTTP/1.0)."""
    if any(value.lower() != b"100-continue" for value in notable[b"expect"]):
        raise ExpectationFailed("expect")
    return version == HTTP_11


def _asks_for_websocket(
    raw: RawRequest, notable: dict[bytes, list[bytes]], framing: Framing
) -> bool:
    """Return whether this is a WebSocket handshake in every respect (RFC 6455 section 4.2.1)."""
    connection = b",".join(notable.get(b"connection", [])).lower().split(b",")
    return (
        raw.method == "GET"
        and raw.version == HTTP_11
        and framing.length == 0
        and [value.lower() for value in notable[b"upgrade"]] == [b"websocket"]
        and b"upgrade" in [item.strip(b" \t") for item in connection]
        and header_values(raw.headers, _WS_VERSION) == [b"13"]
        and len(header_values(raw.headers, _WS_KEY)) == 1
    )

"""The handshake on each leg: permessage-deflate is agreed with each peer separately."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Final, NamedTuple

from ...core.errors import UpstreamFailed
from ...core.http.message import Headers, ResponseHead, header_values
from ..http1.forwarding_headers import Forwarding
from .deflate import WIDEST_BITS

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_EXTENSIONS: Final = b"sec-websocket-extensions"
_PROTOCOL: Final = b"sec-websocket-protocol"
_KEY: Final = b"sec-websocket-key"
_ACCEPT: Final = b"sec-websocket-accept"
_DEFLATE: Final = "permessage-deflate"
_ALONE: Final = "client_no_context_takeover; server_no_context_takeover"
_PARAMETER: Final = re.compile(r"([a-z_]+)(?:\s*=\s*(?:\"([0-9]+)\"|([0-9]+)))?", re.ASCII)
NARROWEST_BITS: Final = 9  # zlib cannot write with a window of 2^8
_FLAGS: Final = frozenset({"client_no_context_takeover", "server_no_context_takeover"})
_SIZES: Final = frozenset({"client_max_window_bits", "server_max_window_bits"})
_WINDOWS: Final = frozenset(str(one) for one in range(8, WIDEST_BITS + 1))
_OFFER: Final = f"{_DEFLATE}; {_ALONE}; client_max_window_bits".encode("ascii")


class DeflateAgreement(NamedTuple):
    """permessage-deflate on one leg: the window for what is sent, and the header value agreed.

    zlib cannot write with fewer than nine `bits`: then messages are sent uncompressed.
    """

    bits: int = WIDEST_BITS
    accepted: bytes = b""


def agree(headers: Headers) -> DeflateAgreement | None:
    """Return what is agreed with a client: the first of its offers that is supported."""
    for name, parameters in _offers(headers):
        if name != _DEFLATE or parameters is None:
            continue
        bits = _bits(parameters)
        if bits is None:
            continue
        accepted = f"{_DEFLATE}; {_ALONE}"
        if "server_max_window_bits" in parameters:
            accepted += f"; server_max_window_bits={bits}"
        return DeflateAgreement(bits, accepted.encode("ascii"))
    return None


def upward(forwarding: Forwarding, *, offer: bool) -> Forwarding:
    """Return what changes in the handshake that goes upstream: our own offer, or none."""
    lines = (
        (*forwarding.lines, b"Sec-WebSocket-Extensions: " + _OFFER) if offer else forwarding.lines
    )
    return replace(forwarding, dropped=forwarding.dropped | {_EXTENSIONS}, lines=lines)


def accepted(asked: Headers, response: ResponseHead, *, offered: bool) -> DeflateAgreement | None:
    """Return what the upstream has agreed to.

    Raises:
        UpstreamFailed: It accepts another key, a subprotocol or an extension that was not offered.
    """
    headers = response.headers
    key = header_values(asked, _KEY)[0]
    expected = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324 - RFC 6455
    if header_values(headers, _ACCEPT) != [expected]:
        raise UpstreamFailed("websocket-accept")
    chosen = header_values(headers, _PROTOCOL)
    proposed = {
        one.strip(b" \t") for value in header_values(asked, _PROTOCOL) for one in value.split(b",")
    }
    if len(chosen) > 1 or not proposed.issuperset(chosen):
        raise UpstreamFailed("websocket-subprotocol")
    chosen_extensions = _offers(headers)
    if not chosen_extensions:
        return None
    name, parameters = chosen_extensions[0]
    if not offered or len(chosen_extensions) > 1 or name != _DEFLATE or parameters is None:
        raise UpstreamFailed("websocket-extension")
    bits = _accepted_bits(parameters)
    if bits is None:
        raise UpstreamFailed("websocket-extension")
    return DeflateAgreement(bits)


def _accepted_bits(parameters: dict[str, str | None]) -> int | None:
    """Return the window for what is sent; None for a response that does not fit the offer."""
    for name, value in parameters.items():
        known = value is None if name in _FLAGS else name in _SIZES and value in _WINDOWS
        if not known:
            return None
    if "server_no_context_takeover" not in parameters:
        return None
    return int(parameters.get("client_max_window_bits") or WIDEST_BITS)


def deflates(head: ResponseHead) -> bool:
    """Return whether a 101 agrees to permessage-deflate."""
    return any(name == _DEFLATE for name, _ in _offers(head.headers))


def downward(head: ResponseHead, agreement: DeflateAgreement | None) -> ResponseHead:
    """Return the head of the 101 that goes to the client, with what was agreed with it."""
    headers = tuple(pair for pair in head.headers if pair[0].lower() != _EXTENSIONS)
    if agreement is not None:
        headers += ((b"Sec-WebSocket-Extensions", agreement.accepted),)
    return ResponseHead(head.status, head.reason, headers)


def _bits(parameters: dict[str, str | None]) -> int | None:
    """Return the window that a client asks for, None for what is not supported."""
    for name, value in parameters.items():
        if name in _FLAGS:
            if value is not None:
                return None
        elif name in _SIZES:
            if value is not None and value not in _WINDOWS:
                return None
        else:
            return None
    if "server_max_window_bits" not in parameters:
        return WIDEST_BITS
    bits = int(parameters["server_max_window_bits"] or 0)
    return bits if bits >= NARROWEST_BITS else None


def _offers(headers: Headers) -> list[tuple[str, dict[str, str | None] | None]]:
    """Return extensions with their parameters; None for malformed parameters."""
    found: list[tuple[str, dict[str, str | None] | None]] = []
    for value in header_values(headers, _EXTENSIONS):
        for one in value.decode("latin-1").split(","):
            name, *parameters = (part.strip(" \t") for part in one.split(";"))
            if name:
                found.append((name, _parameters(parameters)))
    return found


def _parameters(parts: list[str]) -> dict[str, str | None] | None:
    found: dict[str, str | None] = {}
    for part in parts:
        match = _PARAMETER.fullmatch(part)
        if match is None or match[1] in found:
            return None
        found[match[1]] = match[2] or match[3]
    return found

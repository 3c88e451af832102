"""Heads of requests that were never bytes."""

from __future__ import annotations

from proxy.core.http.message import Headers, lows_of
from proxy.traffic.http1.gate import RawRequest


def raw_request(method: str, target: str, version: tuple[int, int], headers: Headers) -> RawRequest:
    """Return a head as the reader returns it, whether or not it could read it."""
    lows = lows_of(headers)
    odd = not b"".join(lows).replace(b"-", b"").isalnum()
    return RawRequest(method, target, version, headers, lows, odd)

"""Heads of requests that were never bytes."""

from __future__ import annotations

from proxy.core.http.header_names import names_in
from proxy.core.http.message import Headers
from proxy.traffic.http1.gate import RawRequest


def raw_request(method: str, target: str, version: tuple[int, int], headers: Headers) -> RawRequest:
    """Return a head as the reader returns it, whether or not it could read it."""
    return RawRequest(method, target, version, headers, names_in(headers))

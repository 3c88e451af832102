"""Heads as lax clients send them, where a listener accepts that: made strict before the gate."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ...core.expressions.name_readings import fold_header, tells_of_client
from ...core.http.header_names import HeaderNames
from ...core.planning.overrides import REROUTING
from .gate import RawRequest

_NOT_ASCII: Final = re.compile(r"[\x80-\xff]")
_STANDARD: Final = frozenset(
    fold_header(one)
    for one in (
        *(b"authorization", b"connection", b"cookie", b"expect", b"host", b"keep-alive"),
        *(b"max-forwards", b"prefer", b"range", b"te", b"trailer", b"transfer-encoding"),
        *(b"upgrade", b"user-agent", b"via", b"x-method", b"x-request-id", *REROUTING),
    )
)
_BEGINNINGS: Final = (b"accept", b"content", b"http2", b"if", b"proxy", b"sec", b"xhttpmethod")


def accepted(raw: RawRequest, accept: frozenset[str]) -> RawRequest:
    """Return a head without what is accepted in it; what else is wrong with it is left there."""
    if "raw-targets" in accept and not raw.target.isascii() and _is_utf8(raw.target):
        raw = replace(raw, target=_NOT_ASCII.sub(lambda one: f"%{ord(one[0]):02X}", raw.target))
    if "header-underscores" in accept and raw.names.odd and raw.names[_are_clear]:
        raw = replace(raw, accepted=True)
    return raw


def _is_utf8(target: str) -> bool:
    try:
        target.encode("latin-1").decode()
    except UnicodeDecodeError:
        return False
    return True


def _are_clear(names: HeaderNames) -> bool:
    """Return whether all unusual names have `_` alone, and CGI takes none for another header."""
    odd = [one for one in names.lows if not one.replace(b"-", b"").isalnum()]
    folded = [fold_header(one) for one in names.lows]
    return all(
        one.replace(b"_", b"").replace(b"-", b"").isalnum()
        and folded.count(name := fold_header(one)) == 1
        and name not in _STANDARD
        and not name.startswith(_BEGINNINGS)
        and not tells_of_client(one)
        for one in odd
    )

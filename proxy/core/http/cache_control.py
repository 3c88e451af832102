"""What caches are told of a message that holds opened values: its client may keep it, nobody else.

The backend holds such values sealed, on purpose. What it says to shared caches it says of what is
sealed, so nothing of it holds for what was opened, in whatever header or spelling it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, cast

from .message import TOKEN, HeadFacts

_ELEMENT: Final = re.compile(rb'[ \t]*(?:(%s)(?:=(%s|"[^"\\]*"))?[ \t]*)?' % (TOKEN, TOKEN))
"""A directive, or nothing: a list may have empty elements. It matches everywhere."""
_SECONDS: Final = re.compile(rb"[0-9]{1,10}")
_OF_TIME: Final = frozenset({b"max-age", b"stale-if-error", b"stale-while-revalidate"})
_OF_USE: Final = frozenset({b"immutable", b"must-revalidate", b"no-cache"})
_NOT_BESIDE_PRIVATE: Final = frozenset({b"must-understand", b"no-store", b"public", b"s-maxage"})
"""Under `must-understand`, some caches hold `no-store` for unsaid (RFC 9111 section 5.2.2.3)."""
_AGAIN: Final = (b"no-cache", b"max-age")
_AS_IT_IS: Final = b", no-transform"
_NEVER: Final = b"private, no-store"
_TO_CACHES: Final = re.compile(
    rb"(?:^|[^a-z])(?:accel|cache|cdn|edge|proxy|surrogate|varnish)[^a-z]*"
    rb"(?:control|duration|expires|lifetime|max[^a-z]*age|ttl)$"
    rb"|(?:^|[^a-z])cache[^a-z]*for$|^(?:x[^a-z]+)?ttl$|^expires$"
)
"""X-Accel-Expires, Surrogate-Control, Edge-Control, CDN-Cache-Control, X-Reverse-Proxy-TTL and
X-Reproxy-Cache-For, and whatever is named in their way: each cache has a name of its own."""

Directives = dict[bytes, bytes | None]


@lru_cache(maxsize=256)
def speaks_to_caches(name: bytes) -> bool:
    """Tell whether a header tells caches to keep a message; `name` is in lower case."""
    return _TO_CACHES.search(name) is not None


def for_its_client(told: HeadFacts, *, as_it_is: bool) -> bytes:
    """Return the one Cache-Control of a message with opened values.

    The client's own cache may keep it where the backend said so beyond doubt: with `private`
    alone, and nothing that is for others or malformed. `as_it_is` asks that nobody recodes it.
    """
    said = told.own_cache  # heads come again, on the way of every message
    if said is None:
        said = for_own_cache(tuple(told.get(b"cache-control", ())), expires=b"expires" in told)
        if forbids_recoding(told):
            said += _AS_IT_IS
        told.own_cache = said
    return said + _AS_IT_IS if as_it_is and not said.endswith(_AS_IT_IS) else said


def forbids_recoding(told: HeadFacts) -> bool:
    """Tell whether a message says that nobody may recode it."""
    lines = told.get(b"cache-control")
    return lines is not None and b"no-transform" in (directives(tuple(lines)) or ())


@lru_cache(maxsize=256)
def for_own_cache(lines: tuple[bytes, ...], *, expires: bool) -> bytes:
    """Return what is left for the client's cache of what some lines of Cache-Control say.

    `expires` says that an Expires header stood beside them. Caches that know no `private` read it,
    so it does not pass; without it the client's cache must ask again, where it would guess.
    """
    said = directives(lines)
    if said is None or b"private" not in said or not _NOT_BESIDE_PRIVATE.isdisjoint(said):
        return _NEVER
    if said[b"private"] is not None:
        return _NEVER  # it means some headers alone, and the body is for all (section 5.2.2.7)
    left = [b"private"]
    for name, value in said.items():
        if name in _OF_USE:
            left.append(name)  # of some headers alone or not: of the whole it is the stricter
        elif name in _OF_TIME:
            if value is None or not _SECONDS.fullmatch(value):
                return _NEVER
            left.append(b"=".join((name, value)))
    if expires and not any(name in said for name in _AGAIN):
        left.append(b"no-cache")
    return b", ".join(left)


@lru_cache(maxsize=256)
def directives(lines: tuple[bytes, ...]) -> Directives | None:
    """Return what lines of Cache-Control say, names in lower case, values without quotes.

    None where a reader might read them otherwise: malformed, or said twice and not alike.
    """
    said: Directives = {}
    for name, value in _read(lines):
        if name is None or said.setdefault(name, value) != value:
            return None
    return said


def _read(lines: tuple[bytes, ...]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Yield names and values, and None for a name where a line cannot be read."""
    for line in lines:
        at = 0
        while at <= len(line):
            match = cast("re.Match[bytes]", _ELEMENT.match(line, at))
            if match[1] is not None:
                yield match[1].lower(), None if match[2] is None else match[2].strip(b'"')
            if line[match.end() : match.end() + 1] not in {b"", b","}:
                yield None, None
            at = match.end() + 1

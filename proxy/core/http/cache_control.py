"""Cache-Control of a message with opened values: only its client's cache may store it (RFC 9111).

The backend has such values sealed, on purpose. What it permits shared caches it permits for sealed
values, so none of that applies to opened ones, in whatever header it says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, cast

from .message import TOKEN, HeadFacts

_ELEMENT: Final = re.compile(rb'[ \t]*(?:(%s)(?:=(%s|"[^"\\]*"))?[ \t]*)?' % (TOKEN, TOKEN))
"""A directive, or nothing, since a list may have empty elements. It matches everywhere."""
_SECONDS: Final = re.compile(rb"[0-9]{1,10}")
_OF_TIME: Final = frozenset({b"max-age", b"stale-if-error", b"stale-while-revalidate"})
_OF_USE: Final = frozenset({b"immutable", b"must-revalidate", b"no-cache"})
_NOT_BESIDE_PRIVATE: Final = frozenset({b"must-understand", b"no-store", b"public", b"s-maxage"})
"""With `must-understand`, some caches ignore `no-store` (RFC 9111 section 5.2.2.3)."""
_AGAIN: Final = (b"no-cache", b"max-age")
_AS_IT_IS: Final = b", no-transform"
_NEVER: Final = b"private, no-store"
_TO_CACHES: Final = re.compile(
    rb"(?:^|[^a-z])(?:accel|cache|cdn|edge|proxy|surrogate|varnish)[^a-z]*"
    rb"(?:control|duration|expires|lifetime|max[^a-z]*age|ttl)$"
    rb"|(?:^|[^a-z])cache[^a-z]*for$|^(?:x[^a-z]+)?ttl$|^expires$"
)
"""X-Accel-Expires, Surrogate-Control, Edge-Control, CDN-Cache-Control, X-Reverse-Proxy-TTL and
X-Reproxy-Cache-For, and whatever is named like them: each cache has its own header."""

Directives = dict[bytes, bytes | None]


@lru_cache(maxsize=256)
def speaks_to_caches(name: bytes) -> bool:
    """Return whether a header instructs caches to store a message; `name` is in lower case."""
    return _TO_CACHES.search(name) is not None


def for_its_client(facts: HeadFacts, *, as_it_is: bool) -> bytes:
    """Return the only Cache-Control of a message with opened values.

    The client's own cache may store it if the backend permits that unambiguously: with `private`
    and without directives that are malformed or for others. `as_it_is` adds `no-transform`.
    """
    found = facts.own_cache  # cached heads come again and again
    if found is None:
        found = for_own_cache(tuple(facts.get(b"cache-control", ())), expires=b"expires" in facts)
        if forbids_recoding(facts):
            found += _AS_IT_IS
        facts.own_cache = found
    return found + _AS_IT_IS if as_it_is and not found.endswith(_AS_IT_IS) else found


def forbids_recoding(facts: HeadFacts) -> bool:
    """Return whether a message has `no-transform`."""
    lines = facts.get(b"cache-control")
    return lines is not None and b"no-transform" in (directives(tuple(lines)) or ())


@lru_cache(maxsize=256)
def for_own_cache(lines: tuple[bytes, ...], *, expires: bool) -> bytes:
    """Return the directives of some Cache-Control lines that apply to the client's cache.

    `expires` says that there was an Expires header. Caches that do not know `private` read it, so
    it is removed; `no-cache` then keeps the client's cache from guessing a lifetime.
    """
    found = directives(lines)
    if found is None or b"private" not in found or not _NOT_BESIDE_PRIVATE.isdisjoint(found):
        return _NEVER
    if found[b"private"] is not None:
        return _NEVER  # it applies only to some headers, not to the body (section 5.2.2.7)
    left = [b"private"]
    for name, value in found.items():
        if name in _OF_USE:
            left.append(name)  # even if it is for some headers only: for the whole it is stricter
        elif name in _OF_TIME:
            if value is None or not _SECONDS.fullmatch(value):
                return _NEVER
            left.append(b"=".join((name, value)))
    if expires and not any(name in found for name in _AGAIN):
        left.append(b"no-cache")
    return b", ".join(left)


@lru_cache(maxsize=256)
def directives(lines: tuple[bytes, ...]) -> Directives | None:
    """Return the directives of Cache-Control lines, names in lower case, values without quotes.

    None if parsers might read them differently: malformed, or repeated with another value.
    """
    found: Directives = {}
    for name, value in _read(lines):
        if name is None or found.setdefault(name, value) != value:
            return None
    return found


def _read(lines: tuple[bytes, ...]) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Yield names and values, and None for the name if a line is malformed."""
    for line in lines:
        at = 0
        while at <= len(line):
            match = cast("re.Match[bytes]", _ELEMENT.match(line, at))
            if match[1] is not None:
                yield match[1].lower(), None if match[2] is None else match[2].strip(b'"')
            if line[match.end() : match.end() + 1] not in {b"", b","}:
                yield None, None
            at = match.end() + 1

"""The one canonical path of a request, and its shadow.

Rules match the canonical path, and exactly that path is forwarded (RFC 3986 section 6.2.2: percent
triplets in upper case, unreserved characters decoded, dot segments removed; also repeated slashes
merged). The *shadow* is the path as the laxest known backend might read it: decoded again and
again, folded in case, without `;parameters`, with backslashes as slashes. Where canonical path and
shadow would meet different rules, the request is ambiguous and nobody forwards it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from .errors import AmbiguousRequest, MalformedRequest

_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*+)++/?|/")
_BROKEN_TRIPLET: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRIPLET: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_TO_ENCODE: Final = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\#?]")
_SLASHES: Final = re.compile(r"/{2,}")
_PARAMETERS: Final = re.compile(r";[^/]*")
_SHADOW_DECODES: Final = 4
REMEMBERED: Final = 512
REMEMBERED_MAX: Final = 128
"""So many paths, and what rules say of them, are remembered if they are no longer than this."""


class CanonicalPath(NamedTuple):
    """A path in its one spelling, cut into segments; `shadow` is cut likewise."""

    text: str
    segments: tuple[str, ...]
    shadow: tuple[str, ...]


def canonical(raw: str) -> CanonicalPath:
    """Return the canonical form of a request's path, which begins with `/` and has no query.

    Raises MalformedRequest where the text is no path, AmbiguousRequest where it hides control
    characters or is not UTF-8 once decoded.
    """
    return _remembered(raw) if len(raw) <= REMEMBERED_MAX else _canonical(raw)


def _canonical(raw: str) -> CanonicalPath:
    if _PLAIN.fullmatch(raw):
        segments = tuple(raw[1:].split("/"))
        return CanonicalPath(raw, segments, _fold(segments))
    text = _spell(raw)
    return CanonicalPath(text, tuple(text[1:].split("/")), _fold(_lax_segments(text)))


# Clients choose paths: so many are remembered, and none that is long.
_remembered = lru_cache(maxsize=REMEMBERED)(_canonical)


def decode_segment(segment: str) -> str:
    """Return a segment of a canonical path with its percent triplets decoded, once."""
    return unquote(segment, errors="strict") if "%" in segment else segment


def fold_literal(segment: str) -> str:
    """Return the shadow of a pattern's literal segment, made as the shadow of a path is."""
    return canonical("/" + segment).shadow[0]


def _spell(raw: str) -> str:
    if not raw.startswith("/") or _FORBIDDEN.search(raw) or _BROKEN_TRIPLET.search(raw):
        raise MalformedRequest("malformed-path")
    try:
        decoded = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise AmbiguousRequest("path-not-utf-8") from None
    if any(unicodedata.category(character) == "Cc" for character in decoded):
        raise AmbiguousRequest("control-in-path")
    text = _TO_ENCODE.sub(lambda match: f"%{ord(match[0]):02X}", raw)
    text = _TRIPLET.sub(_normal_triplet, text)
    return _without_dot_segments(_SLASHES.sub("/", text))


def _normal_triplet(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()


def _without_dot_segments(path: str) -> str:
    """Apply RFC 3986 section 5.2.4; a path that climbs above the root stays at the root."""
    kept: list[str] = []
    segments = path[1:].split("/")
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def _lax_segments(text: str) -> tuple[str, ...]:
    for _ in range(_SHADOW_DECODES):
        decoded = unquote(text, errors="replace")
        if decoded == text:
            break
        text = decoded
    text = unicodedata.normalize("NFKC", text).replace("\\", "/")
    text = re.split(r"[?#\x00]", text, maxsplit=1)[0]
    text = _SLASHES.sub("/", _PARAMETERS.sub("", text))
    return tuple(_without_dot_segments(text)[1:].split("/"))


def _fold(segments: tuple[str, ...]) -> tuple[str, ...]:
    folded = [segment.casefold().rstrip(" .") for segment in segments]
    while len(folded) > 1 and not folded[-1]:
        folded.pop()
    return tuple(folded)

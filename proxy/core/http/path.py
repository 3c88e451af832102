"""The one canonical path of a request, and its shadow.

Rules match the canonical path, and exactly that path is forwarded (RFC 3986 section 6.2.2: percent
triplets in upper case, unreserved characters decoded, dot segments removed; also repeated slashes
merged). It also has a *shadow* and other readings (path_readings): if one of them would match
another rule, the request is ambiguous and is not forwarded.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from ..errors import AmbiguousRequest, MalformedRequest
from ..policy import KEPT_PATH_CHARS
from .path_readings import Segments, fold, merge_slashes, readings, shadow, without_dot_segments

_PLAIN: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*+)++/?|/")
_BROKEN_TRIPLET: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TRIPLET: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_TO_ENCODE: Final = re.compile(r"[^A-Za-z0-9._~!$&'()*+,;=:@/%-]")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\#?]")
# What a server that maps paths to files may take for one: see path_files.
_FILE: Final = re.compile(r"\.|(?i:/(?:index|cgi-bin)(?:/|\Z))")
REMEMBERED: Final = 512


class CanonicalPath(NamedTuple):
    """A path in its one spelling, cut into segments; `shadow` is cut likewise.

    `readings` are what else servers may read, as shadows are; `may_be_file` says that a segment
    could name a file, a script or a format.
    """

    text: str
    segments: Segments
    shadow: Segments
    readings: tuple[Segments, ...] = ()
    may_be_file: bool = False


def canonical(raw: str) -> CanonicalPath:
    """Return the canonical form of a request's path, which begins with `/` and has no query.

    Raises MalformedRequest where the text is no path, AmbiguousRequest where it hides control
    characters or is not UTF-8 once decoded.
    """
    return _remembered(raw) if len(raw) <= KEPT_PATH_CHARS else _canonical(raw)


def _canonical(raw: str) -> CanonicalPath:
    if _PLAIN.fullmatch(raw):
        segments = tuple(raw[1:].split("/"))
        return CanonicalPath(raw, segments, fold(segments), (), bool(_FILE.search(raw)))
    text = _spell(raw)
    others = readings(text)
    may_be_file = bool(others or _FILE.search(text))
    return CanonicalPath(text, tuple(text[1:].split("/")), shadow(text), others, may_be_file)


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
    return without_dot_segments(merge_slashes(text))


def _normal_triplet(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if character in _UNRESERVED else match[0].upper()

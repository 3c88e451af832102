"""How laxer servers spell out a path: its shadow, and the readings that lie between.

The *shadow* is the path as the laxest known server might read it: decoded again and again, folded
in case, without `;parameters`, with backslashes as slashes. A server that is lax in one thing and
strict in another may end elsewhere: Tomcat takes `;%2fx` off before it decodes, nginx keeps a
decoded `?`, backslash or wide slash as a character and climbs with the `..` behind it. So every
combination of what servers do is a reading too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from .errors import AmbiguousRequest

Segments = tuple[str, ...]

READINGS_MAX: Final = 32
"""A path with more readings is nobody's honest path: it is refused."""
_DECODES: Final = 4
_ODD: Final = re.compile(r"[%;(]|:\$")
_TELLING: Final = re.compile(r"[%;(\\?#\x00]|:\$|\.\.| \.|\. ")
_SLASHES: Final = re.compile(r"/{2,}")
_PARAMETERS: Final = re.compile(r";[^/]*")
_CUT: Final = re.compile(r"[?#\x00]")
# ASP.NET, session state without cookies: `/(S(id))/page`, also A, F and X, several in a row.
_COOKIELESS: Final = re.compile(r"/\((?:[A-Za-z]\([^/()]*\))+\)(?=/|\Z)")
# NTFS, alternate streams: `page.asp::$DATA` and `folder:$I30:$INDEX_ALLOCATION` name the same.
_STREAM: Final = re.compile(r"(?::[^:/]*:\$[A-Za-z0-9_]+)+(?=/|\Z)")
# Windows trims blanks and dots behind a name, also behind `..`.
_BLANK_DOTS: Final = re.compile(r"(?<=/)(\.\.?) [ .]*(?=/|\Z)")


def shadow(text: str) -> Segments:
    """Return the segments of a canonical path as the laxest server reads them."""
    for _ in range(_DECODES):
        decoded = unquote(text, errors="replace")
        if decoded == text:
            break
        text = decoded
    text = _CUT.split(_forward(_compatible(text)), maxsplit=1)[0]
    return fold(_climbed(_merged(_without_parameters(_without_cookieless(text)))))


def readings(text: str) -> tuple[Segments, ...]:
    """Return how else servers read a canonical path, beside its shadow; most paths have none.

    Raises AmbiguousRequest where there are more than READINGS_MAX.
    """
    if not _ODD.search(text):
        return ()
    decoded = unquote(text, errors="replace")
    if _is_same_to_all(decoded) and decoded.count("/") == text.count("/"):
        # All that servers differ in is whether they decode: `%21` and `%C3%A9` in a name.
        return (fold(tuple(text[1:].split("/"))),)
    texts = _decoded_or_not(text)
    for change in _CHANGES:
        texts = _bounded([*texts, *map(change, texts)])
    found = {_without_empty(fold(_climbed(one))) for one in texts}
    return tuple(sorted(found - {shadow(text)}))


def fold(segments: Segments) -> Segments:
    """Return segments without case, blanks and dots behind them, and slashes at the end."""
    folded = [segment.casefold().rstrip(" .") for segment in segments]
    if any("$" in segment for segment in folded):
        folded = [_STREAM.sub("", segment).rstrip(" .") for segment in folded]
    while len(folded) > 1 and not folded[-1]:
        folded.pop()
    return tuple(folded)


def without_dot_segments(path: str) -> str:
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


def merge_slashes(path: str) -> str:
    """Return a path with one slash where several stand together."""
    return _SLASHES.sub("/", path)


def _is_same_to_all(decoded: str) -> bool:
    ordinary = decoded.isascii() or unicodedata.is_normalized("NFKC", decoded)
    return ordinary and not _TELLING.search(decoded)


def _decoded_or_not(text: str) -> list[str]:
    """Return the text decoded 0 to _DECODES times, parameters taken off at each step or kept."""
    found = texts = _bounded([text, _without_parameters(text)])
    for _ in range(_DECODES):
        if not any("%" in one for one in texts):
            break
        decoded = [unquote(one, errors="replace") for one in texts]
        texts = _bounded([*decoded, *map(_without_parameters, decoded)])
        found = _bounded([*found, *texts])
    return found


def _bounded(texts: list[str]) -> list[str]:
    distinct = list(dict.fromkeys(texts))
    if len(distinct) > READINGS_MAX:
        raise AmbiguousRequest("two-readings-of-path")
    return distinct


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _cut(text: str) -> str:
    return _CUT.split(text, maxsplit=1)[0]


def _forward(text: str) -> str:
    return text.replace("\\", "/")


def _merged(text: str) -> str:
    return _SLASHES.sub("/", text)


def _without_parameters(text: str) -> str:
    return _PARAMETERS.sub("", text)


def _without_cookieless(text: str) -> str:
    return _COOKIELESS.sub("", text)


def _without_streams(text: str) -> str:
    return _STREAM.sub("", text)


def _trimmed_dots(text: str) -> str:
    return _BLANK_DOTS.sub(r"\1", text)


_CHANGES: Final[tuple[Callable[[str], str], ...]] = (
    _compatible,
    _cut,
    _without_parameters,
    _forward,
    _without_cookieless,
    _without_streams,
    _trimmed_dots,
    _merged,
)


def _climbed(text: str) -> Segments:
    return tuple(without_dot_segments(text)[1:].split("/"))


def _without_empty(segments: Segments) -> Segments:
    return tuple(segment for segment in segments if segment) or ("",)

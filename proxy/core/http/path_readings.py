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
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import unquote

from ..errors import AmbiguousRequest
from ..policy import PATH_READINGS

Segments = tuple[str, ...]

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
    return fold(_climbed(merge_slashes(_without_parameters(_COOKIELESS.sub("", text)))))


def readings(text: str) -> tuple[Segments, ...]:
    """Return how else servers read a canonical path, beside its shadow; most paths have none.

    Raises AmbiguousRequest where there are more than PATH_READINGS.
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
    """Return a path with runs of slashes merged into one."""
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
    if len(distinct) > PATH_READINGS:
        raise AmbiguousRequest("two-readings-of-path")
    return distinct


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _cut(text: str) -> str:
    return _CUT.split(text, maxsplit=1)[0]


def _forward(text: str) -> str:
    return text.replace("\\", "/")


def _without_parameters(text: str) -> str:
    return _PARAMETERS.sub("", text)


_CHANGES: Final[tuple[Callable[[str], str], ...]] = (
    _compatible,
    _cut,
    _without_parameters,
    _forward,
    partial(_COOKIELESS.sub, ""),
    partial(_STREAM.sub, ""),
    partial(_BLANK_DOTS.sub, r"\1"),
    merge_slashes,
)


def _climbed(text: str) -> Segments:
    return tuple(without_dot_segments(text)[1:].split("/"))


def _without_empty(segments: Segments) -> Segments:
    return tuple(segment for segment in segments if segment) or ("",)


_SCRIPT: Final = re.compile(
    r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\."
    r"(?:php\d?|phps|pht|phtml|phar|cgi|fcgi|fpl|wsgi|pl|py|pyc|rb|rhtml|lua|tcl|sh"
    r"|aspx?|ash|ashx|asmx|asa|axd|svc|cshtml|vbhtml|cer|dll|exe|bat"
    r"|jspx?|jspf|jhtml|jsf|faces|do|action|nsf|cfml?|cfc|s?html?|shtm|stm|hsp)"
)
# A name that ends so is a host's as often as a script's: `/domains/example.pl/records`.
_ALSO_DOMAINS: Final = re.compile(r".*\.(?:pl|py|sh|do|lua|cer|rb|faces)")
_FRONTS: Final = frozenset(
    {
        *("index", "app", "app_dev", "app_test", "main", "default", "front", "web", "dispatch"),
        *("router", "server", "site", "api", "rest", "bootstrap", "controller", "frontend"),
        *("backend", "dev", "prod", "test", "public", "run", "start", "cgi"),
    }
)
_INDEX: Final = re.compile(
    r"index(?:\.[a-z0-9]+)*|default\.(?:aspx?|html?)|welcome\.(?:do|html?|jsp)"
)
# Asked without more, a front controller routes `/`.
_FRONT: Final = re.compile(rf"(?:{'|'.join(sorted(_FRONTS))})\.(?:php\d?|phtml|f?cgi|wsgi|aspx?)")
# Only these, since `m.room.topic` and `m.room.avatar` are two names and none is a format.
_FORMAT: Final = re.compile(
    r"\.(?:json|jsonp|jsonl|xml|x?html?|xhtml|txt|csv|tsv|pdf|rss|atom|ics|js|ya?ml|md|msgpack|proto"
    r"|png|jpe?g|gif|svg|zip|gz|php\d?|phtml|f?cgi|pl|py|rb|aspx?|ashx|asmx|svc|jspx?|do|action|cfm)\Z"
)
_FOLDER: Final = "cgi-bin"


class PathReading(NamedTuple):
    """Segments that a server may take a path for.

    `origins` has the index of each in the path; -1 if it has none. `left_out` are the
    places in the path that the reading does not hold. `certain`: what it leaves out for the sake of
    a script's name is hardly anything else.
    """

    segments: Segments
    origins: tuple[int, ...]
    left_out: frozenset[int] = frozenset()
    certain: bool = True


def file_readings(starts: Iterable[PathReading], stems: int) -> Iterator[PathReading]:
    """Yield starts and what they may be taken for; of names with dots as many beginnings as stems.

    Raises AmbiguousRequest where there are more than PATH_READINGS of all of them together.
    """
    seen: set[PathReading] = set()
    for start in starts:
        waiting: list[Iterator[PathReading]] = [iter((start,))]
        while waiting:
            reading = next(waiting[-1], None)
            if reading is None:
                waiting.pop()
            elif reading not in seen:
                seen.add(reading)
                if len(seen) > PATH_READINGS:
                    raise AmbiguousRequest("two-readings-of-path")
                yield reading
                waiting.append(_derived(reading, stems))


def _derived(reading: PathReading, stems: int) -> Iterator[PathReading]:
    yield from _without_extension(reading, stems)
    segments, last = reading.segments, len(reading.segments) - 1
    if _INDEX.fullmatch(segments[last]) or _FRONT.fullmatch(segments[last]):
        yield _without(reading, last, last + 1)
    for at in range(last):
        if _is_script(segments, at):
            yield _without(reading, at + 1, last + 1)
            yield from _behind_script(reading, at)
            yield from _negotiated(reading, at)


def _behind_script(reading: PathReading, at: int) -> Iterator[PathReading]:
    """Yield what a front controller routes by, at the root or in a folder."""
    segments, name = reading.segments, reading.segments[at]
    certain = name.partition(".")[0] in _FRONTS
    yield _without(reading, at, at + 1, certain=certain)
    placed = segments[:at] == (_FOLDER,) or not _ALSO_DOMAINS.fullmatch(name)
    if at and (certain or placed):
        yield _without(reading, 0, at + 1, certain=certain)


def _negotiated(reading: PathReading, at: int) -> Iterator[PathReading]:
    """Yield what has the same script where names are negotiated: `/api.php/pay` for `/api/pay`."""
    segments = reading.segments
    stem = segments[at].partition(".")[0]
    if stem != segments[at]:
        yield reading._replace(segments=(*segments[:at], stem, *segments[at + 1 :]))


def _without_extension(reading: PathReading, stems: int) -> Iterator[PathReading]:
    name = reading.segments[-1]
    at = -1
    for _ in range(stems):
        at = name.find(".", at + 1)
        if at < 0:
            return
        stem = name[:at].rstrip(" .")
        if stem:
            yield reading._replace(segments=(*reading.segments[:-1], stem))


def _without(reading: PathReading, first: int, behind: int, *, certain: bool = True) -> PathReading:
    segments = (*reading.segments[:first], *reading.segments[behind:])
    origins = (*reading.origins[:first], *reading.origins[behind:])
    left_out = reading.left_out | frozenset(reading.origins[first:behind])
    if not segments:
        segments, origins = ("",), (-1,)
    return PathReading(segments, origins, left_out, reading.certain and certain)


def _is_script(segments: Segments, at: int) -> bool:
    if at and segments[at - 1] == _FOLDER:
        return bool(segments[at])
    return segments[at] == "index" or bool(_SCRIPT.fullmatch(segments[at]))


def alike(
    segments: tuple[str | None, ...],
) -> Iterator[tuple[tuple[str | None, ...], bool]]:
    """Yield under which other paths a server may run what a folded pattern's path is.

    Each comes with whether everything below it counts, too, as PATH_INFO.
    """
    for at, segment in enumerate(segments[:-1]):
        if segment is not None and _SCRIPT.fullmatch(segment):
            yield (*segments[:at], *segments[at + 1 :]), False
            yield segments[at + 1 :], False
    last = segments[-1] if segments else None
    if last is None:
        return
    folder = segments[:-1] or ("",)
    stem = _FORMAT.sub("", last)
    script = bool(_SCRIPT.fullmatch(last)) or segments[-2:-1] == (_FOLDER,)
    if stem and stem != last:
        yield (*segments[:-1], stem), script
    if script:
        yield segments, True
    if _INDEX.fullmatch(last):
        yield folder, False

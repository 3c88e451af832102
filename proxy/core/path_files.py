"""What a server that maps paths to files, scripts and formats may take a path for.

Rails and older Spring run the handler of `/pay` for `/pay.json`; a script has what stands behind it
as PATH_INFO, and a front controller routes by that; a folder's index is the folder. Both sides have
such readings: the path, and the pattern (`/pay` runs `/pay.php` where names are negotiated).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from .errors import AmbiguousRequest
from .lax_paths import READINGS_MAX, Segments

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


class Reading(NamedTuple):
    """Segments that a server may take a path for.

    `origins` tells where each stands in the path; -1 where that cannot be told. `left_out` are the
    places in the path that the reading does not hold. `certain`: what it leaves out for the sake of
    a script's name is hardly anything else.
    """

    segments: Segments
    origins: tuple[int, ...]
    left_out: frozenset[int] = frozenset()
    certain: bool = True


def readings(start: Reading, stems: int) -> Iterator[Reading]:
    """Yield `start` and what it may be taken for; of names with dots so many beginnings as stems.

    Raises AmbiguousRequest where there are more than READINGS_MAX.
    """
    seen = {start.segments}
    waiting = [start]
    while waiting:
        reading = waiting.pop()
        yield reading
        for other in _derived(reading, stems):
            if other.segments in seen:
                continue
            seen.add(other.segments)
            if len(seen) > READINGS_MAX:
                raise AmbiguousRequest("two-readings-of-path")
            waiting.append(other)


def _derived(reading: Reading, stems: int) -> Iterator[Reading]:
    yield from _without_extension(reading, stems)
    segments, last = reading.segments, len(reading.segments) - 1
    if _INDEX.fullmatch(segments[last]) or _FRONT.fullmatch(segments[last]):
        yield _without(reading, last, last + 1)
    for at in range(last):
        if _is_script(segments, at):
            yield _without(reading, at + 1, last + 1)
            yield from _behind_script(reading, at)
            yield from _negotiated(reading, at)


def _behind_script(reading: Reading, at: int) -> Iterator[Reading]:
    """Yield what a front controller routes by, which stands at the root or in a folder."""
    segments, name = reading.segments, reading.segments[at]
    certain = name.partition(".")[0] in _FRONTS
    yield _without(reading, at, at + 1, certain=certain)
    placed = segments[:at] == (_FOLDER,) or not _ALSO_DOMAINS.fullmatch(name)
    if at and (certain or placed):
        yield _without(reading, 0, at + 1, certain=certain)


def _negotiated(reading: Reading, at: int) -> Iterator[Reading]:
    """Yield what has the same script where names are negotiated: `/api.php/pay` for `/api/pay`."""
    segments = reading.segments
    stem = segments[at].partition(".")[0]
    if stem != segments[at]:
        yield reading._replace(segments=(*segments[:at], stem, *segments[at + 1 :]))


def _without_extension(reading: Reading, stems: int) -> Iterator[Reading]:
    name = reading.segments[-1]
    at = -1
    for _ in range(stems):
        at = name.find(".", at + 1)
        if at < 0:
            return
        stem = name[:at].rstrip(" .")
        if stem:
            yield reading._replace(segments=(*reading.segments[:-1], stem))


def _without(reading: Reading, first: int, behind: int, *, certain: bool = True) -> Reading:
    segments = (*reading.segments[:first], *reading.segments[behind:])
    origins = (*reading.origins[:first], *reading.origins[behind:])
    left_out = reading.left_out | frozenset(reading.origins[first:behind])
    if not segments:
        segments, origins = ("",), (-1,)
    return Reading(segments, origins, left_out, reading.certain and certain)


def _is_script(segments: Segments, at: int) -> bool:
    if at and segments[at - 1] == _FOLDER:
        return bool(segments[at])
    return segments[at] == "index" or bool(_SCRIPT.fullmatch(segments[at]))


def alike(
    segments: tuple[str | None, ...],
) -> Iterator[tuple[tuple[str | None, ...], bool]]:
    """Yield under which other paths a server may run what a folded pattern's path is.

    With each stands whether everything below it counts too, as PATH_INFO.
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

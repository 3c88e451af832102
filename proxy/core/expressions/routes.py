"""Route patterns, and the table that finds the first rule for a path.

The table is a trie: finding a rule takes as long with ten thousand rules as with ten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from ..errors import AmbiguousRequest, InvalidExpression, MalformedRequest
from ..http import path as paths
from ..http.path import CanonicalPath
from ..http.path_readings import PathReading, Segments, file_readings
from ..http.path_readings import alike as paths_alike

_METHOD: Final = re.compile(r"[A-Z][A-Z-]*")
_METHODS: Final = re.compile(r"[A-Z][A-Z,-]*")
_EVERY: Final = frozenset({"*", "ALL", "ANY"})
"""What other tools write for all methods."""
_FOREIGN: Final = re.compile(
    r":([A-Za-z_]\w*)[?*+]?"  # Express, Rails, Gin
    r"|<(?:[A-Za-z_]\w*:)?([A-Za-z_]\w*)>"  # Django, Flask
    r"|\$((?:\w+_)?(?:id|pk|slug|uuid)|\w+Id)"  # other operations of FHIR and OData begin with `$`
    r"|\[([A-Za-z_]\w*)\]"  # Next.js
)
"""Captures as other tools write them."""
_CAPTURE: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ANY: Final = None
NEVER_FORWARDED: Final = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """One `[METHOD,METHOD ]/path`.

    `methods` is empty for any method. `segments` holds literals in canonical spelling and None for
    `{name}` and `*`; `names` holds the captures by position. `rest` means `/**`.
    """

    text: str
    methods: frozenset[str]
    segments: tuple[str | None, ...]
    names: tuple[tuple[int, str], ...]
    rest: bool
    websocket: bool = False

    def takes(self, method: str) -> bool:
        """Return whether the pattern matches this method. GET includes HEAD."""
        return not self.methods or method in self.methods

    def captures(self, path: CanonicalPath) -> dict[str, str]:
        """Return the captures of a path that this pattern matches, percent-decoded once."""
        return {name: paths.decode_segment(path.segments[at]) for at, name in self.names}


def parse_pattern(text: str) -> Pattern:
    """Return the pattern that `text` denotes; raise InvalidExpression if it is none."""
    words = text.split()
    _check_words(words)
    methods, websocket = _parse_methods(words[0]) if len(words) > 1 else (frozenset(), False)
    route = words[-1]
    rest = route.endswith("/**")
    if rest:
        route = route[: -len("/**")]
    segments: list[str | None] = []
    names: list[tuple[int, str]] = []
    # `/**` alone has no segments before the rest; `/` alone has one, the empty one.
    parts = route[1:].split("/") if route else []
    for at, segment in enumerate(parts):
        if not segment and (rest or at < len(parts) - 1):
            raise InvalidExpression(f"`{text}` has an empty segment", hint="delete one `/`")
        literal, name = _parse_segment(segment, text)
        segments.append(literal)
        if name is not None:
            names.append((at, name))
    if len({name for _, name in names}) != len(names):
        raise InvalidExpression(
            f"a capture has the same name twice in `{text}`", hint="give each its own name"
        )
    return Pattern(text, methods, tuple(segments), tuple(names), rest, websocket)


def _check_words(words: list[str]) -> None:
    """Raise InvalidExpression for what is not `/path` or `METHOD,METHOD /path`."""
    *before, last = words or [""]
    if "://" in last:
        path = "/" + last.partition("://")[2].partition("/")[2]
        hint = f"write `{' '.join((*before, path))}`"
        raise InvalidExpression("a match has no scheme and no host", hint=hint)
    if _METHODS.fullmatch(last):
        raise _lacks_a_path(before, last)
    if any(word.startswith("/") for word in before):
        raise InvalidExpression("a path has no white space", hint="write `%20` for each space")
    if not last.startswith("/"):
        hint = f"write `{' '.join((*before, '/' + last))}`"
        raise InvalidExpression(f"the path `{last}` does not begin with `/`", hint=hint)
    if len(before) > 1:
        methods = ",".join(word.strip(",") for word in before if word != ",")
        raise InvalidExpression(
            "methods are separated by commas alone", hint=f"write `{methods} {last}`"
        )


def _lacks_a_path(before: list[str], methods: str) -> InvalidExpression:
    if before and before[0].startswith("/"):
        return InvalidExpression(
            "methods are written before the path", hint=f"write `{methods} {before[0]}`"
        )
    return InvalidExpression(
        f"`{methods}` lacks a path", hint=f"for example `{methods} /api/messages`"
    )


def _parse_methods(text: str) -> tuple[frozenset[str], bool]:
    methods = text.split(",")
    if methods == ["WS"]:
        return frozenset({"GET"}), True
    for method in methods:
        if not _METHOD.fullmatch(method) or method in _EVERY:
            told = f"`{method}` is not a method" if method else "a comma has no method beside it"
            raise InvalidExpression(told, hint=_meant(method))
        if method == "WS":
            raise InvalidExpression(
                "`WS` cannot be combined with other methods", hint="give it a match of its own"
            )
        if method in NEVER_FORWARDED:
            raise InvalidExpression(
                f"{method} is never forwarded, so no rule can match it", hint="delete it"
            )
    found = frozenset(methods)
    return (found | {"HEAD"} if "GET" in found else found), False


def _meant(method: str) -> str:
    """Return a hint for a word that is no method."""
    if not method:
        return "delete the comma"
    if method.upper() in _EVERY:
        return "for all methods, write the path alone"
    if _METHOD.fullmatch(method.upper()):
        return f"methods are in upper case: `{method.upper()}`"
    return "for example `GET` or `POST,PUT`"


def _parse_segment(segment: str, text: str) -> tuple[str | None, str | None]:
    if segment == "*":
        return _ANY, None
    capture = _CAPTURE.fullmatch(segment)
    if capture:
        return _ANY, capture[1]
    foreign = _FOREIGN.fullmatch(segment)
    if foreign:
        raise InvalidExpression(
            f"`{segment}` in `{text}` is no capture here, and no client sends it as it is",
            hint=f"write `{{{next(filter(None, foreign.groups()))}}}`",
        )
    if set(segment) & set("{}*"):
        raise _no_capture(segment, text)
    try:
        path = paths.canonical("/" + segment)
    except (MalformedRequest, AmbiguousRequest) as error:
        raise _no_literal(segment, text) from error
    if path.text != "/" + segment:
        raise InvalidExpression(
            f"`{segment}` in `{text}` is not in canonical form", hint=f"write `{path.text[1:]}`"
        )
    if len(path.shadow) != 1 or (segment and not path.shadow[0]):
        raise InvalidExpression(
            f"`{segment}` in `{text}` can be read in more than one way",
            hint="write `*` or `{name}` in its place",
        )
    return segment, None


def _no_capture(segment: str, text: str) -> InvalidExpression:
    if segment == "**":
        return InvalidExpression(
            f"`**` in `{text}` is not at the end", hint="write `*` for one segment"
        )
    named = re.fullmatch(r"\{([A-Za-z_][A-Za-z0-9_]*)\W.*\}", segment)
    if named is not None:
        return InvalidExpression(
            f"`{segment}` in `{text}` is not a capture: its name has letters, digits and `_` alone",
            hint=f"for example `{{{named[1]}}}`",
        )
    return InvalidExpression(
        f"`{segment}` in `{text}`: braces and `*` stand for a whole segment",
        hint="write `{name}` or `*` in its place",
    )


def _no_literal(segment: str, text: str) -> InvalidExpression:
    if "?" in segment:
        return InvalidExpression(
            f"`{text}` has a query, which no match has",
            hint="delete it; a rule reads a parameter as `query:name`",
        )
    return InvalidExpression(
        f"`{segment}` in `{text}` is not a segment of a path",
        hint="percent-encode it, or write `*` or `{name}` in its place",
    )


class _End(NamedTuple):
    """The end of a pattern: its index among all patterns, and the index of its rule.

    `segments` are its key in a table, `rest` says that it includes everything below.
    """

    order: int
    rule: int
    rest: bool
    segments: tuple[str | None, ...]
    pattern: Pattern


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    any: _Node | None = None
    ends: list[_End] = field(default_factory=list)
    rests: list[_End] = field(default_factory=list)


_ORDER: Final = attrgetter("order")


class Reached(NamedTuple):
    """The patterns that match one path: as it is, in its shadow, and in each other reading."""

    exact: Sequence[_End]
    lax: Sequence[_End]
    others: tuple[tuple[PathReading, Sequence[_End]], ...]

    def first(self, method: str, *, websocket: bool = False) -> tuple[int, Pattern] | None:
        """Return the first rule's index and its pattern that take a request, or None.

        Raises AmbiguousRequest where a laxer reading of the path would meet another rule.
        """
        found = _first(self.exact, method, websocket=websocket)
        if self.lax is not self.exact:
            lax = _first(self.lax, method, websocket=websocket)
            if (found and found.rule) != (lax and lax.rule):
                raise AmbiguousRequest("two-readings-of-path")
        for reading, ends in self.others:
            other = _first(ends, method, websocket=websocket)
            if other is not None and _contradicts(found, reading, other):
                raise AmbiguousRequest("two-readings-of-path")
        return None if found is None else (found.rule, found.pattern)

    def takers(self, methods: Iterable[str]) -> set[int]:
        """Return the rules that take a request with one of these methods, in any reading."""
        found = (
            _first(ends, method, websocket=False) for method in methods for ends in self._readings()
        )
        return {one.rule for one in found if one is not None}

    def patterns(self) -> dict[int, list[Pattern]]:
        """Return the patterns by rule, whatever their methods."""
        found: dict[int, list[Pattern]] = {}
        for ends in self._readings():
            for one in ends:
                found.setdefault(one.rule, []).append(one.pattern)
        return found

    def _readings(self) -> list[Sequence[_End]]:
        own = [self.exact] if self.lax is self.exact else [self.exact, self.lax]
        return [*own, *(ends for _, ends in self.others)]


class RouteTable:
    """Finds the first of many patterns for a path, and refuses paths with two readings."""

    __slots__ = ("_alike", "_canonical", "_folded", "_shadow", "_stems")

    def __init__(self, patterns: list[tuple[int, Pattern]]) -> None:
        """Take patterns with the index of their rule, in the order of the rules."""
        self._canonical = _Node()
        self._shadow = _Node()
        self._alike: _Node | None = None
        # Whether every pattern is its own shadow, so that the two tables are one.
        self._folded = True
        # A name that no pattern has more dots than can be cut at no later one.
        self._stems = 1
        for order, (index, pattern) in enumerate(patterns):
            segments = _shadow_segments(pattern.segments)
            end = _End(order, index, pattern.rest, segments, pattern)
            _insert(self._canonical, end, pattern.segments)
            _insert(self._shadow, end, segments)
            self._folded &= segments == pattern.segments
            dots = max((one.count(".") for one in segments if one), default=0)
            self._stems = max(self._stems, dots + 1)
            for others, below in paths_alike(segments):
                self._alike = self._alike or _Node()
                end = _End(order, index, pattern.rest or below, others, pattern)
                _insert(self._alike, end, others)

    def at(self, path: CanonicalPath) -> Reached:
        """Return the patterns that match this path with any method, in each reading.

        Raises AmbiguousRequest where there are more than PATH_READINGS.
        """
        exact = _reached(self._canonical, path.segments)
        lax = exact
        if not self._folded or path.shadow != path.segments:
            lax = _reached(self._shadow, path.shadow)
        others = path.may_be_file or self._alike is not None
        return Reached(exact, lax, tuple(self._others(path)) if others else ())

    def _others(self, path: CanonicalPath) -> Iterator[tuple[PathReading, list[_End]]]:
        """Yield the patterns that match the path in each reading other than path and shadow."""
        for reading in self._readings(path):
            for root in self._roots():
                ends = _reached(root, reading.segments)
                if ends:
                    yield reading, ends

    def _roots(self) -> tuple[_Node, ...]:
        return (self._shadow,) if self._alike is None else (self._shadow, self._alike)

    def _readings(self, path: CanonicalPath) -> Iterator[PathReading]:
        others = (path.shadow, *path.readings)
        starts = (PathReading(segments, _origins(segments, path)) for segments in others)
        return file_readings(starts, self._stems) if path.may_be_file else starts


def _origins(segments: Segments, path: CanonicalPath) -> tuple[int, ...]:
    """Return the indexes of the segments of a reading in the path; -1 for one without."""
    count = len(segments)
    whole = len(path.segments) - (path.segments[-1] == "")
    return tuple(range(count)) if count == max(whole, 1) else (-1,) * count


def _contradicts(found: _End | None, reading: PathReading, other: _End) -> bool:
    """Return whether a request that matched one rule, or none, could reach the path of another.

    An author who spells a script or a format out in one rule, and leaves it out in another, means
    two; a name that a capture or `/**` took may be anything.
    """
    if found is None or other.rule == found.rule:
        return found is None
    spelled = found.pattern.segments
    named = [0 <= at < len(spelled) and spelled[at] is not None for at in reading.origins]
    theirs = [
        at < len(other.segments) and other.segments[at] is not None for at in range(len(named))
    ]
    if any(there and not here for there, here in zip(theirs, named, strict=True)):
        return True
    if all(0 <= at < len(spelled) and spelled[at] is not None for at in reading.left_out):
        return False
    return reading.certain or theirs == named


def _shadow_segments(segments: tuple[str | None, ...]) -> tuple[str | None, ...]:
    folded = [None if segment is None else paths.fold_literal(segment) for segment in segments]
    while len(folded) > 1 and folded[-1] == "":
        folded.pop()
    return tuple(folded)


def _insert(node: _Node, end: _End, segments: tuple[str | None, ...]) -> None:
    for segment in segments:
        if segment is None:
            node.any = node.any or _Node()
            node = node.any
        else:
            node = node.literals.setdefault(segment, _Node())
    (node.rests if end.rest else node.ends).append(end)


def _reached(root: _Node, segments: tuple[str, ...]) -> list[_End]:
    """Return the ends of the patterns for a path, whatever their methods, in their order."""
    ends: list[_End] = []
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        child: _Node | None = node
        while child is not None:
            node = child
            ends += node.rests
            if depth == len(segments):
                ends += node.ends
                break
            segment = segments[depth]
            depth += 1
            child = node.literals.get(segment)
            if node.any is not None and segment:
                if child is None:
                    child = node.any
                else:
                    waiting.append((node.any, depth))
    ends.sort(key=_ORDER)
    return ends


def _first(ends: Sequence[_End], method: str, *, websocket: bool) -> _End | None:
    """Return the first of `ends` that matches such a request."""
    for end in ends:
        pattern = end.pattern
        if pattern.websocket == websocket and pattern.takes(method):
            return end
    return None

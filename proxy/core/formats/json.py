"""JSON (RFC 8259): where the selected values lie in these very bytes.

The walk goes down only where a selector leads; everything else is skipped, and thereby checked, by
the standard library's C scanner. Nothing is re-emitted, so spellings of numbers, escapes, spaces
and the order of members stay as they came.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # the C scanner itself
from typing import Final, NamedTuple, NoReturn

from ..errors import InvalidBody
from ..selectors import Any, JsonSelector

MAX_DEPTH: Final = 128
Path = tuple[str | int, ...]

_WS: Final = r"[ \t\n\r]*+"
_CHARS: Final = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
# Longer strings are left to the C scanner, which is faster from about a hundred characters on.
_SHORT: Final = (
    r'"[^"\\\x00-\x1f]{0,80}+"'
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
)
_SPACE: Final = re.compile(_WS)
# One member up to its value; of a short scalar also the value, and the comma or brace behind it.
_MEMBER: Final = re.compile(rf'{_WS}"({_CHARS})"{_WS}:{_WS}(?:({_SHORT}){_WS}([,}}]))?+')
_ELEMENT: Final = re.compile(rf"{_WS}(?:({_SHORT}){_WS}([,\]]))?+")
_AFTER_MEMBER: Final = re.compile(rf"{_WS}([,}}])")
_AFTER_ELEMENT: Final = re.compile(rf"{_WS}([,\]])")
_EMPTY: Final = re.compile(rf"\{{{_WS}\}}|\[{_WS}\]")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_BRACKETS: Final = b"[]{}"
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


# `len` swallows numbers without converting them: no digits limit, no overflow, no rounding.
_DECODER: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)
_scan: Final = c_make_scanner(_DECODER)


class Found(NamedTuple):
    """One selected value: which selector found it, the path to it, and its bytes' place."""

    selector: int
    path: Path
    start: int
    end: int


@dataclass(slots=True)
class Findings:
    """What a walk found.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `variants` each whose member stood there in another case.
    """

    found: list[Found] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    variants: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Node:
    """A place in the tree of selectors.

    A `sticky` node (`..`) stays with every descendant. `ends` are the selectors that end here,
    `beyond` those that lead on from here, `below` both; selectors with `..` count in neither of the
    last two, since they are missing only if they find nothing at all.
    """

    names: dict[str, _Node] = field(default_factory=dict)
    indexes: dict[int, _Node] = field(default_factory=dict)
    any: _Node | None = None
    deep: _Node | None = None
    sticky: bool = False
    ends: tuple[int, ...] = ()
    beyond: frozenset[int] = frozenset()
    below: frozenset[int] = frozenset()
    folded: dict[str, frozenset[int]] = field(default_factory=dict)
    leads_on: bool = False

    @property
    def only_names(self) -> bool:
        """Whether nothing but names leads on from here."""
        return self.any is None and self.deep is None and not self.sticky


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index."""

    __slots__ = ("_deep", "_root", "size")

    def __init__(self, selectors: tuple[JsonSelector, ...]) -> None:
        """Build the tree of `selectors`."""
        self.size = len(selectors)
        self._root = _Node()
        self._deep = frozenset(
            index for index, one in enumerate(selectors) if any(step.deep for step in one.steps)
        )
        for index, selector in enumerate(selectors):
            _insert(self._root, index, selector, deep=index in self._deep)

    def find(self, body: bytes) -> Findings:
        """Return where the selected values lie in `body`; raise InvalidBody unless it is strict JSON."""
        text = check(body)
        walk = _Walk(text)
        try:
            end = walk.value(_skip_space(text, 0), (self._root,), ())
        except (ValueError, StopIteration):  # what the C scanner raises
            raise InvalidBody("not-json") from None
        if _skip_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")
        seen = {one.selector for one in walk.findings.found}
        walk.findings.missing.update(self._deep - seen)
        return walk.findings


def check(body: bytes) -> str:
    """Return `body` with one character for each byte, once its encoding and depth are in order.

    latin-1 gives one character a byte, so that places in the text are places in the bytes. Raises
    InvalidBody for bad UTF-8, a byte order mark, lone surrogates, or nesting beyond 128 levels.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise InvalidBody("not-utf-8") from None
        if body.startswith(b"\xef\xbb\xbf"):
            raise InvalidBody("byte-order-mark")
    if _SURROGATE_ESCAPE.search(body):
        _check_surrogates(body)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(body)
    return body.decode("latin-1")


def validate(body: bytes) -> None:
    """Raise InvalidBody unless `body` is strict JSON."""
    Selection(()).find(body)


def unescape(literal: bytes) -> str:
    """Return the text of a JSON string literal, quotes included."""
    text: str = json.loads(literal)
    return text


def escape(text: str) -> str:
    """Return `text` as the inside of a JSON string: only what must be escaped is."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _insert(root: _Node, index: int, selector: JsonSelector, *, deep: bool) -> None:
    mine = frozenset[int]() if deep else frozenset({index})
    node = root
    for step in selector.steps:
        node.below |= mine
        node.beyond |= mine
        node.leads_on = True
        if step.deep:
            node.deep = node.deep or _Node(sticky=True)
            node = node.deep
            node.leads_on = True
        if isinstance(step.key, str):
            folded = step.key.casefold()
            node.folded[folded] = node.folded.get(folded, frozenset()) | {index}
            node = node.names.setdefault(step.key, _Node())
        elif isinstance(step.key, Any):
            node.any = node.any or _Node()
            node = node.any
        else:
            node = node.indexes.setdefault(step.key, _Node())
    node.below |= mine
    node.ends += (index,)


def _check_surrogates(body: bytes) -> None:
    """Raise InvalidBody where a \\u escape names half of a surrogate pair."""
    high_ends_at = -1
    for match in _ESCAPE.finditer(body):
        unit = int(match[1], 16) if match[1] else 0
        if high_ends_at == match.start() and not 0xDC00 <= unit <= 0xDFFF:
            raise InvalidBody("lone-surrogate")
        if 0xDC00 <= unit <= 0xDFFF and high_ends_at != match.start():
            raise InvalidBody("lone-surrogate")
        if high_ends_at not in {-1, match.start()}:
            raise InvalidBody("lone-surrogate")
        high_ends_at = match.end() if 0xD800 <= unit <= 0xDBFF else -1
    if high_ends_at != -1:
        raise InvalidBody("lone-surrogate")


def _check_depth(body: bytes) -> None:
    """Raise InvalidBody for more than 128 levels, without recursion and at the speed of C.

    Strings go first (a quote that stands behind an odd number of backslashes is no border), then
    innermost pairs of brackets are struck out until none are left: each round is one level. The
    scanner refuses what is not balanced, so only the number of rounds matters here.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    rest = b"".join(unescaped.split(b'"')[::2]).translate(None, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        shorter = rest.replace(b"[]", b"").replace(b"{}", b"")
        if len(shorter) == len(rest):
            break
        rest = shorter
    if rest:
        raise InvalidBody("nested-too-deeply")


class _Walk:
    """One walk over one text."""

    __slots__ = ("findings", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.findings = Findings()

    def value(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        """Walk the value at `at` for the selectors of `states`; return where it ends."""
        for state in states:
            if state.deep is not None and state.deep not in states:
                states = (*states, state.deep)
        end = None
        if any(state.leads_on for state in states):
            if self.text.startswith("{", at):
                end = self._object(at, states, path)
            elif self.text.startswith("[", at):
                end = self._array(at, states, path)
        if end is None:
            end = _scan(self.text, at)[1]
            self._dead_end(states)
        self._select(states, path, at, end)
        return end

    def _object(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        text = self.text
        names = states[0].names if len(states) == 1 and states[0].only_names else None
        seen: set[str] = set()
        empty = _EMPTY.match(text, at)
        closing = "}" if empty else ","
        at = empty.end() if empty else at + 1
        while closing == ",":
            member = _MEMBER.match(text, at)
            if member is None:
                raise InvalidBody("not-json")
            at = member.end()
            key, scalar, closing = member.groups()
            if "\\" in key or not key.isascii():
                key = unescape(f'"{key}"'.encode("latin-1"))
            if names is None or key in names or key.casefold() in states[0].folded:
                onward = self._onward(states, key)
            else:
                onward = ()
            if onward:
                if key in seen:
                    raise InvalidBody("duplicate-member")
                seen.add(key)
                if scalar is not None:
                    self._scalar(member, onward, (*path, key))
                else:
                    at = self.value(at, onward, (*path, key))
            elif scalar is None:
                at = _scan(text, at)[1]
            if scalar is None:
                at, closing = self._after(_AFTER_MEMBER, at)
        for state in states:
            if state.beyond:
                self._miss(state, state.names.keys() - seen, state.indexes, empty=empty is not None)
        return at

    def _array(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        text = self.text
        index = 0
        empty = _EMPTY.match(text, at)
        closing = "]" if empty else ","
        at = empty.end() if empty else at + 1
        while closing == ",":
            element = _ELEMENT.match(text, at)
            assert element is not None  # noqa: S101 - the pattern matches everywhere
            scalar, closing = element.groups()
            onward = _elements(states, index)
            at = element.end()
            if scalar is None:
                at = self.value(at, onward, (*path, index)) if onward else _scan(text, at)[1]
                at, closing = self._after(_AFTER_ELEMENT, at)
            elif onward:
                self._scalar(element, onward, (*path, index))
            index += 1
        for state in states:
            if state.beyond:
                beyond = [number for number in state.indexes if number >= index]
                self._miss(state, state.names, beyond, empty=not index)
        return at

    def _scalar(self, match: re.Match[str], states: tuple[_Node, ...], path: Path) -> None:
        for state in states:
            if state.deep is not None and state.deep not in states:
                states = (*states, state.deep)
        self._dead_end(states)
        self._select(states, path, *match.span(match.lastindex - 1))  # type: ignore[operator]  # both groups matched

    def _dead_end(self, states: tuple[_Node, ...]) -> None:
        for state in states:
            if state.beyond:
                self.findings.missing |= state.beyond

    def _select(self, states: tuple[_Node, ...], path: Path, start: int, end: int) -> None:
        for state in states:
            if not state.ends:
                continue
            null = end - start == len("null") and self.text.startswith("null", start)
            for selector in state.ends:
                if null:
                    self.findings.missing.add(selector)
                else:
                    self.findings.found.append(Found(selector, path, start, end))

    def _onward(self, states: tuple[_Node, ...], key: str) -> tuple[_Node, ...]:
        onward: tuple[_Node, ...] = ()
        for state in states:
            child = state.names.get(key)
            if child is not None:
                onward += (child,)
            elif state.folded:
                variant = state.folded.get(key.casefold())
                if variant is not None:
                    self.findings.variants |= variant
            if state.any is not None:
                onward += (state.any,)
            if state.sticky:
                onward += (state,)
        return onward

    def _miss(
        self, state: _Node, names: Iterable[str], indexes: Iterable[int], *, empty: bool
    ) -> None:
        for name in names:
            self.findings.missing |= state.names[name].below
        for index in indexes:
            self.findings.missing |= state.indexes[index].below
        if empty and state.any is not None:
            self.findings.missing |= state.any.below

    def _after(self, pattern: re.Pattern[str], at: int) -> tuple[int, str]:
        """Return the place behind a separator, and the separator."""
        match = pattern.match(self.text, at)
        if match is None:
            raise InvalidBody("not-json")
        return match.end(), match[1]


def _elements(states: tuple[_Node, ...], index: int) -> tuple[_Node, ...]:
    onward: tuple[_Node, ...] = ()
    for state in states:
        child = state.indexes.get(index)
        if child is not None:
            onward += (child,)
        if state.any is not None:
            onward += (state.any,)
        if state.sticky:
            onward += (state,)
    return onward


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101 - the pattern matches everywhere, if only emptily
    return match.end()

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
from itertools import accumulate
from json.encoder import encode_basestring
from json.scanner import c_make_scanner  # type: ignore[attr-defined]  # the C scanner itself
from typing import Final, NamedTuple, NoReturn

from ..errors import BodyTooLarge, InvalidBody
from ..selectors import Any, JsonSelector

MAX_DEPTH: Final = 128
# What is skipped is parsed on the way, into objects much larger than its text: this bounds them.
MAX_VALUES: Final = 1_000_000
_PROBED_MAX: Final = 16 * 1024
_CROWDED: Final = 50_000
Path = tuple[str | int, ...]

_WS: Final = r"[ \t\n\r]*+"
_CHARS: Final = r'[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
# Longer strings are left to the C scanner, which is faster from about a hundred characters on.
_SHORT: Final = (
    r'"[^"\\\x00-\x1f]{0,80}+"'
    r"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]++)?+|true|false|null"
)
_SPACE: Final = re.compile(_WS)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.$@-]+")
# One member up to its value; of a short scalar also the value, and the comma or brace behind it.
_MEMBER: Final = re.compile(rf'{_WS}"({_CHARS})"{_WS}:{_WS}()(?:(?:{_SHORT}){_WS}([,}}]))?+')
_AFTER_MEMBER: Final = re.compile(rf"{_WS}([,}}])")
_AFTER_ELEMENT: Final = re.compile(rf"{_WS}([,\]])")
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE_PAIR: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_NOT_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: 1 and -1


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


# `len` swallows numbers without converting them: no digits limit, no overflow, no rounding.
_DECODER: Final = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_refuse_constant)
_scan: Final = c_make_scanner(_DECODER)


class Found(NamedTuple):
    """One selected value: the path to it, and its bytes' place."""

    path: Path
    start: int
    end: int


class Findings:
    """What a walk found, by the index of the selector.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `variants` each whose member stood there in another case.
    """

    __slots__ = ("found", "missing", "variants")

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[Found]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.variants: set[int] = set()


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
    into_objects: bool = False
    into_arrays: bool = False
    only_names: bool = False


class Selection:
    """A set of selectors made ready to be found in one walk. Selectors are known by index."""

    __slots__ = ("_deep", "_paths", "_plain", "_root", "_size")

    def __init__(self, selectors: tuple[JsonSelector, ...]) -> None:
        """Build the tree of `selectors`."""
        self._size = len(selectors)
        self._root = _Node()
        self._deep = tuple(
            index for index, one in enumerate(selectors) if any(step.deep for step in one.steps)
        )
        for index, selector in enumerate(selectors):
            _insert(self._root, index, selector, deep=index in self._deep)
        _finish(self._root)
        paths = [_plain_path(selector) for selector in selectors]
        self._paths = [path for path in paths if path is not None]
        self._plain = None if None in paths else [_quoted(path) for path in self._paths]

    def find(self, body: bytes) -> Findings:
        """Return where the selected values lie; raise InvalidBody unless `body` is strict JSON."""
        text = check(body)
        start = _after_space(text, 0)
        findings = Findings(self._size)
        try:
            end = self._probe(text, start, findings)
            if end is None:
                findings = Findings(self._size)
                end = _Walk(text, findings).value(start, (self._root,), ())
        except (ValueError, StopIteration):  # what the C scanner raises
            raise InvalidBody("not-json") from None
        if _after_space(text, end) != len(text):
            raise InvalidBody("trailing-bytes")
        findings.missing.update(index for index in self._deep if not findings.found[index])
        return findings

    def _probe(self, text: str, start: int, findings: Findings) -> int | None:
        """Find the values of plain paths without a walk; return None where that is not certain.

        Most messages spell each name of a selector once. The one place where `"name"` stands, in
        any case, is then the member that the scanner has read there. Escapes could spell a name
        otherwise, and names beyond ASCII have other cases, so such messages take the walk.
        """
        if self._plain is None or "\\u" in text:
            return None
        if len(text) > _PROBED_MAX and text.count(",") < _CROWDED:
            return None  # a walk over few members costs less than a search in much text
        document: object
        end: int
        document, end = _scan(text, start)
        lower = text.lower()
        for index, path in enumerate(self._plain):
            level = document
            for name, quoted in path:
                count = lower.count(quoted)
                if type(level) is not dict or count > 1 or not "".join(level).isascii():
                    return None
                if count != (name in level):
                    return None
                level = level.get(name)
                if level is None:
                    findings.missing.add(index)
                    break
            else:
                at = _after_space(text, text.index(":", lower.index(quoted) + len(quoted)) + 1)
                findings.found[index].append(Found(self._paths[index], at, _scan(text, at)[1]))
        return end


def check(body: bytes) -> str:
    """Return `body` with one character for each byte, once its encoding and depth are in order.

    latin-1 gives one character a byte, so that places in the text are places in the bytes. Raises
    InvalidBody for bad UTF-8, a byte order mark, lone surrogates, or nesting beyond 128 levels,
    BodyTooLarge for more than a million commas and brackets.
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
    brackets = body.count(b"[") + body.count(b"{")
    if brackets > MAX_DEPTH:
        _check_depth(body)
    if brackets + body.count(b",") > MAX_VALUES:
        raise BodyTooLarge("too-many-values")
    return body.decode("latin-1")


def validate(body: bytes) -> None:
    """Raise InvalidBody unless `body` is strict JSON."""
    Selection(()).find(body)


def unescape(literal: bytes) -> str:
    """Return the text of a JSON string literal, quotes included."""
    if b"\\" not in literal:
        return literal[1:-1].decode()
    text: str = json.loads(literal)
    return text


def escape(text: str) -> str:
    """Return `text` as the inside of a JSON string: only what must be escaped is."""
    quoted: str = encode_basestring(text)
    return quoted[1:-1]


def _plain_path(selector: JsonSelector) -> tuple[str, ...] | None:
    """Return the names of a selector that is nothing but names which JSON spells one way."""
    names = tuple(step.key for step in selector.steps if isinstance(step.key, str))
    deep = any(step.deep for step in selector.steps)
    plain = names and len(names) == len(selector.steps) and not deep
    return names if plain and all(_PLAIN_NAME.fullmatch(name) for name in names) else None


def _quoted(path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, f'"{name}"'.lower()) for name in path)


def _insert(root: _Node, index: int, selector: JsonSelector, *, deep: bool) -> None:
    mine = frozenset[int]() if deep else frozenset({index})
    node = root
    for step in selector.steps:
        node.below |= mine
        node.beyond |= mine
        if step.deep:
            node.deep = node.deep or _Node(sticky=True)
            node = node.deep
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
    r"""Raise InvalidBody where a \u escape names half of a surrogate pair."""
    # An escaped backslash begins no escape; blanking it, not cutting it, keeps halves apart.
    escapes = body.replace(rb"\\", b"__")
    if _SURROGATE_ESCAPE.search(_SURROGATE_PAIR.sub(b"", escapes)):
        raise InvalidBody("lone-surrogate")


def _check_depth(body: bytes) -> None:
    """Raise InvalidBody for more than 128 levels, without recursion and at the speed of C.

    Escapes go first, then all but quotes and brackets, then pairs of neighbouring quotes: they are
    strings without brackets, or the border between two strings, and either way what is inside stays
    inside. Every bracket that is left outside is a step down or up. Whether brackets fit each other
    is for the scanner to tell.
    """
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = unescaped.translate(_STEPS, _NOT_MARKS).replace(b'""', b"")
    steps = b"".join(marks.split(b'"')[::2])
    if max(accumulate(memoryview(steps).cast("b")), default=0) > MAX_DEPTH:
        raise InvalidBody("nested-too-deeply")


def _finish(node: _Node) -> None:
    """Note what a walk asks of every node, once the tree stands."""
    children = [*node.names.values(), *node.indexes.values(), node.any, node.deep]
    anywhere = node.sticky or node.any is not None or node.deep is not None
    node.into_objects = anywhere or bool(node.names)
    node.into_arrays = anywhere or bool(node.indexes)
    node.only_names = not anywhere and not node.indexes
    for child in children:
        if child is not None:
            _finish(child)


class _Walk:
    """One walk over one text."""

    __slots__ = ("findings", "text")

    def __init__(self, text: str, findings: Findings) -> None:
        self.text = text
        self.findings = findings

    def value(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        """Walk the value at `at` for the selectors of `states`; return where it ends."""
        states = _with_deep(states)
        opening = self.text[at : at + 1]
        if opening == "{" and _lead_into_objects(states):
            if len(states) == 1 and states[0].only_names:
                end = self._plain_object(at, states[0], path)
            else:
                end = self._object(at, states, path)
        elif opening == "[" and _lead_into_arrays(states):
            end = self._array(at, states, path)
        else:
            end = _scan(self.text, at)[1]
            for state in states:
                if state.beyond:
                    self.findings.missing |= state.beyond
        for state in states:
            if state.ends:
                self._select(state.ends, path, at, end)
        return end

    def _plain_object(self, at: int, node: _Node, path: Path) -> int:
        """Walk an object of which only named members matter: the usual case, so the fast one."""
        text, names, folded = self.text, node.names, node.folded
        seen: set[str] = set()
        at, closing = _enter(text, at, "}")
        while closing == ",":
            key, start, at, closing = _member(text, at)
            child = names.get(key)
            if child is not None:
                if key in seen:
                    raise InvalidBody("duplicate-member")
                seen.add(key)
                end = self.value(start, (child,), (*path, key))
                if not closing:
                    at = end
            elif key.casefold() in folded:
                self.findings.variants |= folded[key.casefold()]
            if not closing:
                if child is None:
                    at = _scan(text, at)[1]
                at, closing = _after(_AFTER_MEMBER, text, at)
        if len(seen) < len(names):
            self._miss(node, names.keys() - seen, (), empty=False)
        return at

    def _object(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        text = self.text
        seen: set[str] = set()
        at, closing = _enter(text, at, "}")
        empty = closing == "}"
        while closing == ",":
            key, start, at, closing = _member(text, at)
            onward = self._onward(states, key)
            if onward:
                if key in seen:
                    raise InvalidBody("duplicate-member")
                seen.add(key)
                end = self.value(start, onward, (*path, key))
                if not closing:
                    at = end
            if not closing:
                if not onward:
                    at = _scan(text, at)[1]
                at, closing = _after(_AFTER_MEMBER, text, at)
        for state in states:
            if state.beyond:
                self._miss(state, state.names.keys() - seen, state.indexes, empty=empty)
        return at

    def _array(self, at: int, states: tuple[_Node, ...], path: Path) -> int:
        text = self.text
        index = 0
        at, closing = _enter(text, at, "]")
        while closing == ",":
            at = _after_space(text, at)
            onward = _elements(states, index)
            at = self.value(at, onward, (*path, index)) if onward else _scan(text, at)[1]
            at, closing = _after(_AFTER_ELEMENT, text, at)
            index += 1
        for state in states:
            if state.beyond:
                absent = [number for number in state.indexes if number >= index]
                self._miss(state, state.names, absent, empty=not index)
        return at

    def _select(self, selectors: tuple[int, ...], path: Path, start: int, end: int) -> None:
        null = end - start == len("null") and self.text.startswith("null", start)
        for selector in selectors:
            if null:
                self.findings.missing.add(selector)
            else:
                self.findings.found[selector].append(Found(path, start, end))

    def _onward(self, states: tuple[_Node, ...], key: str) -> tuple[_Node, ...]:
        onward: tuple[_Node, ...] = ()
        for state in states:
            child = state.names.get(key)
            if child is not None:
                onward += (child,)
            elif key.casefold() in state.folded:
                self.findings.variants |= state.folded[key.casefold()]
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


def _with_deep(states: tuple[_Node, ...]) -> tuple[_Node, ...]:
    for state in states:
        if state.deep is not None and state.deep not in states:
            states = (*states, state.deep)
    return states


def _lead_into_objects(states: tuple[_Node, ...]) -> bool:
    for state in states:  # noqa: SIM110 - twice as fast as any() on the path of every message
        if state.into_objects:
            return True
    return False


def _lead_into_arrays(states: tuple[_Node, ...]) -> bool:
    for state in states:  # noqa: SIM110 - as above
        if state.into_arrays:
            return True
    return False


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


def _enter(text: str, at: int, closing: str) -> tuple[int, str]:
    """Return the place behind an opening bracket, or behind an empty pair with its closing one."""
    inside = _after_space(text, at + 1)
    if text.startswith(closing, inside):
        return inside + 1, closing
    return inside, ","


def _member(text: str, at: int) -> tuple[str, int, int, str]:
    """Return a member's key, where its value begins, how far it was read, and what stands there.

    A short scalar is read to behind the comma or brace that follows it; of any other value only the
    beginning is known, and the last part is empty.
    """
    match = _MEMBER.match(text, at)
    if match is None:
        raise InvalidBody("not-json")
    key, _, closing = match.groups()
    if "\\" in key or not key.isascii():
        key = unescape(f'"{key}"'.encode("latin-1"))
    return key, match.start(2), match.end(), closing or ""


def _after(pattern: re.Pattern[str], text: str, at: int) -> tuple[int, str]:
    """Return the place behind a separator, and the separator."""
    match = pattern.match(text, at)
    if match is None:
        raise InvalidBody("not-json")
    return match.end(), match[1]


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # noqa: S101 - the pattern matches everywhere, if only emptily
    return match.end()

"""One walk over one JSON text, only where a selector leads."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Final

from ...errors import BodyTooLarge, InvalidBody
from ...expressions.name_readings import leads_to_prototype
from ...leaves.strict_json import after_space, is_json_text, scan
from ...policy import MOST_SELECTED, ODD_NAME_CHARS, PIECE_BYTES
from ...slices import pause, paused
from .lexer import (
    AFTER_ELEMENT,
    AFTER_MEMBER,
    Findings,
    FoundValue,
    LongText,
    Misfit,
    Path,
    after,
    enter,
    member,
    read_name,
)
from .names import Node

_ODD_NAME: Final = 40
SCANNED_MAX: Final = 4 * PIECE_BYTES
"""A longer text is not given to the scanner whole."""
_FEW: Final = 64
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,8}")


class Walk:
    """One walk over one text.

    Where it is `lenient`, a selected member that occurs twice is reported, not refused.
    """

    __slots__ = (
        "_lenient",
        "_odd",
        "_odd_room",
        "_pieces",
        "_prototype",
        "_room",
        "findings",
        "text",
    )

    def __init__(self, text: str, findings: Findings, *, lenient: bool = False) -> None:
        self.text = text
        self.findings = findings
        self._lenient = lenient
        self._room = MOST_SELECTED
        self._odd: dict[str, str] = {}
        self._odd_room = ODD_NAME_CHARS
        self._prototype: bool | None = None
        self._pieces = LongText(text) if len(text) > SCANNED_MAX else None

    def value(self, at: int, states: tuple[Node, ...], path: Path) -> int:
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
            end = self._end(at)
            for state in states:
                if state.indexes and opening == "{":
                    self._look_for_elements(state, scan(self.text, at)[0], path)
                elif state.single and not self.text.startswith("null", at):
                    self.findings.hidden |= state.single
                if state.beyond:
                    self.findings.missing |= state.beyond
                    self._look_at_type(opening, at, end, state.beyond)
        for state in states:
            if state.ends:
                self._select(state.ends, path, at, end)
        return end

    def _look_at_type(self, opening: str, at: int, end: int, beyond: frozenset[int]) -> None:
        """Note a list, an object or a text of JSON where values lie in another."""
        if opening == '"' and not is_json_text(json.loads(self.text[at:end])):
            return
        if opening in {"{", "[", '"'}:
            self.findings.misfits.add(Misfit(beyond, frozenset()))

    def _look_at_kind(self, states: tuple[Node, ...], *, array: bool) -> None:
        """Note an object where some values lie in a list, or a list where some lie in an object."""
        lacking = frozenset[int]()
        for state in states:
            if state.sticky:
                return  # what is selected anywhere is found there as well
            for child in (state.names if array else state.indexes).values():
                lacking |= child.below
        if lacking:
            fitting = frozenset[int]().union(*(state.beyond for state in states)) - lacking
            self.findings.misfits.add(Misfit(lacking, fitting))

    def _end(self, at: int) -> int:
        """Return where a value ends of which nothing else matters."""
        if self._pieces is not None:
            return self._pieces.end(at)
        end: int = scan(self.text, at)[1]
        return end

    def _plain_object(self, at: int, node: Node, path: Path) -> int:
        """Walk an object of which only named members matter: the usual case, so the fast one."""
        text, names, beginnings = self.text, node.names, node.beginnings
        seen: set[str] = set()
        at, closing = enter(text, at, "}")
        count = 0
        while closing == ",":
            count += 1
            if not count % _FEW:
                at = self._pass_members(at, node)
            key, start, at, closing = member(text, at)
            plain = key.isascii() and "\\" not in key
            if not plain:
                key = self._read(key)
            child = names.get(key)
            if child is not None:
                if key in seen:
                    self._refuse_second((child,), path)
                seen.add(key)
                end = self.value(start, (child,), (*path, key))
                if not closing:
                    at = end
            elif not plain or key[:1] in beginnings:
                self._look_at(node, key, start, path)
            if not closing:
                at = self._end(at) if child is None else at
                at, closing = after(AFTER_MEMBER, text, at)
        if len(seen) < len(names):
            self._miss(node, names.keys() - seen, (), empty=False)
        return at

    def _pass_members(self, at: int, node: Node) -> int:
        """Return where the first of the following members begins that may matter, or before it."""
        pause()
        pieces, plain = self._pieces, node.plain
        if pieces is None or plain is None:
            return at
        while (found := pieces.members(at)) is not None:
            pause()
            members, end = found
            if not plain.suit(members) or not node.names.keys().isdisjoint(members):
                return at
            at = end
        return at

    def _object(self, at: int, states: tuple[Node, ...], path: Path) -> int:
        text = self.text
        seen: set[str] = set()
        at, closing = enter(text, at, "}")
        empty = closing == "}"
        while closing == ",":
            pause()
            key, start, at, closing = member(text, at)
            if "\\" in key or not key.isascii():
                key = self._read(key)
            onward = self._onward(states, key, start, path)
            if onward:
                if key in seen:
                    self._refuse_second(onward, path)
                seen.add(key)
                end = self.value(start, onward, (*path, key))
                if not closing:
                    at = end
            if not closing:
                if not onward:
                    at = self._end(at)
                at, closing = after(AFTER_MEMBER, text, at)
        for state in states:
            if state.beyond:
                self._miss(state, state.names.keys() - seen, state.indexes, empty=empty)
        self._look_at_kind(states, array=False)
        return at

    def _read(self, spelled: str) -> str:
        """Return a name that is not ASCII or has escapes as it reads."""
        name = self._odd.get(spelled)
        if name is None:
            self._odd_room -= len(spelled) + _ODD_NAME
            if self._odd_room < 0:
                raise BodyTooLarge("too-many-odd-names")
            name = self._odd[spelled] = read_name(spelled)
        return name

    def _refuse_second(self, nodes: tuple[Node, ...], path: Path) -> None:
        """Refuse a selected member that occurs a second time, or report it."""
        if not self._lenient:
            raise InvalidBody("duplicate-member")
        for node in nodes:
            self.findings.tell_of_hidden(path, node.onward.union(node.ends))

    def _look_for_elements(self, node: Node, members: Collection[str], path: Path) -> None:
        """Report an object that is an array to some readers, or the only element of one."""
        if "__proto__" in members or any(str(index) in members for index in node.indexes):
            self.findings.tell_of_hidden(path, node.onward)
        for key in paused(members) if node.inner else ():
            self.findings.hidden |= node.in_element(key) or frozenset()

    def _look_at(self, node: Node, key: str, start: int, path: Path) -> None:
        """Report a member that some readers take for one that is selected in its object."""
        as_element = node.indexes and _INDEX.fullmatch(key) and int(key) in node.indexes
        if as_element or leads_to_prototype(key, start, self._has_prototype):
            self.findings.tell_of_hidden(path, node.onward)
        elif (selectors := node.variants(key)) is not None:
            self.findings.tell_of_variant(path, selectors)
        elif (selectors := node.in_element(key)) is not None:
            self.findings.hidden |= selectors

    def _has_prototype(self, start: int) -> bool:
        """Return whether a value may be an object with a `prototype`, which is looked for once."""
        if self._prototype is None:
            self._prototype = "prototype" in self.text
        return self._prototype and self.text.startswith("{", start)

    def _array(self, at: int, states: tuple[Node, ...], path: Path) -> int:
        text = self.text
        index = 0
        at, closing = enter(text, at, "]")
        while closing == ",":
            pause()
            at = after_space(text, at)
            onward = _elements(states, index)
            end = self.value(at, onward, (*path, index)) if onward else self._end(at)
            at, closing = after(AFTER_ELEMENT, text, end)
            index += 1
        for state in states:
            if state.beyond:
                absent = [number for number in state.indexes if number >= index]
                self._miss(state, state.names, absent, empty=not index)
        self._look_at_kind(states, array=True)
        return at

    def _select(self, selectors: tuple[int, ...], path: Path, start: int, end: int) -> None:
        self._room -= len(selectors)
        if self._room < 0:
            raise BodyTooLarge("too-many-selected-values")
        null = end - start == len("null") and self.text.startswith("null", start)
        for selector in selectors:
            if null:
                self.findings.missing.add(selector)
            else:
                self.findings.found[selector].append(FoundValue(path, start, end))

    def _onward(
        self, states: tuple[Node, ...], key: str, start: int, path: Path
    ) -> tuple[Node, ...]:
        onward: tuple[Node, ...] = ()
        for state in states:
            child = state.names.get(key)
            if child is not None:
                onward += (child,)
            elif state.onward:
                self._look_at(state, key, start, path)
            if state.any is not None:
                onward += (state.any,)
            if state.sticky:
                onward += (state,)
        return onward

    def _miss(
        self, state: Node, names: Iterable[str], indexes: Iterable[int], *, empty: bool
    ) -> None:
        for name in names:
            self.findings.missing |= state.names[name].below
        for index in indexes:
            self.findings.missing |= state.indexes[index].below
        if empty and state.any is not None:
            self.findings.missing |= state.any.below


def _with_deep(states: tuple[Node, ...]) -> tuple[Node, ...]:
    for state in states:
        if state.deep is not None and state.deep not in states:
            states = (*states, state.deep)
    return states


def _lead_into_objects(states: tuple[Node, ...]) -> bool:
    for state in states:  # noqa: SIM110 - twice as fast as any() on the path of every message
        if state.into_objects:
            return True
    return False


def _lead_into_arrays(states: tuple[Node, ...]) -> bool:
    for state in states:  # noqa: SIM110 - as above
        if state.into_arrays:
            return True
    return False


def _elements(states: tuple[Node, ...], index: int) -> tuple[Node, ...]:
    onward: tuple[Node, ...] = ()
    for state in states:
        child = state.indexes.get(index)
        if child is not None:
            onward += (child,)
        if state.any is not None:
            onward += (state.any,)
        if state.sticky:
            onward += (state,)
    return onward

"""What a block does to plain JSON: its values at paths of names, and the contexts that bind them.

This is decided when the block is compiled. A *way* (`core/apply/ways`) carries it out, for messages
of which it is certain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from ..crypto.context import Context, Scope
from ..crypto.token import KeyId
from ..edits.key_needs import Needs
from ..expressions.sources import JsonSource, NameSource, Source
from ..formats.json import unescape
from ..leaves import Finder
from ..rules.model import Item, NamedPart, Placed

_PARTS: Final[tuple[NamedPart, ...]] = ("tenant", "conversation", "message")
_REMEMBERED: Final = 1024
"""So many names are kept with their contexts: clients choose them, so not without end."""
_KEPT_CHARS: Final = 4096
"""Longer names are not kept."""
NAMES_MAX: Final = 64 * 1024
"""So many characters may the names in the contexts of one message have, here. The general way
allows some more."""
_NEEDS_KEPT: Final = 64
_QUOTE: Final = ord('"')
_CANONICAL_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")

Places = Sequence[Sequence[int]]
"""The values at each path, flat: where one begins and ends, then its element of each list."""
Names = tuple[str, ...]


class Bound:
    """The contexts that some names make, each with its item, and the keys for them.

    `seals` and `opens` have the index of each item's path, `only` is that of the only one.
    `seal_scope` and `open_scope` are those of all of them, None where they have several.
    `to_seal_one` are the keys to seal one value, where all of them have one scope, and
    `to_open_one` has those to open one by the sessions of tokens that were met of late.
    """

    __slots__ = (
        "_needs",
        "only",
        "open_scope",
        "opens",
        "seal_scope",
        "seals",
        "to_open_one",
        "to_seal_one",
    )

    def __init__(
        self,
        seals: tuple[tuple[int, Item, Context], ...],
        opens: tuple[tuple[int, Item, Context], ...],
    ) -> None:
        """Take the contexts of each item."""
        self.seals = seals
        self.opens = opens
        self.seal_scope = _only_scope(seals)
        self.open_scope = _only_scope(opens)
        items = (*seals, *opens)
        self.only = items[0][0] if len(items) == 1 else None
        self._needs: dict[tuple[int, KeyId | None], Needs] = {}
        self.to_seal_one = self.needs(1, None)
        self.to_open_one: dict[KeyId, Needs] = {}

    def opening_one(self, key_id: KeyId) -> Needs:
        """Remember the keys to open one token, as in `to_open_one`."""
        if len(self.to_open_one) >= _NEEDS_KEPT:
            self.to_open_one.clear()
        needs = self.to_open_one[key_id] = self.needs(0, key_id)
        return needs

    def needs(self, count: int, key_id: KeyId | None) -> Needs:
        """Return the keys to seal so many values, and to open tokens of one session if any.

        For messages whose values have one scope. Often the same keys are needed again.
        """
        needs = self._needs.get((count, key_id))
        if needs is None:
            if len(self._needs) >= _NEEDS_KEPT:
                self._needs.clear()
            seals = {} if self.seal_scope is None or not count else {self.seal_scope: count}
            opens = (
                set() if self.open_scope is None or key_id is None else {(self.open_scope, key_id)}
            )
            needs = self._needs[count, key_id] = Needs(seals, frozenset(opens))
        return needs


def _only_scope(items: Sequence[tuple[int, Item, Context]]) -> Scope | None:
    scopes = {context.scope for _, _, context in items}
    return scopes.pop() if len(scopes) == 1 else None


class PlainJson:
    """The items of one block whose values lie at plain paths, bound by names of the message.

    `finder` finds the values, `strides` has for each path how many numbers it gives for a value,
    `required` is the mask of what must not be missing. `keeps` are the indexes of the names that
    are kept for the response. `at_will`: all that is sealed is optional. `sources` are those of the
    names that are not constant, each with its index in the message, None where it lies elsewhere.
    """

    __slots__ = (
        "_bound",
        "_constants",
        "_opens",
        "_parts",
        "_seals",
        "at_will",
        "finder",
        "keeps",
        "named",
        "required",
        "sources",
        "spelled",
        "strides",
    )

    def __init__(  # noqa: PLR0913 - what a block tells of itself, each by name
        self,
        finder: Finder,
        strides: Sequence[int],
        encrypt: Sequence[Placed],
        decrypt: Sequence[Placed],
        *,
        sources: Mapping[NamedPart, Source],
        here: Mapping[JsonSource, int],
        keeps: Sequence[JsonSource],
        lenient: bool,
        at_will: bool,
    ) -> None:
        """Make ready, for sources that `is_simple`.

        `here` has the place of each source that is read from the message at hand; those in `keeps`
        are kept from it for its answer. `lenient` says that nothing to be opened is ever missing.
        """
        self.finder = finder
        self.strides = tuple(strides)
        self._seals = tuple((one.index, one.item) for one in encrypt)
        self._opens = tuple((one.index, one.item) for one in decrypt)
        required = (
            one for one in (*encrypt, *(() if lenient else decrypt)) if not one.item.optional
        )
        self.required = sum({1 << one.index for one in required})
        self.at_will = at_will
        self.keeps = tuple(here[one] for one in keeps)
        bound = {part for one in (*encrypt, *decrypt) for part in one.item.bind}
        named = [(at, sources[part]) for at, part in enumerate(_PARTS) if part in bound]
        self._constants = {at: one.name for at, one in named if _is_constant(one)}
        named = [(at, one) for at, one in named if at not in self._constants]
        self._parts = tuple(at for at, _ in named)
        self.sources = tuple((one, _here(one, here)) for _, one in named)
        self._bound: dict[Names, Bound] = {}
        self.spelled: dict[bytes, tuple[Bound, Names]] = {}
        """What the only name binds, by the JSON text that spells it, and that name."""
        self.named: dict[str, tuple[Bound, Names]] = {}
        """What the only name binds, by that name, and nothing to keep."""

    def spell(self, literal: bytes, name: str) -> tuple[Bound, Names] | None:
        """Remember what the only name binds by a JSON text that spells it, as in `spelled`."""
        names = (name,)
        bound = self.bound(names)
        if bound is None:
            return None
        if len(literal) <= _KEPT_CHARS:
            if len(self.spelled) >= _REMEMBERED:
                self.spelled.clear()
            self.spelled[literal] = bound, names
        return bound, names

    def bind_only(self, name: str) -> tuple[Bound, Names] | None:
        """Remember what the only name binds, as in `named`."""
        bound = self.bound((name,))
        if bound is None:
            return None
        if len(name) <= _KEPT_CHARS:
            if len(self.named) >= _REMEMBERED:
                self.named.clear()
            self.named[name] = bound, ()
        return bound, ()

    def bound(self, names: Names) -> Bound | None:
        """Return the contexts that names make, ordered as `sources`; None for too long ones."""
        bound = self._bound.get(names)
        return bound or self._bind(names)

    def _bind(self, names: Names) -> Bound | None:
        parts = self._constants | dict(zip(self._parts, names, strict=True))
        seals, opens = (
            tuple((index, item, _context(item, parts)) for index, item in items)
            for items in (self._seals, self._opens)
        )
        size = sum(map(len, parts.values()))
        if size * (len(seals) + len(opens)) > NAMES_MAX:
            return None
        bound = Bound(seals, opens)
        if size <= _KEPT_CHARS:
            if len(self._bound) >= _REMEMBERED:
                self._bound.clear()
            self._bound[names] = bound
        return bound


def is_simple(source: Source) -> bool:
    """Return whether a source gives one text, where it is read from the message at a plain path."""
    if isinstance(source, JsonSource):
        steps = source.selector.steps
        return not source.member_name and all(isinstance(one.key, str) for one in steps)
    return isinstance(source, NameSource)


def name_of(body: bytes, place: Sequence[int]) -> str | None:
    """Return the name that a JSON value is: a string or a whole number; None where it is none."""
    start, end = place
    if body[start] != _QUOTE:
        literal = body[start:end]
        return literal.decode("ascii") if _CANONICAL_INTEGER.fullmatch(literal) else None
    text = body[start + 1 : end - 1]
    return text.decode() if b"\\" not in text else unescape(body[start:end])


def _here(source: Source, here: Mapping[JsonSource, int]) -> int | None:
    return here.get(source) if isinstance(source, JsonSource) else None


def _is_constant(source: Source) -> TypeGuard[NameSource]:
    return isinstance(source, NameSource) and source.place == "const"


def _context(item: Item, parts: Mapping[int, str]) -> Context:
    tenant, conversation, message = (
        parts[at] if part in item.bind else None for at, part in enumerate(_PARTS)
    )
    field = item.field if "field" in item.bind else None
    purpose = item.purpose if "purpose" in item.bind else None
    return Context(Scope(tenant, conversation), field, message, purpose)

"""Ordinary messages: JSON whose selected values are searched for by their names.

What the general way finds is found here in fewer steps, since nearly every message is of this
kind. Wherever that is not certain nothing is found, and the general way has its turn: it alone
tells what is wrong with a message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeGuard, cast

from ..crypto.context import Context, Scope
from ..crypto.joined_names import Name
from ..crypto.token import CTY_JSON, KeyId, Token, decoded_token, token_or_none
from ..edits.edits import OpenEdit, SealEdit
from ..edits.key_needs import Needs
from ..errors import OpenFailed
from ..expressions.sources import JsonSource, NameSource, Source
from ..formats.json.lexer import value_end
from ..formats.json.probe import NameSearch, Seen
from ..leaves.strict_json import after_space
from ..rules.model import Item, NamedPart, Placed

Facts = dict[JsonSource, Name | None]
NameReader = Callable[[NameSource], str | None]

_PARTS: Final[tuple[NamedPart, ...]] = ("tenant", "conversation", "message")
_REMEMBERED: Final = 1024
"""So many names are remembered with their contexts: clients choose them, so not without end."""
_UNBOUND: Final = Context()

_Edit = SealEdit | OpenEdit
Found = tuple[tuple[_Edit, ...], Needs | None]
"""What is to be done to one message, and the keys for it where they are the usual ones."""

_All = Sequence[Sequence[Seen]]
"""The values at each path."""
_Names = tuple[str, ...]


class _Bound:
    """The contexts that some names make, each with its item, and the keys of the usual message.

    Usual is one value for each that seals, and for those that open tokens of one session.
    """

    __slots__ = ("_recent", "opens", "seals")

    def __init__(
        self,
        seals: tuple[tuple[int, Item, Context], ...],
        opens: tuple[tuple[int, Context], ...],
    ) -> None:
        self.seals = seals
        self.opens = opens
        self._recent: tuple[KeyId | None, Needs] = None, self._needs(None)

    def needs(self, key_id: KeyId | None) -> Needs:
        """Return the keys that a usual message needs; `key_id` is that of all of its tokens."""
        recent, needs = self._recent
        if key_id is not recent:  # tokens of one session often follow each other
            needs = self._needs(key_id)
            self._recent = key_id, needs
        return needs

    def _needs(self, key_id: KeyId | None) -> Needs:
        opens = {(context.scope, key_id) for _, context in self.opens if key_id is not None}
        return Needs(dict(Counter(one.scope for *_, one in self.seals)), frozenset(opens))


class FastJson:
    """The items of one block whose values lie at plain paths, bound by names of the message."""

    __slots__ = (
        "_at_will",
        "_bound",
        "_constants",
        "_keeps",
        "_named",
        "_opens",
        "_probe",
        "_required",
        "_seals",
    )

    def __init__(  # noqa: PLR0913 - what a block tells of itself, each by name
        self,
        probe: NameSearch,
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
        are kept from it for its answer. `lenient` says that nothing to be opened is ever missing,
        `at_will` that all that is sealed is optional.
        """
        self._probe = probe
        self._seals = tuple((one.index, one.item) for one in encrypt)
        self._opens = tuple((one.index, one.item) for one in decrypt)
        self._required = frozenset(
            one.index for one in (*encrypt, *(() if lenient else decrypt)) if not one.item.optional
        )
        self._at_will = at_will
        self._keeps = tuple((one, here[one]) for one in keeps)
        bound = {part for one in (*encrypt, *decrypt) for part in one.item.bind}
        named = [(at, sources[part]) for at, part in enumerate(_PARTS) if part in bound]
        self._constants = {at: one.name for at, one in named if _is_constant(one)}
        self._named = tuple(
            (at, one, _here(one, here, keeps)) for at, one in named if at not in self._constants
        )
        self._bound: dict[_Names, _Bound] = {}

    def find(  # noqa: PLR0911 - each is a doubt of its own
        self, body: bytes, facts: Facts, read: NameReader
    ) -> Found | None:
        """Return what is to be done to a JSON text, or None where the general way must tell.

        `facts` holds what was kept from the request, or takes it; `read` reads a name outside of
        the body. Raises MessageError for what the general way would refuse before it looks further.
        """
        if not self._probe.suits(body):
            return None
        text = self._probe.read(body)
        try:
            start = 0 if text.startswith("{") else after_space(text, 0)
            probed = self._probe.find(text, start)
        except (ValueError, StopIteration, RecursionError):
            return None
        if probed is None:
            return None
        _, end, (seen, missing) = probed
        if end != len(text) and after_space(text, end) != len(text):
            return None
        if missing and not self._required.isdisjoint(missing):
            return None
        names = self._names(seen, facts, read)
        if names is None:
            return None
        bound = self._bound.get(names)
        if bound is None:
            bound = self._bind(names)
        edits: list[_Edit] = []
        sealing = _seal(body, text, seen, bound, edits) if bound.seals else True
        if self._at_will and not edits:
            return None
        key_id, opening = _open(text, seen, bound, edits) if bound.opens else (None, True)
        return tuple(edits), bound.needs(key_id) if sealing and opening else None

    def _names(self, seen: _All, facts: Facts, read: NameReader) -> _Names | None:
        """Return the names that bind the values, or None where one is missing or is no string.

        Those that the answer needs are kept for it.
        """
        value: object
        for kept, index in self._keeps:
            value = seen[index][0][0] if seen[index] else None
            if value is not None and (type(value) is not str or not value):
                return None
            facts[kept] = value if value is None or value.isascii() else _text(value)
        names: list[str] = []
        for _, source, here in self._named:
            if here is not None:
                value = seen[here][0][0] if seen[here] else None
            elif type(source) is JsonSource:
                value = facts.get(source)
            else:
                value = read(cast("NameSource", source))
            if type(value) is not str or not value:
                return None
            names.append(value if here is None or value.isascii() else _text(value))
        return tuple(names)

    def _bind(self, names: _Names) -> _Bound:
        """Return the contexts that names make, and remember them."""
        parts = self._constants | {
            at: name for (at, *_), name in zip(self._named, names, strict=True)
        }
        bound = _Bound(
            tuple((index, item, _context(item, parts)) for index, item in self._seals),
            tuple((index, _context(item, parts)) for index, item in self._opens),
        )
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


def _here(
    source: Source, here: Mapping[JsonSource, int], keeps: Sequence[JsonSource]
) -> int | None:
    """Return where a source is read in the message, or None where it is kept or lies outside."""
    return here.get(source) if isinstance(source, JsonSource) and source not in keeps else None


def _is_constant(source: Source) -> TypeGuard[NameSource]:
    return isinstance(source, NameSource) and source.place == "const"


def _context(item: Item, parts: Mapping[int, str]) -> Context:
    tenant, conversation, message = (
        parts[at] if part in item.bind else None for at, part in enumerate(_PARTS)
    )
    field = item.field if "field" in item.bind else None
    purpose = item.purpose if "purpose" in item.bind else None
    return Context(Scope(tenant, conversation), field, message, purpose)


def _text(value: str) -> str:
    """Return a string that was read with one character for each byte as the text that it is."""
    return value if value.isascii() else value.encode("latin-1").decode()


def _seal(body: bytes, text: str, seen: _All, bound: _Bound, edits: list[_Edit]) -> bool:
    """Add the edits that seal; return whether there is one for each item, and none for a token."""
    usual = True
    for index, item, context in bound.seals:
        values = seen[index]
        usual = usual and len(values) == 1
        for value, start in values:
            end = value_end(text, value, start)
            if type(value) is str:
                plaintext = value.encode("latin-1")
                token = token_or_none(plaintext)
                usual = usual and token is None
                edits.append(SealEdit(start, end, item, context, plaintext, None, token))
            else:
                edits.append(SealEdit(start, end, item, context, body[start:end], CTY_JSON))
    return usual


def _open(text: str, seen: _All, bound: _Bound, edits: list[_Edit]) -> tuple[KeyId | None, bool]:
    """Add the edits that open; return the id of their key, and whether it is that of each item."""
    usual = True
    key_id: KeyId | None = None
    for index, context in bound.opens:
        values = seen[index]
        usual = usual and len(values) > 0
        for value, start in values:
            token = decoded_token(value.encode("latin-1")) if type(value) is str else _no_token()
            if type(value) is not str or type(token) is not Token:
                usual = False
                end = value_end(text, value, start)
                edits.append(OpenEdit(start, end, _UNBOUND, token, "json"))
                continue
            end = start + len(value) + 2  # without `\u`, a token is spelled as it reads
            edits.append(OpenEdit(start, end, context, token, "json"))
            if token.key_id is not key_id:
                usual = usual and key_id is None
                key_id = token.key_id
    return key_id, usual


def _no_token() -> OpenFailed:
    return OpenFailed("not-a-token")

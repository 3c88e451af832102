"""What a block does to JSON whose values lie at paths of names: found and bound in a few steps.

This is compiled for the block; the names that bind the values are its arguments. Whatever is not
certain is left to the walk, which tells what is wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final, Literal, NamedTuple, TypeGuard, cast

from ..crypto.context import Context, Scope
from ..crypto.joined_names import Name
from ..crypto.token import CTY_JSON, PREFIXES, KeyId, decode_header
from ..errors import OpenFailed
from ..expressions.sources import JsonSource, NameSource, SameSource, Source, giving, json_sources
from ..formats.json import Selection, unescape, unescaped
from ..formats.json.closed import ClosedJson
from ..leaves import Finder, tokens_at
from ..policy import KEPT_NAME_CHARS, KEPT_NEEDS, PORTION_BYTES, USUAL_BOUND_CHARS
from ..rules.model import Block, Item, NamedPart, Placed
from ..slices import pause
from ..values.hows import Open, Seal
from ..values.key_needs import UNIT_BITS, Needs
from ..values.outcomes import NOTHING_GOT, Got, Outcome
from ..values.strings import UsualTexts, UsualTokens
from ..values.table import UNBOUND, Lookup, Values, lookup

_PARTS: Final[tuple[NamedPart, ...]] = ("tenant", "conversation", "message")
_UNNAMED: Final = len(_PARTS)
"""Where a part of a context stands that no name binds: behind all of them."""
_REMEMBERED: Final = 1024
"""So many names are kept with their contexts: clients choose them, so not without end."""
_REPEATED: Final = 512
"""Of so many values at most the contexts are kept: clients choose how many there are, too."""
_QUOTE: Final = ord('"')
_STRINGS: Final = {_QUOTE}
_CANONICAL_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]*")
_NOWHERE: Final = -1
_PLACE: Final = 2
"""A value that lies in no list has a start and an end, and no element."""
PORTION: Final = 256
"""So many tokens of a list are read between two pauses, if they lie within so many bytes."""

Places = Sequence[Sequence[int]]
"""The values at each path, flat: where one begins and ends, then its element of each list."""
Kept = tuple[Name | None, ...]
"""The names of a request's body that its response needs."""


class _Named(NamedTuple):
    """A name of the message at hand: where, which it is, if kept, or only compared with that."""

    place: int
    at: int
    keeps: bool
    same: bool = False


class GivenNames(NamedTuple):
    """The names that lie outside of a message's body, in their places; others are empty.

    `kept` are those that the request's body leaves, each with its place and which it is there.
    """

    names: tuple[str, ...]
    kept: tuple[tuple[int, int], ...]


class Bound:
    """The contexts that some names make, in the order of the items, and the keys for them."""

    __slots__ = ("_needs", "_opens", "_repeated", "_sealing", "contexts", "scope")

    def __init__(self, contexts: tuple[Context, ...], seals: int) -> None:
        """Take the contexts, the first of which are for sealing."""
        self.contexts: Final = contexts
        scopes = [one.scope for one in contexts]
        self.scope: Final = scopes[0] if len(set(scopes)) == 1 else None
        """The scope of all contexts, if it is one."""
        self._opens: Final = contexts[seals:]
        sealing = scopes[:seals]
        self._sealing: Final = Needs({one: sealing.count(one) for one in dict.fromkeys(sealing)})
        self._needs: Final[dict[object, Needs]] = {}
        self._repeated: tuple[list[int], tuple[Context, ...]] = [], ()

    def of_each(self, counts: list[int]) -> tuple[Context, ...]:
        """Return the context of each value, where items have so many values.

        That is the same object for the same counts in a row, as lists by the page have them.
        """
        if counts.count(1) == len(counts):
            return self.contexts
        if counts != self._repeated[0]:
            each = zip(self.contexts, counts, strict=True)
            contexts = tuple([one for context, count in each for one in (context,) * count])
            if len(contexts) > _REPEATED:
                return contexts
            self._repeated = counts, contexts
        return self._repeated[1]

    def needs_of(self, usual: UsualTexts | UsualTokens, size: int) -> Needs:
        """Return the keys for usual strings of a body of `size` bytes.

        That is the same object for the same session, unless the body is large.
        """
        if isinstance(usual, UsualTexts):
            count = len(usual.texts)
            if size >> UNIT_BITS:  # it may hold a long value
                count += sum(len(one) >> UNIT_BITS for one in usual.texts)
            if count == len(self.contexts):
                return self._sealing
            return Needs(dict.fromkeys(self._sealing.seals, count))
        found = self._needs.get((usual.key_id,))
        if found is None:
            of_one = self.contexts[0].scope, usual.key_id
            found = self._keep((usual.key_id,), Needs({}, frozenset((of_one,))))
        return found

    def needs(self, ids: list[KeyId]) -> Needs:
        """Return the keys for one value of each item; `ids` are those in the tokens.

        The same object is returned for the same ids.
        """
        if not ids:
            return self._sealing
        key = ids[0] if len(ids) == 1 else tuple(ids)
        found = self._needs.get(key)
        if found is None:
            scopes = (one.scope for one in self._opens)
            opens = frozenset(zip(scopes, ids, strict=True))
            found = self._keep(key, Needs(self._sealing.seals, opens))
        return found

    def _keep(self, key: object, needs: Needs) -> Needs:
        if len(self._needs) >= KEPT_NEEDS:
            self._needs.clear()
        self._needs[key] = needs
        return needs


Named = tuple[Bound, Kept]
"""What names make, and those of them to be kept."""


class FlatJson:
    """The items of one block whose values lie at plain paths.

    `finder` finds the values. `at_will`: all that is sealed is optional. `sources` are those of the
    names that are not constant, each with its index in the message, None where it lies elsewhere.
    `required` is the mask of what must not be missing. `named_in_head`: a name lies in the head;
    else `given` are the names that lie outside of a message, with what is kept of its request, once
    those are known. `shows`: callers may get less than a value. `usual` is what the block does,
    sealing or opening, if it does one of them and its tokens are of no special kind; else it is
    empty.
    """

    __slots__ = (
        "_bind_of_each",
        "_binds",
        "_bound",
        "_closed",
        "_constants",
        "_here",
        "_items",
        "_lying",
        "_misfits",
        "_opens",
        "_parents",
        "_parts",
        "_seals",
        "_single",
        "at_will",
        "finder",
        "given",
        "named_in_head",
        "required",
        "shows",
        "sources",
        "usual",
    )

    def __init__(  # noqa: PLR0913 - what a block tells of itself, each by name
        self,
        finder: Finder,
        strides: Sequence[int],
        block: Block,
        encrypt: Sequence[Placed],
        decrypt: Sequence[Placed],
        *,
        sources: Mapping[NamedPart, Source],
        here: Mapping[JsonSource, int],
        keeps: Sequence[JsonSource],
        closed: ClosedJson | None,
        misfits: tuple[frozenset[int], Selection] | None = None,
        lenient: bool,
        at_will: bool,
    ) -> None:
        """Make ready, for sources that `is_simple`.

        `here` has the place of each source that is read from the message at hand; those in `keeps`
        are kept from it for its answer. `closed` lists what else it may hold, `misfits` finds
        what stands on the way to a value that is missing, `lenient` says that nothing to be opened
        is ever missing.
        """
        self.finder = finder
        self._closed = closed
        self._misfits = misfits
        self._parents = sum({1 << at for at in misfits[0]}) if misfits is not None else 0
        self._items = tuple(one.item for one in (*encrypt, *decrypt))
        self._seals = tuple(
            (
                one.index,
                Seal(one.item, block, between=True),
                Seal(one.item, block, quoted=True),
                strides[one.index],
            )
            for one in encrypt
        )
        self._opens = tuple(
            (one.index, Open(block, "json", one.item), strides[one.index]) for one in decrypt
        )
        required = (
            one for one in (*encrypt, *(() if lenient else decrypt)) if not one.item.optional
        )
        self.required = sum({1 << one.index for one in required})
        self.at_will = at_will
        bound = {part for one in (*encrypt, *decrypt) for part in one.item.bind}
        named = [(at, sources[part]) for at, part in enumerate(_PARTS) if part in bound]
        self.usual: Final = _usual(encrypt, decrypt)
        self._lying = tuple((one.index, strides[one.index]) for one in (*encrypt, *decrypt))
        self._single: Callable[[Places], Iterable[Sequence[int]]] | None = None
        if self._lying and all(stride == _PLACE for _, stride in self._lying):
            indexes = [index for index, _ in self._lying]
            # Of one index, the getter returns no sequence.
            keys = indexes if len(indexes) > 1 else [slice(one, one + 1) for one in indexes]
            self._single = itemgetter(*keys)
        self.shows: Final = any(
            how.item is not None and how.item.shown for _, how, _ in self._opens
        )
        binds = [_bind_of(item) for item in self._items]
        self._binds = tuple(dict.fromkeys(binds))
        self._bind_of_each = tuple(map(self._binds.index, binds))
        constants = {at: one.name for at, one in named if _is_constant(one)}
        self._constants = tuple(constants.get(at) for at in range(_UNNAMED + 1))
        named = [(at, one) for at, one in named if at not in constants]
        self._parts = tuple(at for at, _ in named)
        self.sources = tuple((giving(one), _index(one, here)) for _, one in named)
        self._here = self._read_here([here[one] for one in keeps]) + tuple(
            _Named(here[place], at, keeps=False, same=True)
            for at, (_, one) in enumerate(named)
            if isinstance(one, SameSource)
            for place in json_sources(one)
            if place in here
        )
        self._bound: dict[object, Named] = {}
        self.named_in_head: Final = any(isinstance(one, NameSource) for one, _ in self.sources)
        self.given: tuple[Sequence[JsonSource], GivenNames] | None = None

    def _read_here(self, keeps: Sequence[int]) -> tuple[_Named, ...]:
        """Return what is read from the message at hand: first what is kept, in its order."""
        found = [_Named(index, _NOWHERE, keeps=True) for index in keeps]
        for at, (_, index) in enumerate(self.sources):
            if index is not None and index in keeps:
                found[keeps.index(index)] = _Named(index, at, keeps=True)
            elif index is not None:
                found.append(_Named(index, at, keeps=False))
        return tuple(found)

    def find(self, body: bytes) -> Places | None:
        """Return where the values lie; None where one is missing, or it is not certain.

        So also where something is not listed.
        """
        found = self.finder.find(body)
        if found is None or found[0] & self.required:
            return None
        if found[0] & self._parents and self._misfits is not None:
            parents, selection = self._misfits
            if selection.walk(body).misfit(parents):
                return None
        return found[1] if self._closed is None or self._closed.is_clear(body) else None

    def bind(self, body: bytes, places: Places, given: GivenNames, kept: Kept) -> Named | None:
        """Return the contexts of the items, and the names to be kept; None where one is unfit.

        `kept` are the names of the request's body.
        """
        spots = [places[one.place] for one in self._here]
        spelled = tuple([body[one[0] : one[1]] if one else None for one in spots])
        # No other name: each may be long, and is another for each request.
        asked = tuple([kept[which] for _, which in given.kept])
        known = given.names, asked, spelled
        named = self._bound.get(known)
        if named is None:
            named = self._bind(given, asked, spelled)
            if named is not None and _size(known) <= KEPT_NAME_CHARS:
                if len(self._bound) >= _REMEMBERED:
                    self._bound.clear()
                self._bound[known] = named
        return named

    def _bind(
        self, given: GivenNames, asked: Kept, spelled: tuple[bytes | None, ...]
    ) -> Named | None:
        names = [*given.names]
        for (at, _), name in zip(given.kept, asked, strict=True):
            if type(name) is not str:
                return None
            names[at] = name
        leaves: list[Name | None] = []
        for (_, at, keeps, same), literal in zip(self._here, spelled, strict=True):
            text = None if literal is None else _name_of(literal)
            if same:
                if literal is not None and text != names[at]:
                    return None
                continue
            # A name that only the response needs may be missing.
            if not text and (literal is not None or at != _NOWHERE):
                return None
            if text and at != _NOWHERE:
                names[at] = text
            if keeps:
                leaves.append(text)
        contexts = self._contexts(names)
        return None if contexts is None else (Bound(contexts, len(self._seals)), tuple(leaves))

    def _contexts(self, names: Sequence[str]) -> tuple[Context, ...] | None:
        """Return the context of each item's values; None where names are long.

        Equal scopes are one object, and so are the contexts of items that bind the same.
        """
        parts: list[str | None] = [*self._constants]
        for at, name in zip(self._parts, names, strict=True):
            parts[at] = name
        if sum([len(one) for one in parts if one]) * len(self._items) > USUAL_BOUND_CHARS:
            return None
        scopes: dict[tuple[str | None, str | None], Scope] = {}
        contexts = []
        for tenant, conversation, message, field, purpose in self._binds:
            scope = scopes.get(of := (parts[tenant], parts[conversation]))
            if scope is None:
                scope = scopes[of] = Scope(*of)
            contexts.append(Context(scope, field, parts[message], purpose))
        return tuple([contexts[at] for at in self._bind_of_each])

    def spots(self, places: Places, bound: Bound) -> tuple[list[int], tuple[Context, ...]]:
        """Return where each value begins and ends, and its context, item after item."""
        if self._single is not None:  # each path has one value, or none
            spots = [*chain.from_iterable(self._single(places))]
            if len(spots) == _PLACE * len(bound.contexts):
                return spots, bound.contexts
        spots, counts = [], []
        for index, stride in self._lying:
            lying = places[index]
            spots += lying if stride == len(lying) == _PLACE else _apart(lying, stride)
            counts.append(len(lying) // stride)
        return spots, bound.of_each(counts)

    def shown(self, places: Places) -> Got:
        """Return what callers get of the values at these places, all of which are opened."""
        shown: dict[tuple[str, Outcome], int] = {}
        for index, how, stride in self._opens:
            count = len(places[index]) // stride
            if how.item is not None and how.item.shown is not None and count:
                key: tuple[str, Outcome] = how.item.field, "opened"
                shown[key] = shown.get(key, 0) + count
        return shown or NOTHING_GOT

    def fill(self, values: Values, body: bytes, places: Places, bound: Bound) -> Needs | None:
        """Add a row for each value.

        Return the keys that they need, if those are known: there is one value of each item.
        """
        contexts, each = iter(bound.contexts), True
        for index, between, quoted, stride in self._seals:
            context, spots = next(contexts), places[index]
            if len(spots) == stride:
                start, end = spots[0], spots[1]
                text = body[start + 1 : end - 1]
                if body[start] != _QUOTE or b"\\" in text or text.startswith(PREFIXES):
                    _add_one(values, (between, quoted), context, body, start, end)
                else:
                    values.add(between, context, start + 1, end - 1, text)
                continue
            each = False
            if spots:
                _add_sealed(values, (between, quoted), context, body, _apart(spots, stride))
        ids: list[KeyId] = []
        for index, how, stride in self._opens:
            context, spots = next(contexts), places[index]
            if len(spots) != stride:
                each = False
                if spots:
                    add_opened(values, how, context, body, _apart(spots, stride))
                continue
            start, end = spots[0], spots[1]
            text = body[start + 1 : end - 1]
            is_plain = body[start] == _QUOTE and b"\\" not in text
            found = lookup(text) if is_plain else _lookup(body, start, end)
            if type(found) is tuple:
                ids.append(decode_header(found[0])[0])
            elif type(found) is OpenFailed:
                context = UNBOUND
            values.add(how, context, start, end, found)
        known = each and len(ids) == len(self._opens) and not values.alike
        known = known and not len(body) >> UNIT_BITS  # where it may hold a long value
        return bound.needs(ids) if known else None


def _usual(encrypt: Sequence[Placed], decrypt: Sequence[Placed]) -> Literal["", "seals", "opens"]:
    if encrypt and decrypt:
        return ""
    if any(one.item.is_special for one in encrypt):
        return ""
    return "seals" if encrypt else "opens"


def _add_one(  # noqa: PLR0913, PLR0917 - what a row is made of
    values: Values, how: tuple[Seal, Seal], context: Context, body: bytes, start: int, end: int
) -> None:
    """Add a value that is to be sealed: a string, or other JSON."""
    if body[start] != _QUOTE:
        values.add(how[1], context, start, end, body[start:end], CTY_JSON)
        return
    text = body[start + 1 : end - 1]
    if b"\\" in text:
        text = unescaped(body[start:end])
    row = values.add(how[0], context, start + 1, end - 1, text)
    if text.startswith(PREFIXES):
        values.compare(row, text)


def _add_sealed(
    values: Values, how: tuple[Seal, Seal], context: Context, body: bytes, spots: list[int]
) -> None:
    """Add the values of a list, those strings together that no other value parts."""
    escapes, looks = b"\\" in body, any(one in body for one in PREFIXES)
    for some in _portions(spots):
        usual = {body[start] for start in some[::2]} == _STRINGS
        texts = [body[start + 1 : end - 1] for start, end in _pairs(some)]
        if escapes or looks:
            usual = usual and not any(b"\\" in one or one.startswith(PREFIXES) for one in texts)
        if not usual:
            for start, end in _pairs(some):
                _add_one(values, how, context, body, start, end)
            continue
        inner = [0] * len(some)
        inner[::2] = [start + 1 for start in some[::2]]
        inner[1::2] = [end - 1 for end in some[1::2]]
        values.extend(how[0], context, inner, texts)


def add_opened(values: Values, how: Open, context: Context, body: bytes, spots: list[int]) -> None:
    """Add the rows of JSON values of one context, each between two of the `spots`."""
    for some in _portions(spots):
        found: list[Lookup | None] = [*tokens_at(body, some)]
        _refuse_foreign_heads(found)
        others = [at for at, one in enumerate(found) if one is None] if None in found else []
        for at in others:
            found[at] = _lookup(body, some[2 * at], some[2 * at + 1])
        first = len(values)
        values.extend(how, context, some, cast("list[Lookup]", found))
        for at in others:
            if isinstance(found[at], OpenFailed):
                values.contexts[first + at] = UNBOUND


def _lookup(body: bytes, start: int, end: int) -> Lookup:
    """Return the token that a JSON value is, taken apart, or why it is none."""
    if body[start] != _QUOTE:
        return OpenFailed("not-a-token")
    text = body[start + 1 : end - 1]
    return lookup(text if b"\\" not in text else unescaped(body[start:end]))


def _refuse_foreign_heads(found: list[Lookup | None]) -> None:
    """Leave those out whose head is not encoded like ours; most of a list have one head."""
    heads = {one[0] for one in found if one is not None}  # type: ignore[index]  # taken apart
    if all(map(_is_ours, heads)):
        return
    head, known = b"", True
    for at, one in enumerate(found):
        if one is not None:
            parts = cast("tuple[bytes, bytes, bytes]", one)
            if parts[0] is not head:
                head, known = parts[0], _is_ours(parts[0])
            if not known:
                found[at] = None


def _is_ours(head: bytes) -> bool:
    try:
        decode_header(head)
    except OpenFailed:
        return False
    return True


def _apart(flat: Sequence[int], stride: int) -> list[int]:
    """Return where values begin and end, without their elements of lists."""
    spots = [*flat]
    for more in range(stride - 2, 0, -1):
        del spots[2 :: 2 + more]
    return spots


def _pairs(spots: list[int]) -> Iterator[tuple[int, int]]:
    """Return where each value begins and ends."""
    ends = iter(spots)
    return zip(ends, ends, strict=True)


def _portions(spots: list[int]) -> Iterator[list[int]]:
    """Yield the places of as many values as are worked at between two pauses."""
    if len(spots) <= PORTION and spots[-1] - spots[0] <= PORTION_BYTES:
        yield spots  # as nearly always
        return
    at = 0
    while at < len(spots):
        pause()
        end = min(bisect_right(spots, spots[at] + PORTION_BYTES, at), at + 2 * PORTION)
        end = max(at + 2, end - end % 2)
        yield spots[at:end]
        at = end


def is_simple(source: Source) -> bool:
    """Return whether a source gives one text, all places of it in the message at plain paths."""
    if isinstance(source, SameSource):
        simple = isinstance(source.source, NameSource) and source.source.place != "const"
        return simple and all(isinstance(one, JsonSource) and is_simple(one) for one in source.also)
    if isinstance(source, JsonSource):
        steps = source.selector.steps
        return not source.member_name and all(isinstance(one.key, str) for one in steps)
    return isinstance(source, NameSource)


def _size(known: tuple[tuple[str, ...], Kept, tuple[bytes | None, ...]]) -> int:
    """Return how long names are, in characters as they are spelled."""
    return sum([len(one) for names in known for one in names if isinstance(one, str | bytes)])


def _name_of(literal: bytes) -> str | None:
    """Return the name that a JSON value is: a string or a whole number; None where it is none."""
    if literal[0] != _QUOTE:
        return literal.decode("ascii") if _CANONICAL_INTEGER.fullmatch(literal) else None
    return literal[1:-1].decode() if b"\\" not in literal else unescape(literal)


def _index(source: Source, here: Mapping[JsonSource, int]) -> int | None:
    return here.get(source) if isinstance(source, JsonSource) else None


def _is_constant(source: Source) -> TypeGuard[NameSource]:
    return isinstance(source, NameSource) and source.place == "const"


def _bind_of(item: Item) -> tuple[int, int, int, str | None, str | None]:
    """Return the places of the names that bind an item, _UNNAMED where none does, and the rest."""
    tenant, conversation, message = (
        at if part in item.bind else _UNNAMED for at, part in enumerate(_PARTS)
    )
    field = item.field if "field" in item.bind else None
    return tenant, conversation, message, field, item.purpose if "purpose" in item.bind else None

"""From a selected value to its row: in a body as it is, or in a text that the body holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..compiled.block import CompiledBlock
from ..crypto.context import Context
from ..crypto.token import CTY_JSON
from ..errors import OpenFailed
from ..expressions.selectors import Any, JsonSelector, Step
from ..formats.body_format import Record, Selection, as_it_is
from ..formats.embedded_tokens import FoundToken
from ..formats.escaping import TextPlace
from ..formats.json import FoundValue, Path
from ..formats.json import Selection as JsonSelection
from ..formats.json.lexer import Within
from ..formats.urlencoded import FormSelection
from ..rules.model import Item, Placed
from ..slices import paused
from ..values.hows import Open, Seal, Spell
from ..values.table import InText, Lookup, Values, lookup
from .binding import Binder

Reads = Selection | type[JsonSelection] | type[FormSelection]
"""What reads and spells values; those of JSON and of a query need no selectors for it."""


def found_token(
    selection: Reads,
    binder: Binder,
    placed: Placed,
    found: FoundValue,
    body: bytes,
) -> Lookup:
    """Return the token that a value is, or why it is none or must stay."""
    text = _reads(selection, found).text(found.raw(body))
    token = OpenFailed("not-a-token") if text is None else lookup(text)
    return binder.taken(placed, found.path, token)


def is_text(selection: Reads, found: FoundValue, body: bytes) -> bool:
    """Return whether a value reads as a text, as a token does."""
    return _reads(selection, found).text(found.raw(body)) is not None


def _reads(selection: Reads, found: FoundValue) -> Reads:
    """Return what reads a value: in a text it is JSON, whatever the body is."""
    return selection if found.within is None else JsonSelection


class ItemSealing:
    """How the values of one item are sealed: strings of JSON, other JSON, and texts."""

    __slots__ = ("_as_it_is", "_between", "_quoted", "_selection")

    def __init__(
        self, selection: Reads, item: Item, compiled: CompiledBlock, kind: type[Seal] = Seal
    ) -> None:
        """Make ready for values that the selection finds."""
        self._selection = selection
        self._between = kind(item, compiled.block, between=True)
        self._quoted = kind(item, compiled.block, quoted=True)
        self._as_it_is = kind(item, compiled.block)

    def add(self, values: Values, context: Context, body: bytes, found: FoundValue) -> int:
        """Add the row of a value; return its number."""
        _, start, end, within = found
        raw, reads = found.raw(body), _reads(self._selection, found)
        text = reads.text(raw)
        if reads.spell is not None:
            how, shift = self._as_it_is, 0
        elif text is None:
            how, shift = self._quoted, 0
        else:
            how, shift = self._between, 1
        if within is not None:
            row = _add_within(values, how, context, within, shift)
        else:
            row = values.add(how, context, start + shift, end - shift, raw)
        if text is None:
            values.what[row], values.ctys[row] = raw, CTY_JSON
            return row
        values.what[row] = text
        values.compare(row, text)
        return row


def open_value(binder: Binder, how: Open, placed: Placed, found: FoundValue, token: Lookup) -> int:
    """Add the row that opens a value; `token` is what it was found to be."""
    path, start, end, within = found
    if within is None:
        return binder.open(how, start, end, token, lambda: binder.context(placed, path))
    bound, context = binder.bound(token, lambda: binder.context(placed, path))
    row = _add_within(binder.values, how, context, within, 0)
    binder.values.what[row] = bound
    return row


def how_to_open(selection: Reads, compiled: CompiledBlock, item: Item, place: TextPlace) -> Open:
    """Return how values of an item are opened that a selection finds."""
    if selection.spell is None:
        return Open(compiled.block, "json", item, place)
    return Open(compiled.block, "value", item, place, (selection.spell,))


def _add_within(
    values: Values, how: Seal | Open, context: Context, within: Within, shift: int
) -> int:
    """Add the row of a value that lies in a text of the body, which spells it in its own way.

    It is `shift` bytes shorter at both ends.
    """
    layers = within.layers
    spells: tuple[Spell, ...] = tuple(layer.spell for layer in reversed(layers))
    how = (
        how._replace(spells=spells)
        if isinstance(how, Seal)
        else Open(how.block, "json", how.item, how.place, spells, within=True)
    )

    def at(place: int) -> int:
        for layer in reversed(layers):
            place = layer.places[place]
        return place

    start, end = within.start, within.end
    row = values.add(how, context, at(start + shift), at(end - shift), b"")
    values.wholes[row] = InText(at(start), at(end), layers[0].places[0])
    return row


def take_record(values: Values, record: Record, found: Values, rows: list[int]) -> None:
    """Add rows of a record's text as they lie in the body.

    Raises MessageError where one of them cannot be sealed there.
    """
    for row in rows:
        how, start, end = found.hows[row], found.starts[row], found.ends[row]
        what, whole = found.what[row], found.wholes.get(row)
        plain = False
        if whole is not None:
            first = whole.text
            if isinstance(how, Seal):
                record.check_value(whole.start, whole.end)
        elif isinstance(how, Seal):
            shift = int(how.between)
            first, last = start - shift, end + shift
            record.check_value(first, last)
            if not record.in_string(first):
                _take(values, how, found, row, record[first] + shift, record[last] - shift)
                continue
        elif isinstance(what, FoundToken):
            first, plain = what.start, not what.depth
        else:
            first, plain = start, how.shape == "text"
        spell = record.spelling(first, plain=plain)
        if spell is not as_it_is:
            how = how._replace(spells=(*how.spells, spell))
        _take(values, how, found, row, record[start], record[end])
    values.noted += found.noted
    values.unlisted = values.unlisted or found.unlisted


def _take(  # noqa: PLR0913, PLR0917 - what a row is made of
    values: Values, how: Seal | Open, found: Values, row: int, start: int, end: int
) -> None:
    here = values.add(how, found.contexts[row], start, end, found.what[row], found.ctys[row])
    if row in found.alike:
        values.alike[here] = found.alike[row]


class OtherItems:
    """The items of values that no selector finds, one for each path to them.

    Their field is the last member name on the path, as the client wrote it.
    """

    __slots__ = ("_compiled", "_known", "_rest")

    def __init__(self, compiled: CompiledBlock, rest: Item) -> None:
        """Take how a block seals such values."""
        self._compiled = compiled
        self._rest = rest
        self._known: dict[tuple[Step, ...], Placed] = {}

    def placed(self, path: Path) -> Placed:
        """Return the item for a value at a path; those that differ in elements alone have one."""
        steps = tuple(Step(one if isinstance(one, str) else Any.MEMBER) for one in path)
        found = self._known.get(steps)
        if found is None:
            item = replace(self._rest, field=self._compiled.block.field_at(path))
            number = -1 - len(self._known)
            shared = self._compiled.shared(JsonSelector("", steps))
            found = self._known[steps] = Placed(number, item, shared)
        return found


def add_others(binder: Binder, reads: Reads, others: Sequence[FoundValue], body: bytes) -> None:
    """Add a row for each value that is neither selected nor listed, nor a boolean that passes."""
    closed = binder.compiled.closed
    if not others or closed is None or closed.rest is None:
        return
    items = OtherItems(binder.compiled, closed.rest)
    kept = binder.compiled.block.booleans_pass and reads.spell is None  # a field is a text
    for found in paused(others):
        closed.refuse_label(found.path)
        if kept and found.raw(body) in {b"true", b"false"}:
            continue
        placed = items.placed(found.path)
        sealing = ItemSealing(reads, placed.item, binder.compiled)
        sealing.add(binder.values, binder.context(placed, found.path), body, found)

"""Which items of one block conflict, and which options an item cannot have.

Items conflict if they would change the same bytes or read different kinds of bodies.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, Literal

from ...core.crypto.token import (
    Form,
    KeyId,
    base64_length,
    encode_header,
    equal_length,
    jwe_length,
    short_length,
)
from ...core.errors import InvalidExpression
from ...core.expressions.name_readings import FieldNames
from ...core.expressions.selectors import (
    Any,
    Inside,
    JsonSelector,
    NamedSelector,
    Selector,
    Step,
    Whole,
    is_in_json,
)
from ...core.expressions.sources import json_sources
from ...core.rules.model import Item, Nothing, Others, kinds_read_as
from ..yaml.nodes import Place, Problems, show
from .blocks import BlockSyntax
from .items import FieldSyntax, ItemSyntax, PlainSelector


def check_block(block: BlockSyntax, problems: Problems) -> None:
    """Report every item that overlaps an earlier one or reads another kind of body."""
    _check_kinds(block, problems)
    _check_format(block, problems)
    _check_records(block, problems)
    for item in block.items:
        if item.where and block.batch is not None:
            problems.add(item.place, "`where` does not apply with `batch`", "delete one of them")
    placed = [(item, "encrypt") for item in block.encrypt]
    placed += [(item, "decrypt") for item in block.decrypt]
    placed += [(one.item, "search") for one in block.search]
    for (first, first_action), (second, second_action) in combinations(placed, 2):
        if _may_stand_together(first, second, same_action=first_action == second_action):
            continue
        problems.add(
            second.place,
            f"{_name(second.selector)} overlaps {_name(first.selector)} in {first_action}",
            "delete one, or give each a block of its own",
        )


def plain_in(block: BlockSyntax) -> list[tuple[PlainSelector, Place]]:
    """Return each plain place of a block with the place where it is written."""
    return [(one, place) for several, place in block.plain for one in several]


def _check_kinds(block: BlockSyntax, problems: Problems) -> None:
    """Report selectors of one kind of body beside those of another."""
    written = [(one.selector, one.place) for one in block.items]
    written += plain_in(block)
    named = [one for one, _ in written if _form_of(one)]
    if not named:
        return
    first = named[0]
    if block.when:
        problems.add(
            block.place, "`when` only applies to JSON", "write one block for each kind of body"
        )
    for selector, place in written:
        if isinstance(selector, JsonSelector) or _form_of(selector) not in {"", _form_of(first)}:
            problems.add(
                place,
                f"{_name(selector)} is for {_form_of(selector) or 'JSON'}, {_name(first)} for"
                f" {_form_of(first)}",
                "write one block for each kind of body",
            )
    for source in (block.names.tenant, block.names.conversation, block.names.message):
        if source is not None and not all(
            _form_of(one.selector) == _form_of(first) for one in json_sources(source.source)
        ):
            problems.add(
                source.place,
                "cannot be read from a form",
                "use `path:`, `query:`, `header:` or `caller:`",
            )


def _form_of(selector: Selector) -> str:
    """Return the kind of form that a selector reads; empty if it reads none."""
    if not isinstance(selector, NamedSelector) or selector.of_head:
        return ""
    return "multipart forms" if selector.of_parts else "forms"


def _check_format(block: BlockSyntax, problems: Problems) -> None:
    """Report a `format` of bodies that no selector of the block reads."""
    if block.format is None:
        return
    kind, place = block.format
    selectors = [one.selector for one in block.items]
    selectors += [one for one, _ in plain_in(block)]
    for named in (block.names.tenant, block.names.conversation, block.names.message):
        selectors += [one.selector for one in json_sources(named.source if named else None)]
    try:
        kinds_read_as(kind, selectors, names_in_json=bool(block.when))
    except InvalidExpression as error:
        problems.add(place, error.message, "delete `format`, or select values of that format")


def _check_records(block: BlockSyntax, problems: Problems) -> None:
    """Report what a block with `records` cannot have: they are of JSON, each like the others."""
    if block.records is None:
        return
    place = block.records[1]
    for key, given in (("when", block.when), ("batch", block.batch)):
        if given:
            problems.add(place, f"does not apply with `{key}`", "write a block for each of the two")
    items = ((one.selector, one.place) for one in block.items)
    for selector, at in (*items, *plain_in(block)):
        if not isinstance(selector, JsonSelector) and selector is not Whole.TOKENS:
            problems.add(at, f"{_name(selector)} is no place in a record of JSON")


def overlap(first: JsonSelector, second: JsonSelector) -> bool:
    """Tell whether a value that one selects may be, or be inside, one that the other selects.

    Selectors with `..` reach almost everything; for them only the same value counts.
    """
    deep = any(step.deep for step in (*first.steps, *second.steps))
    seen: set[tuple[int, int]] = set()
    waiting = [(0, 0)]
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        ends = (state[0] == len(first.steps), state[1] == len(second.steps))
        if all(ends) or (any(ends) and not deep):
            return True
        waiting.extend(_together(first, second, state))
    return False


def _may_stand_together(first: ItemSyntax, second: ItemSyntax, *, same_action: bool) -> bool:
    one, other = first.selector, second.selector
    if isinstance(one, JsonSelector) and isinstance(other, JsonSelector):
        return not overlap(one, other)
    if isinstance(one, NamedSelector) and isinstance(other, NamedSelector):
        return not _same_named(one, other)
    if any(isinstance(each, NamedSelector) and each.of_head for each in (one, other)):
        return True
    if isinstance(one, Whole) == isinstance(other, Whole):
        return not isinstance(one, Whole)  # a member beside a pair: reported as two kinds of bodies
    # Sealing a value and opening tokens elsewhere in the body is fine.
    return Whole.TOKENS in {one, other} and not same_action


def _same_named(one: NamedSelector, other: NamedSelector) -> bool:
    """Tell whether two may name the same value; a part and its filename are two."""
    if "header" in {one.place, other.place}:
        return one == other
    if {one.place, other.place} == {"part", "filename"}:
        return False
    if not FieldNames({0: one.name}).readings(other.name):
        return False
    return one.inner is None or other.inner is None or overlap(one.inner, other.inner)


def _together(
    first: JsonSelector, second: JsonSelector, state: tuple[int, int]
) -> list[tuple[int, int]]:
    return [
        (at, other)
        for at, key in _moves(first.steps, state[0])
        for other, other_key in _moves(second.steps, state[1])
        if Any.MEMBER in {key, other_key} or (type(key) is type(other_key) and key == other_key)
    ]


def _moves(steps: tuple[Step, ...], at: int) -> list[tuple[int, str | int | Any | Inside]]:
    if at == len(steps):
        return []
    moves: list[tuple[int, str | int | Any | Inside]] = [(at + 1, steps[at].key)]
    if steps[at].deep:
        moves.append((at, Any.MEMBER))
    return moves


def _name(selector: Selector) -> str:
    if isinstance(selector, JsonSelector):
        return show(selector.text)
    return show(selector.value if isinstance(selector, Whole) else selector.text)


def _shortest_head(end: int | None) -> bytes:
    """Return the shortest head: under a KEK whose id is one character."""
    return encode_header(KeyId(bytes(12), kek_id="k"), bytes(16), exp=end)


EQUAL_LEAKS: Final = (
    "whoever reads the backend sees which values of a tenant are the same, and how often each"
    " occurs; who can also send values there learns which rows hold a value that it sends"
)
_HEADS: Final = {False: _shortest_head(None), True: _shortest_head(2_000_000_000)}


def shortest(form: Form, size: int = 0, *, ends: bool = False) -> int:
    """Return the length of the shortest token of `size` bytes; `ends` if it has an expiry."""
    if form == "base64":
        return base64_length(_HEADS[ends], size)
    lengths = {"short": short_length, "equal": equal_length}
    return lengths[form](size) if form in lengths else jwe_length(_HEADS[ends], size)


def min_chars(item: ItemSyntax, field: FieldSyntax) -> int | None:
    """Return how many characters a value must have; None if it need not be a string."""
    own, general = item.sealed, field.sealed
    if own.min_chars is not None or own.string is False:
        return own.min_chars
    if general.min_chars is not None:
        return general.min_chars
    texts = (
        own.string,
        general.string,
        switched("not_blank", item, field),
        switched("trim", item, field),
    )
    return 0 if any(texts) else None


def switched(name: Literal["not_blank", "trim"], item: ItemSyntax, field: FieldSyntax) -> bool:
    """Return whether an item has a switch on: as it says itself, else as its field does."""
    own = False if item.sealed.string is False else getattr(item.sealed, name)
    return bool(getattr(field.sealed, name) if own is None else own)


def check_equal(item: Item, place: Place, problems: Problems, *, accepted: bool) -> None:
    """Report what goes not with `form: equal`, and tell what it reveals."""
    if item.bind - {"tenant"} != {"field"}:
        told = "form `equal` is for what is bound to tenant and field alone"
        problems.add(place, told, "write `bind: [tenant, field]` at the field")
    elif isinstance(item.selector, Whole):
        problems.add(place, "form `equal` is for values, not for a whole body", "select a value")
    elif item.expires is not None:
        told = "form `equal` cannot have an expiry"
        problems.add(place, told, "write `expires: never` on the item")
    elif item.parties:
        told = "form `equal` needs the index secret, which senders and recipients do not have"
        problems.add(place, told, "delete `form`")
    elif item.index is not None:
        told = "form `equal` has no place for tags: it is compared itself"
        problems.add(place, told, "delete `index`")
    elif not accepted:
        problems.add(place, f"form `equal`: {EQUAL_LEAKS}", "add `accept_leakage: true`")
    else:
        problems.warn(place, f"form `equal` of {show(item.field)}: {EQUAL_LEAKS}")


def check_item(item: Item, place: Place, problems: Problems) -> None:
    """Report options of an item under which no value could be sealed."""
    form, least, most = item.form, item.min_chars, item.max_chars
    ends = item.expires is not None
    in_form = isinstance(item.selector, NamedSelector) and item.selector.inner is None
    if form == "base64" and (in_form or isinstance(item.selector, Whole)):
        problems.add(place, "form `base64` is for strings of JSON", "delete `form`")
    elif item.selector is Whole.BODY and form == "short":
        problems.add(place, "form `short` cannot keep the media type of a body", "delete `form`")
    elif item.selector is Whole.BODY and least is not None:
        problems.add(place, "what asks for a string does not apply to `body`", "select `text`")
    elif form == "short" and ends:
        problems.add(
            place,
            "form `short` cannot have an expiry",
            "write `form: jwe`, or `expires: never` on the item",
        )
    elif most is not None and most < (needed := shortest(form, ends=ends)):
        problems.add(
            place,
            f"`max_chars: {most}` is too short for any token; at least {needed} are needed",
            "" if form in {"short", "equal"} or ends else "or write `form: short`",
        )
    elif most is not None and most < shortest(form, least or 0, ends=ends):
        problems.add(
            place,
            f"a token of {least} characters never fits into `max_chars: {most}`",
            f"write at least `max_chars: {needed}`",
        )


def nothing(block: BlockSyntax, rule: str, problems: Problems) -> Nothing:
    """Return what happens with messages of which nothing is sealed; report if it must be said."""
    at_will = bool(block.encrypt) and all(one.optional or one.where for one in block.encrypt)
    if block.nothing is not None:
        word, place = block.nothing
        if not block.encrypt:
            problems.add(place, "only applies with `encrypt`", "delete it")
        elif not at_will:
            problems.add(
                place, "only applies if all items that are sealed are optional", "delete it"
            )
        return word
    # An item that seals the whole body applies to every message with a body.
    if at_will and not any(isinstance(one.selector, Whole) for one in block.encrypt):
        problems.add(
            block.place,
            f"everything that rule {show(rule)} seals here is optional",
            "write `nothing: refuse`, or `nothing: pass` if messages without any of it are"
            " legitimate",
        )
    return "pass"


_OPEN: Final = (
    "`others: pass` leaves open other members, fields, parts and filenames, any name of the query,"
    " and spellings of sealed names that no table knows; write `refuse` or `seal`"
)
KEPT: Final = "`keep_types: boolean`: the backend sees each unlisted true and false by its name"


def others(block: BlockSyntax, said: Others | None, problems: Problems) -> Others:
    """Return what happens with what a block of requests does not list.

    Report plain places that the block seals or opens, or that no list is made of.
    """
    for one, place in plain_in(block):
        if said == "pass":
            problems.add(place, "is listed for nothing with `others: pass`", "delete one of them")
        elif any(step.deep for step in one.steps):
            problems.add(
                place, "is no place: `..` stands for any number of steps", "write the path"
            )
        elif any(isinstance(item.selector, Whole) for item in block.encrypt):
            problems.add(place, "a body that is sealed as a whole has no places", "delete it")
        for item in block.items:
            if _overlaps(one, item.selector) and not (item.where and _is_same(one, item.selector)):
                told = f"{_name(one)} overlaps {_name(item.selector)}"
                problems.add(place, told, "it is sealed, opened or plain: delete one")
    deep = [item for item in block.items if is_in_json(item.selector) and _is_deep(item.selector)]
    if not _in_body(block) or said == "pass":
        if _in_body(block) and block.encrypt:
            problems.warn(block.place, _OPEN)
        return "pass"
    for item in deep:
        problems.add(
            item.place,
            "`..` stands for no place, so that nothing could be listed beside it",
            "write the path, or `others: pass`",
        )
    return "pass" if deep else said or "refuse"


def closes(block: BlockSyntax) -> bool:
    """Return whether a block of requests changes something, or lists what is plain."""
    return bool(block.items or block.plain) or block.options.others is not None


def _in_body(block: BlockSyntax) -> bool:
    """Return whether a block that `closes` has places in a body, be it none of its own.

    A body that is sealed or opened as a whole has none, and `tokens` may stand anywhere.
    """
    wholes = {one.selector for one in block.items} & set(Whole)
    said = bool(block.encrypt or block.search or block.plain)
    said = said or block.options.others is not None
    return wholes <= {Whole.TOKENS} and (said or not wholes)


def _is_deep(selector: JsonSelector | NamedSelector) -> bool:
    return any(step.deep for step in selector.steps)


def _is_same(plain: PlainSelector, other: Selector) -> bool:
    """Return whether a place is plain in those elements where another item does not apply."""
    return isinstance(other, JsonSelector) and plain.steps == other.steps


def _overlaps(plain: PlainSelector, other: Selector) -> bool:
    if isinstance(plain, JsonSelector) and isinstance(other, JsonSelector):
        return overlap(plain, other)
    named = isinstance(plain, NamedSelector) and isinstance(other, NamedSelector)
    return named and plain.place == other.place and _same_named(plain, other)  # type: ignore[arg-type, union-attr]  # both are named

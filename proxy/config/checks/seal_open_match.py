"""Whether what is sealed can be opened, over all rules of all listeners."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from ...core.expressions.selectors import NamedSelector, Selector, Whole
from ...core.rules.model import PARTS, Item, Part
from ..rules.resolve import PlacedItem, ResolvedRule
from ..yaml.nodes import Problems, show

_Parts = tuple[frozenset[Part], str | None, bool]
_Field = tuple[str, bool]
_FEW: Final[frozenset[Part]] = frozenset({"tenant", "purpose"})


def check(rules: Iterable[ResolvedRule], problems: Problems) -> None:
    """Report fields that are opened and sealed under different binds; warn of what looks wrong."""
    sealing: dict[_Field, list[PlacedItem]] = defaultdict(list)
    opening: dict[_Field, list[PlacedItem]] = defaultdict(list)
    tokens: list[PlacedItem] = []
    rests: list[PlacedItem] = []
    for rule in rules:
        rests += rule.rests
        for placed in rule.items:
            if placed.item.selector is Whole.TOKENS:
                tokens.append(placed)
            else:
                kind = sealing if placed.action == "encrypt" else opening
                for field in _fields(placed.item):
                    kind[field].append(placed)
    for field, opened in opening.items():
        _check_parts(sealing.get(field, []), opened, problems)
    by_tokens = {_parts(placed.item) for placed in tokens}
    for field, sealed in sealing.items():
        _warn_of_unopened(field, sealed, opening, by_tokens, problems)
        _warn_of_shared_names(sealed, problems)
    for placed in rests:
        if _parts(placed.item) not in by_tokens:
            problems.add(
                placed.place,
                f"`others: seal` seals with the bind {_words(placed.item)}, and no rule opens that",
                "write `response: {decrypt: tokens}` with the same bind",
            )
    for placed in tokens:
        _warn_of_few_parts(placed, problems)


def _fields(item: Item) -> tuple[_Field, ...]:
    """Return the fields of an item, each with whether it is sealed like a body.

    A part of a multipart form may be a text or a file, and a file is sealed like a body.
    """
    if _is_part(item.selector):
        return (item.field, False), (item.field, True)
    return ((item.field, item.selector is Whole.BODY),)


def _parts(item: Item) -> _Parts:
    return item.bind, item.purpose if "purpose" in item.bind else None, bool(item.parties)


def _check_parts(sealed: list[PlacedItem], opened: list[PlacedItem], problems: Problems) -> None:
    known = {_parts(placed.item): placed for placed in reversed(sealed)}
    for placed in opened:
        if sealed and _parts(placed.item) not in known:
            first = sealed[0]
            problems.add(
                placed.place,
                f"opens the field {show(placed.item.field)} with the bind {_words(placed.item)},"
                f" but line {first.place.node.position.line} seals it with {_words(first.item)}",
                "give both the same `bind`",
            )


def _warn_of_unopened(
    field: _Field,
    sealed: list[PlacedItem],
    opening: dict[_Field, list[PlacedItem]],
    by_tokens: set[_Parts],
    problems: Problems,
) -> None:
    name, as_body = field
    opened = {_parts(placed.item) for placed in opening.get(field, [])}
    if not as_body:
        opened |= by_tokens
    told: set[_Parts] = set()
    for placed in sealed:
        parts = _parts(placed.item)
        if _is_part(placed.item.selector):
            if as_body:
                continue  # reported as a text
            opened |= {_parts(one.item) for one in opening.get((name, True), [])}
        # End-to-end values may be opened elsewhere.
        if parts not in opened | told and not placed.item.parties:
            told.add(parts)
            problems.warn(
                placed.place,
                f"no rule opens the field {show(name)} with the bind {_words(placed.item)}",
            )


def _warn_of_shared_names(sealed: list[PlacedItem], problems: Problems) -> None:
    """Warn if two selectors share a field's name and neither path is the end of the other."""
    bound = [one for one in sealed if "field" in one.item.bind]
    if not bound:
        return
    first = bound[0]
    for placed in bound[1:]:
        if not _same_meaning(first.item, placed.item):
            problems.warn(
                placed.place,
                f"has the same field name {show(placed.item.field)} as line"
                f" {first.place.node.position.line}, so their values can be swapped;"
                " rename one with ` as NAME`",
            )


def _same_meaning(first: Item, second: Item) -> bool:
    one, other = first.selector, second.selector
    if _is_filename(one) != _is_filename(other):
        return False
    if isinstance(one, Whole) or isinstance(other, Whole):
        return one == other
    short, long = sorted((_members(one), _members(other)), key=len)
    return not short or long[-len(short) :] == short


def _is_part(selector: Selector) -> bool:
    return isinstance(selector, NamedSelector) and selector.place == "part"


def _is_filename(selector: Selector) -> bool:
    return isinstance(selector, NamedSelector) and selector.place == "filename"


def _members(selector: Selector) -> list[str]:
    if isinstance(selector, Whole):
        return []
    if isinstance(selector, NamedSelector):
        return [one for one in (selector.name, selector.field) if one is not None]
    return [step.key for step in selector.steps if isinstance(step.key, str)]


def _warn_of_few_parts(placed: PlacedItem, problems: Problems) -> None:
    if placed.item.bind <= _FEW:
        problems.warn(
            placed.place,
            f"`tokens` bound only to {_words(placed.item)} opens whatever a client can make the"
            " backend echo; add `conversation` to `bind` if the backend does not copy values"
            " between conversations",
        )


def _words(item: Item) -> str:
    words = ", ".join(part for part in PARTS if part in item.bind)
    purpose = f" {show(item.purpose or '')}" if "purpose" in item.bind else ""
    return f"[{words}]{purpose}{' end to end' if item.parties else ''}"

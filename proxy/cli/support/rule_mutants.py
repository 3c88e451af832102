"""Small changes of rules, each of which a case of a good file notices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from ...config.settings import ListenerSettings
from ...core.expressions.routes import Pattern
from ...core.expressions.selectors import JsonSelector, NamedSelector, Selector, Step, Whole
from ...core.http.message import DIRECTIONS, Direction
from ...core.rules.audience import CallerAudience
from ...core.rules.model import Block, Item, Rule

_OTHER: Final = "not_there"
_OTHER_TYPE: Final = "application/x-another"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A listener with one small change, and the rules whose messages it may change."""

    what: str
    listener: ListenerSettings
    rules: frozenset[str]


def mutants(listener: ListenerSettings) -> Iterator[Mutant]:
    """Yield a moved rule, a wrong selector, more callers or a narrowed type, one by one."""
    rules = listener.rules
    for at, rule in enumerate(rules):
        for behind in range(at + 1, len(rules)):
            if _overlap(rule, rules[behind]):
                moved = (*rules[:at], *rules[at + 1 : behind + 1], rule, *rules[behind + 1 :])
                what = f"rule {rule.name!r} moved behind {rules[behind].name!r}"
                names = frozenset({rule.name, rules[behind].name})
                yield Mutant(what, replace(listener, rules=moved), names)
                break
        for what, changed in _changed(rule):
            others = (*rules[:at], changed, *rules[at + 1 :])
            name = f"rule {rule.name!r}: {what}"
            yield Mutant(name, replace(listener, rules=others), frozenset({rule.name}))


Where = tuple[Direction, int, str, int]
"""Where an item is in a rule: direction, number of the block, action, index."""


def without(listener: ListenerSettings, rule: Rule, at: Where) -> ListenerSettings:
    """Return the listener without one item of a rule."""
    left = tuple(item for where, item in items(rule) if where[:3] == at[:3] and where != at)
    changed = _with_items(rule, at[0], at[1], at[2], left)
    rules = tuple(changed if one.name == rule.name else one for one in listener.rules)
    return replace(listener, rules=rules)


def items(rule: Rule) -> Iterator[tuple[Where, Item]]:
    """Yield the items of a rule with their places."""
    for direction in DIRECTIONS:
        for number, block in enumerate(rule.blocks_of(direction)):
            for action in ("encrypt", "decrypt", "search"):
                for index, item in enumerate(getattr(block, action)):
                    yield (direction, number, action, index), item


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    for at, item in items(rule):
        wrong = _wrong(item.selector)
        if wrong is not None:
            what = f"{at[0]}: another selector than {shown(item.selector)}"
            yield what, _with_item(rule, at, replace(item, selector=wrong))
        audience = item.audience
        if audience is not None and any(audience.to(one) != "value" for one in rule.callers):
            everybody = CallerAudience(tuple((one, "value") for one in rule.callers), "value")
            what = f"{at[0]}: every caller gets {shown(item.selector)}"
            yield what, _with_item(rule, at, replace(item, audience=everybody))
    for direction in DIRECTIONS:
        for number, block in enumerate(rule.blocks_of(direction)):
            if block.callers is not None:
                what = f"{direction}: block {number + 1} takes messages of everybody"
                yield what, _with_block(rule, direction, number, replace(block, callers=None))
            if block.keep is not None:
                what = f"{direction}: block {number + 1} keeps all elements"
                yield what, _with_block(rule, direction, number, replace(block, keep=None))
            if block.encrypt or block.decrypt:
                what = f"{direction}: block {number + 1} takes another type alone"
                yield (
                    what,
                    _with_block(rule, direction, number, replace(block, types=(_OTHER_TYPE,))),
                )


def _with_item(rule: Rule, at: Where, changed: Item) -> Rule:
    some = [changed if where == at else one for where, one in items(rule) if where[:3] == at[:3]]
    return _with_items(rule, at[0], at[1], at[2], tuple(some))


def _with_items(
    rule: Rule, direction: Direction, number: int, action: str, some: tuple[Item, ...]
) -> Rule:
    changed: dict[str, Any] = {action: some}
    block = replace(rule.blocks_of(direction)[number], **changed)
    return _with_block(rule, direction, number, block)


def _with_block(rule: Rule, direction: Direction, number: int, block: Block) -> Rule:
    blocks = rule.blocks_of(direction)
    made = (*blocks[:number], block, *blocks[number + 1 :])
    return replace(rule, request=made) if direction == "request" else replace(rule, response=made)


def _wrong(selector: Selector) -> Selector | None:
    """Return a selector of the same kind that selects something else; None for whole bodies."""
    if isinstance(selector, NamedSelector):
        return replace(selector, name=f"{selector.name}-{_OTHER}")
    if isinstance(selector, JsonSelector):
        return replace(selector, steps=(*selector.steps, Step(_OTHER)))
    return None


def shown(selector: Selector) -> str:
    """Return a selector as rules spell it."""
    return selector.value if isinstance(selector, Whole) else selector.text


def _overlap(one: Rule, other: Rule) -> bool:
    return any(_both(first, second) for first in one.patterns for second in other.patterns)


def _both(one: Pattern, other: Pattern) -> bool:
    """Tell whether some request is for both patterns."""
    if one.websocket != other.websocket:
        return False
    if one.methods and other.methods and not one.methods & other.methods:
        return False
    short, long = sorted((one, other), key=lambda each: len(each.segments))
    if len(short.segments) < len(long.segments) and not short.rest:
        return False
    pairs = zip(short.segments, long.segments, strict=False)
    # A capture takes no empty segment.
    return all(
        left == right or (left is None and right != "") or (right is None and left != "")
        for left, right in pairs
    )

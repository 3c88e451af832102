"""Conditions on the elements of lists: an item applies in those that meet them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..expressions.selectors import Any, JsonSelector, Step
from ..rules.conditions import near_values
from ..rules.model import Block, Item, Placed
from .one_or_many import RecordShape


class ElementCondition(NamedTuple):
    """A condition: the number of its selector, the values that it asks for, and those near them."""

    number: int
    values: frozenset[bytes]
    near: frozenset[bytes]


class InElements(NamedTuple):
    """An item that applies in some elements alone: so many steps lead to them, and what decides."""

    placed: Placed
    depth: int
    conditions: tuple[ElementCondition, ...]


def condition_selectors(item: Item, shape: RecordShape | None) -> Iterable[JsonSelector]:
    """Yield where the conditions of an item are read in the body."""
    above = _element(item, shape)
    for one in item.where:
        yield JsonSelector(one.selector.text, (*above, *one.selector.steps))


def in_elements(
    items: Iterable[Placed], shape: RecordShape | None, *, first: int
) -> tuple[InElements, ...]:
    """Return the items that have conditions; their selectors begin at the index `first`."""
    found = []
    for placed in items:
        if placed.item.where:
            deciding = []
            for one in placed.item.where:
                deciding.append(ElementCondition(first, one.values, near_values(one)))
                first += 1
            depth = len(_element(placed.item, shape))
            found.append(InElements(placed, depth, tuple(deciding)))
    return tuple(found)


def conditions_of(block: Block, shape: RecordShape | None) -> tuple[JsonSelector, ...]:
    """Return where all conditions of a block's items are read, in the order of the items."""
    return tuple(one for item in block.items for one in condition_selectors(item, shape))


def _element(item: Item, shape: RecordShape | None) -> tuple[Step, ...]:
    """Return the steps to the element of a value: the innermost one, or the record."""
    steps = item.selector.steps if isinstance(item.selector, JsonSelector) else ()
    many = [at for at, step in enumerate(steps, 1) if isinstance(step.key, Any)]
    above = shape.steps if shape is not None else ()
    return steps[: max(many[-1] if many else 0, len(above))]

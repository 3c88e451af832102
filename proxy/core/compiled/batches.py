"""What surrounds the values that a block selects: elements of batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..expressions.selectors import Any, JsonSelector, Step, is_in_json
from ..rules.model import Block, Placed

_Steps = tuple[Step, ...]


class Batch(NamedTuple):
    """The elements of the outermost list that some items go through.

    `at` is the index of the selector of the elements, which has `depth` steps.
    """

    at: int
    depth: int
    items: tuple[int, ...]


class Around(NamedTuple):
    """What is checked beside the selected values, and the selectors that find it.

    Each element of one of the `batches` must have a value to be sealed. `may_nest`: values to be
    sealed may lie in each other.
    """

    batches: tuple[Batch, ...] = ()
    selectors: tuple[JsonSelector, ...] = ()
    may_nest: bool = False


def around(block: Block, encrypt: Iterable[Placed], *, first: int) -> Around:
    """Return what a block says of what surrounds its values.

    `first` is the index of the first selector that finds it.
    """
    at_will = block.nothing == "refuse" and all(one.item.optional for one in encrypt)
    lists = _lists(encrypt) if at_will else {}
    batches = tuple(
        Batch(index, len(steps), items)
        for index, (steps, items) in enumerate(lists.items(), start=first)
    )
    sealed = [one.item.selector for one in encrypt]
    may_nest = any(step.deep for one in sealed if is_in_json(one) for step in one.steps)
    return Around(batches, tuple(JsonSelector("", steps) for steps in lists), may_nest)


def _lists(encrypt: Iterable[Placed]) -> dict[_Steps, tuple[int, ...]]:
    """Return the paths to elements of lists, each with the items within."""
    found: dict[_Steps, tuple[int, ...]] = {}
    for placed in encrypt:
        if isinstance(placed.item.selector, JsonSelector):
            steps = placed.item.selector.steps
            many = [at for at, step in enumerate(steps, 1) if isinstance(step.key, Any)]
            if many and not any(step.deep for step in steps[: many[0]]):
                elements = steps[: many[0]]
                found[elements] = (*found.get(elements, ()), placed.index)
    return found

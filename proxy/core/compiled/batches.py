"""What surrounds the values that a block selects: elements of batches, and closed objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..expressions.selectors import (
    Any,
    Inside,
    JsonSelector,
    NamedSelector,
    Selector,
    Step,
    is_in_json,
)
from ..rules.model import Block, Placed

_Steps = tuple[Step, ...]


class Batch(NamedTuple):
    """The elements of the outermost list that some items go through.

    `at` is the index of the selector of the elements, which has `depth` steps.
    """

    at: int
    depth: int
    items: tuple[int, ...]


class Closed(NamedTuple):
    """The objects that have no other members than these; `at` is the index of their selector."""

    at: int
    names: frozenset[str]


class Around(NamedTuple):
    """What is checked beside the selected values, and the selectors that find it.

    Each element of one of the `batches` must have a value to be sealed; the objects of `closed`
    have no members but those of their names. `may_nest`: values to be sealed may lie in each other.
    """

    batches: tuple[Batch, ...] = ()
    closed: tuple[Closed, ...] = ()
    selectors: tuple[JsonSelector | NamedSelector, ...] = ()
    may_nest: bool = False


def around(
    block: Block,
    encrypt: Iterable[Placed],
    selectors: Iterable[Selector],
    *,
    first: int,
) -> Around:
    """Return what a block says of what surrounds its values.

    `selectors` are all that it has so far, those of names among them; `first` is the index that the
    next one gets.
    """
    at_will = block.nothing == "refuse" and all(one.item.optional for one in encrypt)
    lists = _lists(encrypt) if at_will else {}
    batches = tuple(
        Batch(index, len(steps), items)
        for index, (steps, items) in enumerate(lists.items(), start=first)
    )
    objects: dict[_Steps, frozenset[str]] = {}
    if block.only is not None:
        paths = [one.steps for one in selectors if is_in_json(one)]
        paths += [one.selector.steps for one in block.when]
        objects = _objects(encrypt, paths, block.only)
    closed = tuple(
        Closed(index, names)
        for index, names in enumerate(objects.values(), start=first + len(batches))
    )
    sealed = [one.item.selector for one in encrypt]
    may_nest = any(step.deep for one in sealed if is_in_json(one) for step in one.steps)
    return Around(batches, closed, tuple(map(_selector, (*lists, *objects))), may_nest)


def _selector(steps: _Steps) -> JsonSelector | NamedSelector:
    """Return what selects at a path, which begins in a form if there is a name of one."""
    first = steps[0].key if steps else None
    if len(steps) > 1 and steps[1].key is Inside.JSON and isinstance(first, str):
        place, _, name = first.partition(":")
        if place in {"form", "part"}:
            return NamedSelector(place, name, JsonSelector("", steps[2:]))
    return JsonSelector("", steps)


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


def _objects(
    encrypt: Iterable[Placed], paths: Iterable[_Steps], listed: tuple[str, ...]
) -> dict[_Steps, frozenset[str]]:
    """Return the paths to the objects that hold members to be sealed, with all their names.

    Members that are on one of the `paths`, since the block selects them or reads them as names or
    conditions, need not be listed.
    """
    found: dict[_Steps, frozenset[str]] = {}
    for placed in encrypt:
        selector = placed.item.selector
        if is_in_json(selector):
            parent = _parent(selector.steps)
            names = (_next_name(path, parent) for path in paths)
            found[parent] = frozenset({*listed, *(one for one in names if one is not None)})
    return found


def _parent(steps: _Steps) -> _Steps:
    """Return the path to the object that holds the last member which a path names."""
    named = [at for at, step in enumerate(steps) if isinstance(step.key, str)]
    return steps[: named[-1]] if named else ()


def _next_name(path: _Steps, parent: _Steps) -> str | None:
    """Return the name by which a path goes on from an object, if it may go through it."""
    if len(path) <= len(parent):
        return None
    key = path[len(parent)].key
    met = all(
        one.key == other.key or isinstance(one.key, Any) or isinstance(other.key, Any)
        for one, other in zip(path, parent, strict=False)
    )
    return key if met and isinstance(key, str) else None

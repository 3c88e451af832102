"""The rows of what a block of requests seals beside what it selects: every value not listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..compiled.block import CompiledBlock
from ..expressions.selectors import Any, JsonSelector, Step
from ..formats.json import FoundValue, Path
from ..formats.json.closed import ClosedJson, field_at
from ..rules.model import Item, Placed
from ..slices import paused
from .binding import Binder
from .find_values import ItemSealing, Reads


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
            item = replace(self._rest, field=field_at(path))
            number = -1 - len(self._known)
            shared = self._compiled.shared(JsonSelector("", steps))
            found = self._known[steps] = Placed(number, item, shared)
        return found


def add_others(binder: Binder, reads: Reads, others: Sequence[FoundValue], body: bytes) -> None:
    """Add a row for each value that is neither selected nor listed."""
    closed = binder.compiled.closed
    if not others or closed is None or closed.rest is None:
        return
    items = OtherItems(binder.compiled, closed.rest)
    for found in paused(others):
        placed = items.placed(found.path)
        sealing = ItemSealing(reads, placed.item, binder.compiled)
        sealing.add(binder.values, binder.context(placed, found.path), body, found)


def others_in_json(closed: ClosedJson, body: bytes) -> list[FoundValue]:
    """Return every scalar of a JSON text that is not listed; raise as `ClosedJson.others`."""
    return [FoundValue(*one) for one in closed.others(body)]

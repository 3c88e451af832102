"""A block made ready: its selectors as one selection, its names with the place they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .formats.json import Selection
from .message import Direction
from .rules import NAMED_PARTS, Block, Item, Names
from .selectors import Any, JsonSelector, Whole
from .sources import JsonSource, Source, json_sources

NamedPart = Literal["tenant", "conversation", "message"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A JSON selector of the block, at its index in the selection."""

    index: int
    item: Item


class Blueprint:
    """One block of one direction of one rule, compiled.

    `sources` gives for each part where it is read; `from_message` holds the parts whose JSON
    sources are read from the message at hand, the others were kept from the request. `keeps` are
    the JSON sources of the rule, to be kept from a request for its answer.
    """

    __slots__ = (
        "_shared",
        "absent",
        "block",
        "decrypt",
        "direction",
        "encrypt",
        "from_message",
        "keeps",
        "reads_json",
        "selection",
        "source_index",
        "sources",
    )

    def __init__(self, block: Block, names: Names, direction: Direction) -> None:
        """Compile `block` of a rule with `names`."""
        self.block = block
        self.direction = direction
        self.reads_json = block.reads_json
        self.sources: dict[NamedPart, Source] = {}
        self.from_message: set[NamedPart] = set()
        for part in NAMED_PARTS:
            own, inherited = block.names.get(part), names.get(part)
            source = own or inherited
            if source is not None:
                self.sources[part] = source
                if own is not None or direction == "request":
                    self.from_message.add(part)
        selectors: list[JsonSelector] = []
        self.encrypt = _place(block.encrypt, selectors)
        self.decrypt = _place(block.decrypt, selectors)
        self.absent = tuple(
            (len(selectors) + at, one)
            for at, one in enumerate(one for one in block.absent if isinstance(one, JsonSelector))
        )
        selectors.extend(one for _, one in self.absent)
        self.source_index = self._place_sources(names, selectors)
        self.keeps = tuple(
            source for part in NAMED_PARTS for source in json_sources(names.get(part))
        )
        self.selection = Selection(tuple(selectors)) if selectors else None
        self._shared: dict[tuple[int, JsonSource], int] = {
            (placed.index, source): _shared_steps(placed.item.selector, source.selector)
            for placed in (*self.encrypt, *self.decrypt)
            for source in self.source_index
        }

    def shared_steps(self, index: int, source: JsonSource) -> int:
        """Return how many leading steps a source takes from the element of the selected value."""
        return self._shared.get((index, source), 0)

    def whole(self, *, encrypt: bool) -> Item | None:
        """Return the item that takes the whole body, if there is one in this action."""
        items = self.block.encrypt if encrypt else self.block.decrypt
        return next((one for one in items if isinstance(one.selector, Whole)), None)

    def _place_sources(self, names: Names, selectors: list[JsonSelector]) -> dict[JsonSource, int]:
        index: dict[JsonSource, int] = {}
        wanted = [self.sources[part] for part in NAMED_PARTS if part in self.from_message]
        if self.direction == "request":
            wanted += [source for source in map(names.get, NAMED_PARTS) if source is not None]
        for source in wanted:
            for one in json_sources(source):
                if one not in index:
                    index[one] = len(selectors)
                    selectors.append(one.selector)
        return index


def _place(items: tuple[Item, ...], selectors: list[JsonSelector]) -> tuple[Placed, ...]:
    placed: list[Placed] = []
    for item in items:
        if isinstance(item.selector, JsonSelector):
            placed.append(Placed(len(selectors), item))
            selectors.append(item.selector)
    return tuple(placed)


def _shared_steps(selector: object, source: JsonSelector) -> int:
    """Return the length of the common beginning up to its last `.*`; 0 where none is shared."""
    if not isinstance(selector, JsonSelector):
        return 0
    shared = 0
    for at, (mine, theirs) in enumerate(zip(selector.steps, source.steps, strict=False)):
        if mine != theirs or mine.deep:
            break
        if isinstance(mine.key, Any):
            shared = at + 1
    return shared


def is_many(source: JsonSource, shared: int) -> bool:
    """Tell whether a source can give several values once its first `shared` steps are fixed."""
    rest = source.selector.steps[shared:]
    return any(step.deep or isinstance(step.key, Any) for step in rest)

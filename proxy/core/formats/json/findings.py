"""What the selectors found in one JSON text."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import NamedTuple

Path = tuple[str | int, ...]


class Found(NamedTuple):
    """One selected value: the path to it, and its bytes' place."""

    path: Path
    start: int
    end: int


class Twin(NamedTuple):
    """A member that some readers take for a selected one: the path to its object, and for which."""

    path: Path
    selectors: AbstractSet[int]


class Findings:
    """What a walk found, by the index of the selector.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `variants` each whose member stood there in another spelling, `hidden` each of which a member
    may stand there under another name (`__proto__`), in the place of an element, or twice. `twins`
    tells where.
    """

    __slots__ = ("found", "hidden", "missing", "twins", "variants")

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[Found]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.variants: set[int] = set()
        self.hidden: set[int] = set()
        self.twins: set[Twin] = set()

    def tell_of_variant(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that members of an object read as others that are selected there."""
        self.variants |= selectors
        self.twins.add(Twin(path, selectors))

    def tell_of_hidden(self, path: Path, selectors: frozenset[int]) -> None:
        """Note that what is selected in an object may be read from another place of it."""
        self.hidden |= selectors
        self.twins.add(Twin(path, selectors))

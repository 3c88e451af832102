"""What the selectors found in one JSON text."""

from __future__ import annotations

from typing import NamedTuple

Path = tuple[str | int, ...]


class Found(NamedTuple):
    """One selected value: the path to it, and its bytes' place."""

    path: Path
    start: int
    end: int


class Findings:
    """What a walk found, by the index of the selector.

    `missing` holds each selector that somewhere had no value to select (null counts as none),
    `variants` each whose member stood there in another case.
    """

    __slots__ = ("found", "missing", "variants")

    def __init__(self, selectors: int) -> None:
        """Begin with nothing found for that many selectors."""
        self.found: list[list[Found]] = [[] for _ in range(selectors)]
        self.missing: set[int] = set()
        self.variants: set[int] = set()

"""An item at its place among the selectors of a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .rules import Item
from .sources import JsonSource


@dataclass(frozen=True, slots=True)
class Placed:
    """An item with the index of its selector in the selection of its kind of body.

    `shared` tells for each source how many leading steps it takes from the element of the selected
    value; where that is none for all of them, all values of the item have one context.
    """

    index: int
    item: Item
    shared: Mapping[JsonSource, int]

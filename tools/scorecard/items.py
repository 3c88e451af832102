"""The items, as items.toml lists them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("items.toml")


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the card; items.toml says what each part means."""

    number: int
    name: str
    target: str
    tests: tuple[str, ...] = ()
    only: str = ""
    figure: str = ""
    short: str = ""
    less: str = ""
    seconds: float = 0.0
    least: Mapping[str, float] = field(default_factory=dict)


def load() -> tuple[Item, ...]:
    """Return all items in the order of their numbers."""
    table = tomllib.loads(_TABLE.read_text())
    return tuple(
        Item(int(number), **{**row, "tests": tuple(row.get("tests", ()))})
        for number, row in table.items()
    )

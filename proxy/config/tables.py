"""What a table of keys is. The loader, the JSON Schema and the reference are made from the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its value is written, what it says, and whether it must be there.

    `syntax` and `doc` are for the reference, `schema` is JSON Schema. Of a key that is `later`, the
    loader says that it is not supported yet.
    """

    name: str
    syntax: str
    doc: str
    schema: Schema
    default: str = ""
    required: bool = False
    later: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one mapping; `name` is its name in the schema, `title` in the reference."""

    name: str
    title: str
    keys: tuple[Key, ...]

    @property
    def by_name(self) -> dict[str, Key]:
        """Return the keys by their names."""
        return {key.name: key for key in self.keys}

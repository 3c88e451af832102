"""What a table of keys is. The loader, the JSON Schema and the reference are made from the same."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

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


REFERENCE: Final = r"\$\{env:"
TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_FROM_ENVIRONMENT: Final[Schema] = {"type": "string", "pattern": REFERENCE}
SWITCH: Final[Schema] = {"anyOf": [{"type": "boolean"}, _FROM_ENVIRONMENT]}
SHARE: Final[Schema] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, _FROM_ENVIRONMENT]
}
DURATION: Final[Schema] = {
    "type": "string",
    "pattern": rf"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$|{REFERENCE}",
}
SIZE: Final[Schema] = {"type": "string", "pattern": rf"^[0-9]+(B|KiB|MiB|GiB)$|{REFERENCE}"}
NOT_YET: Final[Schema] = {"not": {}}


def number(low: int, high: int) -> Schema:
    """Return the schema of a whole number."""
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _FROM_ENVIRONMENT]}


def choice(options: Collection[str]) -> Schema:
    """Return the schema of one word of several."""
    return {"anyOf": [{"enum": list(options)}, _FROM_ENVIRONMENT]}


def table(name: str) -> Schema:
    """Return a reference to the table of that name."""
    return {"$ref": f"#/$defs/{name}"}


def many(one: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": one, "minItems": 1}


def one_or_more(one: Schema) -> Schema:
    """Return the schema of one value or a list of them."""
    return {"anyOf": [one, many(one)]}


def by_name(one: Schema) -> Schema:
    """Return the schema of a mapping whose keys are names."""
    return {"type": "object", "additionalProperties": one}


SOURCE: Final = table("source")

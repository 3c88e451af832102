"""Tables of keys for the JSON Schema and the reference page, and parts of the JSON Schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

Schema = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Key:
    """One key: how its value is written, what it means, and whether it is required.

    `syntax` and `doc` are for the reference page, `schema` is the JSON Schema of the value.
    """

    name: str
    syntax: str
    doc: str
    schema: Schema
    default: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one mapping; `name` is its name in the schema, `title` in the reference.

    Of `alternatives`, a mapping has exactly one: a key, with the keys that it needs beside it; of
    `any_of`, at least one. Of a pair of `needs`, the first key needs the second.
    """

    name: str
    title: str
    keys: tuple[Key, ...]
    alternatives: tuple[tuple[str, ...], ...] = ()
    any_of: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()


REFERENCE: Final = r"\$\{env:"
TEXT: Final[Schema] = {"type": "string", "pattern": r"\S"}
_FROM_ENVIRONMENT: Final[Schema] = {"type": "string", "pattern": REFERENCE}
SWITCH: Final[Schema] = {"anyOf": [{"type": "boolean"}, _FROM_ENVIRONMENT]}
SHARE: Final[Schema] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, _FROM_ENVIRONMENT]
}


def number(low: int, high: int) -> Schema:
    """Return the schema of a whole number."""
    return {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, _FROM_ENVIRONMENT]}


def choice(options: Collection[str]) -> Schema:
    """Return the schema of one of several words."""
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

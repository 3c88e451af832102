"""The JSON Schema of values, by the kinds of values that the loader reads."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .tables import Schema

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

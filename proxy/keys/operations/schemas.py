"""JSON Schemas (2020-12) of what operators' calls take and answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]


def _joined(part: Schema) -> list[dict[str, Any]]:
    several = {"type": "array", "items": dict(part), "minItems": 1}
    members = {"type": "object", "properties": {"members": several}, "required": ["members"]}
    return [several, {**members, "additionalProperties": False}]


TEXT: Final[Schema] = {"type": "string"}
NAME: Final[Schema] = TEXT
"""A name: tenant, conversation, field."""
FLAG: Final[Schema] = {"type": "boolean"}

FRESH: Final[Schema] = {"enum": ["keyring", "this-process-until-restart"]}
"""What keeps out earlier records, should the store be put back to what it held before."""

_PART: Final[Schema] = {"anyOf": [dict(NAME), *_joined(NAME)]}
ANY_NAME: Final[Schema] = {"anyOf": [dict(NAME), *_joined(_PART)]}
"""A name, or several joined: a list, or `members` in any order. Any depth is read; the schema shows
two levels."""

SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": (1 << 62) - 2}
"""A time in seconds since 1970."""

KID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
"""The thumbprint of a key (RFC 7638)."""


def record(members: Mapping[str, Schema], optional: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of a JSON object with these members, some `optional`, and no others."""
    return {
        "type": "object",
        "properties": {name: dict(one) for name, one in members.items()},
        "required": sorted(set(members) - set(optional)),
        "additionalProperties": False,
    }


def anything() -> dict[str, Any]:
    """Return the schema of a JSON object to which versions may add members."""
    return {"type": "object"}


def many(one: Schema) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": dict(one)}


def nullable(one: Schema) -> dict[str, Any]:
    """Return the schema of a value or null."""
    return {"anyOf": [dict(one), {"type": "null"}]}

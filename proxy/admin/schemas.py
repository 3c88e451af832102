"""Shapes of what the admin API takes and answers, as JSON Schema (2020-12)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from .operation import Schema


def _joined(part: Schema) -> list[dict[str, Any]]:
    several = {"type": "array", "items": dict(part), "minItems": 1}
    members = {"type": "object", "properties": {"members": several}, "required": ["members"]}
    return [several, {**members, "additionalProperties": False}]


NAME: Final[Schema] = {"type": "string"}
"""A name of the user's: tenant, conversation, field."""

_PART: Final[Schema] = {"anyOf": [dict(NAME), *_joined(NAME)]}
ANY_NAME: Final[Schema] = {"anyOf": [dict(NAME), *_joined(_PART)]}
"""A name, or one that is joined of several: a list, or members in any order; nested as deep as
need be, of which this tells two levels."""

SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": (1 << 62) - 2}
"""A time in seconds since 1970."""

KID: Final[Schema] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
"""The thumbprint of a key (RFC 7638)."""


def record(members: Mapping[str, Schema], required: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of a JSON object with these members and no others."""
    return {
        "type": "object",
        "properties": {name: dict(one) for name, one in members.items()},
        "required": sorted(required),
        "additionalProperties": False,
    }


def anything() -> dict[str, Any]:
    """Return the schema of a JSON object that may grow with every version."""
    return {"type": "object"}


def many(one: Schema) -> dict[str, Any]:
    """Return the schema of a list."""
    return {"type": "array", "items": dict(one)}


def nullable(one: Schema) -> dict[str, Any]:
    """Return the schema of a value or null."""
    return {"anyOf": [dict(one), {"type": "null"}]}

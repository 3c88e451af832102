"""The JSON Schema (2020-12) of the configuration, generated from the tables of keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .all_tables import TABLES
from .rule_keys import BLOCK, SOURCES
from .tables import TEXT, Key, Schema, Table, many, table


def schema() -> dict[str, object]:
    """Return the schema, for editors and `sealyard show schema`."""
    source = {"anyOf": [TEXT, many(table("source")), table(SOURCES.name)]}
    return document("Sealyard configuration", TABLES, {"source": source})


def document(title: str, tables: Sequence[Table], more: Mapping[str, object]) -> dict[str, object]:
    """Return the schema of a file whose own keys are the first table; `more` are definitions."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(tables[0]),
        "$defs": {one.name: _object(one) for one in tables[1:]} | dict(more),
    }


def _object(one: Table) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "object",
        "properties": {key.name: _property(key) for key in one.keys},
        "additionalProperties": False,
    }
    required = [key.name for key in one.keys if key.required]
    if required:
        found["required"] = required
    if one.alternatives:
        found["oneOf"] = [{"required": list(names)} for names in one.alternatives]
    if one is BLOCK:
        found["minProperties"] = 1
    return found


def _property(key: Key) -> Schema:
    return {"description": key.doc, **key.schema}

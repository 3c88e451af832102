"""The JSON Schema (2020-12) of the configuration, generated from the declarations of its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..sections.document import FILE
from .declarations import named_of, tables_of
from .tables import Schema, Table, TableRow

TABLES: Final = tables_of(FILE)
"""The tables of keys, that of the file first."""


def schema() -> dict[str, object]:
    """Return the schema, for editors and `sealyard show schema`."""
    return document("Sealyard configuration", TABLES, named_of(FILE))


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
    if one.needs:
        found["dependentRequired"] = {
            name: [needed for first, needed in one.needs if first == name] for name, _ in one.needs
        }
    if one.any_of:
        found["anyOf"] = [{"required": [name]} for name in one.any_of]
    return found


def _property(key: TableRow) -> Schema:
    return {"description": key.doc, **key.schema}

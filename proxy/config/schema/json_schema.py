"""The JSON Schema (2020-12) of a file, made from the declarations of its keys."""

from __future__ import annotations

from typing import Any, Final

from ..declared.section import Section
from ..sections.document import FILE
from .declarations import named_of, tables_of
from .tables import Key, Schema, Table

TABLES: Final = tables_of(FILE)
"""The tables of keys, that of the file first."""


def schema(root: Section[Any] = FILE, title: str = "Sealyard configuration") -> dict[str, object]:
    """Return the schema of a kind of file, for editors and `sealyard show schema`."""
    own, *others = tables_of(root)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(own),
        "$defs": {one.name: _object(one) for one in others} | named_of(root),
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


def _property(key: Key) -> Schema:
    return {"description": key.doc, **key.schema}

"""The JSON Schema (2020-12) of a file, made from the declarations of its keys."""

from __future__ import annotations

from typing import Any, Final

from ..declared.section import Section
from ..sections.document import FILE
from .declarations import doc_of, named_of, schema_of, sections_of

SECTIONS: Final = sections_of(FILE)
"""The sections of the configuration, the file first."""


def schema(root: Section[Any] = FILE, title: str = "Sealyard configuration") -> dict[str, object]:
    """Return the schema of a kind of file, for editors and `sealyard show schema`."""
    own, *others = sections_of(root)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **_object(own),
        "$defs": {one.name: _object(one) for one in others} | named_of(root),
    }


def _object(one: Section[Any]) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "object",
        "properties": {
            key.name: {"description": doc_of(key), **schema_of(key.kind)} for key in one.keys
        },
        "additionalProperties": False,
    }
    required = [key.name for key in one.keys if key.required]
    if required:
        found["required"] = required
    if one.alternatives:
        found["oneOf"] = [{"required": [name]} for name in one.alternatives]
    if one.needs:
        found["dependentRequired"] = {
            name: [needed for first, needed in one.needs if first == name] for name, _ in one.needs
        }
    if one.any_of:
        found["anyOf"] = [{"required": [name]} for name in one.any_of]
    return found

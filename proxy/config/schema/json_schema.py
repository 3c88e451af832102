"""The JSON Schema (2020-12) of the configuration, generated from the tables of keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from ..settings.keys import KEYS
from .admin_keys import ADMIN, ADMIN_ACCOUNT, ADMIN_CLIENT, ADMIN_KUBERNETES, ADMIN_TOKEN
from .declarations import tables_of
from .file_keys import AUDIT, FILE, HEALTH
from .listener_keys import CLIENT_NAME, LIMITS, LISTENER, LOG, TIMEOUTS, TLS, UPSTREAM_TLS
from .rule_keys import BLOCK, DEFAULTS, FIELD, ITEM, RULE, SOURCES
from .stream_keys import BATCH
from .tables import TEXT, Key, Schema, Table, many, table

TABLES: Final = (
    FILE,
    *tables_of(KEYS),
    ADMIN,
    ADMIN_TOKEN,
    ADMIN_CLIENT,
    ADMIN_KUBERNETES,
    ADMIN_ACCOUNT,
    HEALTH,
    AUDIT,
    FIELD,
    LISTENER,
    TLS,
    UPSTREAM_TLS,
    LIMITS,
    TIMEOUTS,
    CLIENT_NAME,
    DEFAULTS,
    RULE,
    LOG,
    SOURCES,
    BLOCK,
    BATCH,
    ITEM,
)
"""All tables of keys: a process that serves needs few."""


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

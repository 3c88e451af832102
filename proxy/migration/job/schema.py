"""The JSON Schema and the tables of the reference of a job file, from the declarations."""

from __future__ import annotations

from typing import Final

from ...config.schema.declarations import named_of, tables_of
from ...config.schema.json_schema import document
from .model import JOB

TABLES: Final = tables_of(JOB)


def schema() -> dict[str, object]:
    """Return the JSON Schema (2020-12) of a job file."""
    return document("Sealyard migration job", TABLES, named_of(JOB))

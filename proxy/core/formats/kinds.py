"""The kinds of bodies that rules read, and the media types that tell them."""

from __future__ import annotations

from typing import Final, Literal

from ..message import MediaType

Kind = Literal["json", "form", "ndjson", "json-seq"]

RECORDS: Final[frozenset[Kind]] = frozenset({"ndjson", "json-seq"})
"""Kinds that hold one JSON text behind the other."""

KINDS: Final[frozenset[Kind]] = RECORDS | {"json", "form"}
_BY_ESSENCE: Final[dict[str, Kind]] = {
    "application/json-seq": "json-seq",
    "application/jsonl": "ndjson",
    "application/jsonlines": "ndjson",
    "application/ndjson": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/x-ndjson": "ndjson",
    "application/x-www-form-urlencoded": "form",
}


def kind_of(media: MediaType | None) -> Kind | None:
    """Return the kind of bodies of a type, or None where no rule reads it."""
    if media is None:
        return None
    if media.is_json:
        return "json"
    if media.essence.endswith("+json-seq"):
        return "json-seq"
    return _BY_ESSENCE.get(media.essence)

"""The kinds of bodies that rules read, and the media types that tell them."""

from __future__ import annotations

from typing import Final, Literal

from ..http.message import MediaType

Kind = Literal["json", "form", "multipart", "ndjson", "json-seq", "sse", "text", "socketio"]

RECORDS: Final[frozenset[Kind]] = frozenset({"ndjson", "json-seq", "sse", "socketio"})
"""Kinds that hold one record behind the other, each of them read by itself."""

KINDS: Final[frozenset[Kind]] = RECORDS | {"json", "form", "multipart"}
"""Kinds that tokens stand in; a `text` is one where a rule says so."""

_BY_ESSENCE: Final[dict[str, Kind]] = {
    "application/json-seq": "json-seq",
    "application/jsonl": "ndjson",
    "application/jsonlines": "ndjson",
    "application/ndjson": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/x-ndjson": "ndjson",
    "application/x-www-form-urlencoded": "form",
    "text/event-stream": "sse",
    "multipart/form-data": "multipart",
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

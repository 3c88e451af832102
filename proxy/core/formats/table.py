"""The table of body formats. A new format is a file of its own and an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..http.message import MediaType
from .body_format import BodyFormat, Kind, Place, RecordFormat, Splitter
from .graphql.body import GRAPHQL
from .json.body import JSON
from .multipart.selection import MULTIPART
from .records.json_lines import JSON_SEQUENCE, NDJSON
from .records.socketio import SOCKETIO
from .records.sse import SSE
from .text import TEXT
from .urlencoded import FORM

FORMATS: Final[Mapping[Kind, BodyFormat]] = {
    one.kind: one
    for one in (
        JSON,
        NDJSON,
        JSON_SEQUENCE,
        SSE,
        FORM,
        MULTIPART,
        TEXT,
        SOCKETIO,
        GRAPHQL,
    )
}
"""Every format by its kind. Where several read the same selectors, the first is the default."""

RECORDS: Final[Mapping[Kind, RecordFormat]] = {
    kind: one for kind, one in FORMATS.items() if isinstance(one, RecordFormat)
}
"""The formats of records, one behind the other."""

_BY_TYPE: Final = {media: kind for kind, one in FORMATS.items() for media in one.media_types}
_BY_SUFFIX: Final = {one.suffix: kind for kind, one in FORMATS.items() if one.suffix is not None}


def kind_of(media: MediaType | None) -> Kind | None:
    """Return the kind of bodies of a media type, or None where no format reads it."""
    if media is None:
        return None
    return _BY_TYPE.get(media.essence) or _BY_SUFFIX.get(media.suffix)


def kinds_with(place: Place) -> frozenset[Kind]:
    """Return the kinds of bodies in which a place selects values."""
    return frozenset(kind for kind, one in FORMATS.items() if place in one.places)


def splitter(kind: Kind, limit: int) -> Splitter:
    """Return what cuts a stream of records of this kind, each of `limit` bytes at most."""
    made = RECORDS[kind].splitter
    assert made is not None  # noqa: S101 - only kinds that stream are asked for
    return made(limit)

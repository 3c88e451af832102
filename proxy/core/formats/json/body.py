"""JSON bodies as a format: `application/json` and types that end in `+json`."""

from __future__ import annotations

from typing import Final

from ..body_format import BodyFormat


class JsonFormat(BodyFormat):
    """One JSON text (RFC 8259)."""

    kind = "json"
    example = b'{"id": 1, "note": "secret"}'
    media_types = frozenset({"application/json"})
    suffix = "json"


JSON: Final = JsonFormat()

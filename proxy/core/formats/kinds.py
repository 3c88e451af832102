"""The kinds of bodies that rules read, and the media types that tell them."""

from __future__ import annotations

from typing import Final, Literal

from ..message import MediaType

Kind = Literal["json", "form"]

KINDS: Final[frozenset[Kind]] = frozenset({"json", "form"})
_BY_ESSENCE: Final[dict[str, Kind]] = {"application/x-www-form-urlencoded": "form"}


def kind_of(media: MediaType | None) -> Kind | None:
    """Return the kind of bodies of a type, or None where no rule reads it."""
    if media is None:
        return None
    return "json" if media.is_json else _BY_ESSENCE.get(media.essence)

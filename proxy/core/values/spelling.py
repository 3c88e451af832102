"""What an opened value reads as, and how it is written in the place of its token."""

from __future__ import annotations

from ..crypto.token import CTY_JSON
from ..errors import OpenFailed, SealyardError
from ..formats import json as json_format
from ..formats.escaping import EXACT, TextPlace, written
from ..leaves import quote
from .hows import Open


def as_json(plaintext: bytes, cty: str | None) -> bytes:
    """Return an opened field as JSON text; raise OpenFailed where it is neither text nor JSON."""
    if cty is not None:
        as_text(plaintext, cty)
        return plaintext
    quoted = quote(plaintext)
    if quoted is None:
        raise OpenFailed("not-text")
    return quoted


def as_text(plaintext: bytes, cty: str | None) -> str:
    """Return an opened field as text, or as the text of its JSON; else raise OpenFailed."""
    if cty == CTY_JSON:
        try:
            json_format.validate(plaintext)
        except SealyardError:
            raise OpenFailed("not-json") from None
    elif cty is not None:
        raise OpenFailed("wrong-content-type")
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        raise OpenFailed("not-text") from None


def in_place(how: Open, plaintext: bytes, cty: str | None) -> bytes | None:
    """Return an opened value as its place holds it; None where markup cannot hold it there.

    Raises OpenFailed where it is none of what its place holds.
    """
    if how.place is not EXACT:
        return _in_markup(how.shape == "json", how.place, plaintext, cty)
    if how.shape == "json":
        return as_json(plaintext, cty)
    if how.shape == "value":
        return as_text(plaintext, cty).encode()
    if cty is not None and (how.shape == "text" or "/" not in cty):
        raise OpenFailed("wrong-content-type")
    return plaintext


def _in_markup(
    quoted: bool,  # noqa: FBT001 - private
    place: TextPlace,
    plaintext: bytes,
    cty: str | None,
) -> bytes | None:
    is_json = quoted and cty == CTY_JSON
    new = written(as_text(plaintext, cty), place, as_json=is_json)
    if new is None:
        return None
    return (json_format.quote(new) if quoted and not is_json else new).encode()

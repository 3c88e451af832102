"""Values that an item refuses before it seals them: its backend could not refuse a token."""

from __future__ import annotations

from ..crypto.token import from_base64
from ..errors import OpenFailed, UnfitValue
from ..rules.model import Item


def require_text(item: Item, plaintext: bytes, cty: str | None) -> None:
    """Raise UnfitValue unless a value is the string that its item asks for, if it asks for one.

    The backend sees a token and so a string, whatever the client sent: what it would have refused
    in plaintext must be refused here.
    """
    least = item.min_chars
    if least is None:
        return
    try:
        size = len(plaintext.decode())
    except UnicodeDecodeError:
        size = None
    if cty is not None or size is None:
        raise UnfitValue("not-a-string", detail=f"{item.field}: a string is needed.")
    if size < least:
        raise UnfitValue(
            "too-few-characters", detail=f"{item.field}: at least {least} characters are needed."
        )


def require_base64(item: Item, plaintext: bytes, cty: str | None) -> bytes:
    """Return the bytes that a value spells, which its backend decodes; raise UnfitValue for none.

    Only a canonical text comes back as it was, since only its bytes are sealed.
    """
    try:
        if cty is None:
            return from_base64(plaintext)
    except OpenFailed:
        pass
    raise UnfitValue(
        "not-base64", detail=f"{item.field}: a string of base64 with padding is needed."
    )

"""A text as its item has it sealed: what is fit for that, and the token of it."""

from __future__ import annotations

from typing import Final

from ..crypto.context import Context
from ..crypto.session_cipher import Session
from ..crypto.token import from_base64
from ..errors import OpenFailed, UnfitValue
from ..rules.model import Item

_WHITE: Final = (
    "".join(map(chr, range(0x21)))
    + "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What some backend trims: white space of Unicode and JavaScript, and what Java trims."""


def sealed_text(  # noqa: PLR0913, PLR0917 - what a token is made of
    item: Item,
    session: Session,
    text: bytes,
    context: Context,
    cty: str | None,
    exp: int | None,
) -> bytes:
    """Return the token of a value; raise UnfitValue or ValueTooLong where it must not be sealed."""
    if item.min_chars is not None:
        text = fitting(item, text, cty)
    if item.form == "base64":
        text = require_base64(item, text, cty)
    return session.seal(
        text,
        context,
        cty=cty,
        form=item.form,
        exp=exp,
        max_chars=item.max_chars,
        name=item.field,
    )


def fitting(item: Item, plaintext: bytes, cty: str | None) -> bytes:
    """Return a value as its item has it sealed; raise UnfitValue for one that is not as it asks.

    The backend sees a token and so a string, whatever the client sent: what it would have refused
    in plaintext must be refused here.
    """
    least = item.min_chars
    if least is None:
        return plaintext
    try:
        text = None if cty is not None else plaintext.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise UnfitValue("not-a-string", detail=f"{item.field}: a string is needed.")
    if item.not_blank or item.trim:
        trimmed = text.strip(_WHITE)
        if item.not_blank and not trimmed:
            raise UnfitValue("blank", detail=f"{item.field}: more than white space is needed.")
        text = trimmed if item.trim else text
    if len(text) < least:
        raise UnfitValue(
            "too-few-characters", detail=f"{item.field}: at least {least} characters are needed."
        )
    return text.encode() if item.trim else plaintext


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

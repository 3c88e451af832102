"""Values sealed and opened by hand: those of no message, for the command line and the admin API.

The contexts are what the caller says. What opens is decided as for the values of messages: by the
same look-up of sessions, after the same work, and with the same tale of what did not open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..core.crypto import token
from ..core.crypto.context import Context
from ..core.crypto.session_cipher import Session
from ..core.crypto.token import CTY_JSON, Form, Token
from ..core.edits.edits import AtHand
from ..core.edits.key_needs import Needs
from ..core.errors import OpenFailed, Unopened
from .sessions import Sessions


class ToSeal(NamedTuple):
    """A value and what it is to be bound to; `json_value` says that it is a JSON text."""

    plaintext: bytes
    context: Context
    json_value: bool = False
    form: Form = "jwe"


class ToOpen(NamedTuple):
    """The text of a token, and what it must be bound to."""

    text: bytes
    context: Context


class Opened(NamedTuple):
    """What a token holds, and the content type that it tells."""

    plaintext: bytes
    cty: str | None


async def seal(sessions: Sessions, values: Sequence[ToSeal]) -> list[bytes]:
    """Return the token of each value; raise KeyUnavailable where a session is not to be had."""
    needs = Needs(
        seals=Counter(one.context.scope for one in values),
        joined=any(one.context.joined for one in values),
    )
    at_hand = AtHand(await sessions.resolve(needs))
    return [_sealed(at_hand, one) for one in values]


async def open_tokens(sessions: Sessions, asked: Sequence[ToOpen]) -> list[Opened]:
    """Return what the tokens hold: of all of them, or of none.

    Raises OpenFailed, which tells in `unopened` what is to be told of the first that did not open;
    KeyUnavailable where the store does not answer, or nothing is opened just now.
    """
    decoded = [(_decoded(one.text), one.context) for one in asked]
    wanted = frozenset((context.scope, one.key_id) for one, context in decoded)
    joined = any(context.joined for _, context in decoded)
    at_hand = AtHand(await sessions.resolve(Needs({}, wanted, joined)))
    now = sessions.now()
    opened: list[Opened] = []
    proven: Counter[Session] = Counter()
    try:
        for one, context in decoded:
            session, plaintext, _ = at_hand.open(one, context, now)
            proven[session] += 1
            opened.append(Opened(plaintext, one.cty))
    except OpenFailed as failed:
        failed.unopened = tuple(at_hand.unopened)
        raise
    sessions.remember(proven)
    return opened


def _sealed(at_hand: AtHand, one: ToSeal) -> bytes:
    session, context = at_hand.seal_for(one.context)
    cty = CTY_JSON if one.json_value else None
    return session.seal(one.plaintext, context, cty=cty, form=one.form)


def _decoded(text: bytes) -> Token:
    try:
        return token.decode(text)
    except OpenFailed as failed:
        failed.unopened = (Unopened(failed.reason, b""),)
        raise

"""Poison tokens: planted where nobody has reason to open anything, so that whoever does is noticed.

Their session id is one that only the holders of the keyring can tell from others, and their key was
forgotten when they were made: they open nowhere, as a forged token does, and after as much work.
They are recognised once they did not open, so that what opens costs nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.crypto import base64url, derivation, token
from ...core.crypto.context import Context, Scope
from ...core.crypto.derivation import SID_TIME_BYTES
from ...core.crypto.secret import KEY_BYTES, PoisonKey, SessionKey
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import CTY_JSON, Form
from ...core.errors import OpenFailed
from .kek import RandomBytes
from .keyring import Keyring


@dataclass(frozen=True, slots=True)
class Looks:
    """What a poison token looks like: its form, how many bytes it holds, how it was sealed."""

    form: Form
    length: int
    ephemeral: bool = False
    json_value: bool = False


def make(keyring: Keyring, began: int, looks: Looks, *, random: RandomBytes) -> tuple[str, str]:
    """Return a poison token and its session id; the session looks to have begun at `began`."""
    sid = derivation.poison_sid(derivation.poison_key(keyring.record_key), began)
    kek = None if looks.ephemeral else keyring.primary
    session = Session(
        SessionKey(random(KEY_BYTES)),
        sid=sid,
        scope=Scope(),
        kek_id=None if kek is None else kek.id,
        kek_number=None if kek is None else kek.number,
    )
    cty = CTY_JSON if looks.json_value else None
    sealed = session.seal(random(looks.length), Context(Scope()), cty=cty, form=looks.form)
    return sealed.decode(), base64url.encode(sid).decode()


def is_poison(key: PoisonKey, sid: bytes) -> bool:
    """Whether a session id is that of poison tokens."""
    return sid == derivation.poison_sid(key, int.from_bytes(sid[:SID_TIME_BYTES]))


def planted(keyring: Keyring, text: bytes) -> str | None:
    """Return the session id of a token if it is a poison token."""
    try:
        sid = token.decode(text).key_id.sid
    except OpenFailed:
        return None
    if not is_poison(derivation.poison_key(keyring.record_key), sid):
        return None
    return base64url.encode(sid).decode()

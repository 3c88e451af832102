"""Poison tokens: planted where there is no reason to open anything, so that attempts are noticed.

Only holders of the keyring can recognise their session id, and their key was discarded when they
were made: like a forged token they never open, and take as long to refuse. They are recognised
after they did not open, so that tokens that open cost nothing more.
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
    """The appearance of a poison token: its form, the bytes it holds, how it was sealed."""

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
    began = int.from_bytes(sid[:SID_TIME_BYTES])
    return any(sid == derivation.poison_sid(one, began) for one in key.all)


def planted(keyring: Keyring, text: bytes) -> str | None:
    """Return the session id of a token if it is a poison token."""
    try:
        sid = token.decode_stored(text).key_id.sid
    except OpenFailed:
        return None
    if not is_poison(derivation.poison_key(keyring.record_key), sid):
        return None
    return base64url.encode(sid).decode()

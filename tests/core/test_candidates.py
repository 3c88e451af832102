"""One name may stand for several keys after a merge: all of them are tried, and no other."""

from __future__ import annotations

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, decode
from proxy.core.edits.edits import KeysInUse
from proxy.core.edits.key_needs import Keys
from proxy.core.errors import OpenFailed

NOW = 1_800_000_000
SID = NOW.to_bytes(4) + b"8 bytes."
SCOPE = Scope("clinic", "c1")
CONTEXT = Context(SCOPE, field="content")


def a_session(letter: bytes, kek_id: str = "k1") -> Session:
    return Session(SessionKey(letter * 32), sid=SID, scope=SCOPE, kek_id=kek_id, kek_number=1)


@pytest.mark.parametrize("form", ["jwe", "short"])
@pytest.mark.parametrize("letter", [b"a", b"b", b"c"])
def test_whichever_key_sealed_it_opens_and_is_told(form: Form, letter: bytes) -> None:
    first, *others = (a_session(one) for one in (b"a", b"b", b"c"))
    first.others = tuple(others)
    token = decode(a_session(letter).seal(b"hello", CONTEXT, form=form))
    at_hand = KeysInUse(Keys({}, {(SCOPE, token.key_id): first}))
    session, plaintext, context = at_hand.open(token, CONTEXT, NOW)
    assert (plaintext, context) == (b"hello", CONTEXT)
    assert session is {b"a": first, b"b": others[0], b"c": others[1]}[letter]
    assert at_hand.unopened == []


@pytest.mark.parametrize("form", ["jwe", "short"])
def test_a_token_of_none_of_them_is_refused_once(form: Form) -> None:
    first = a_session(b"a")
    first.others = (a_session(b"b"),)
    token = decode(a_session(b"x").seal(b"hello", CONTEXT, form=form))
    at_hand = KeysInUse(Keys({}, {(SCOPE, token.key_id): first}))
    with pytest.raises(OpenFailed):
        at_hand.open(token, CONTEXT, NOW)
    assert len(at_hand.unopened) == 1


def test_what_must_not_open_opens_under_no_other_key_either() -> None:
    first, other = a_session(b"a"), a_session(b"b")
    first.others = (other,)
    token = decode(other.seal(b"hello", CONTEXT))
    wanted = SCOPE, token.key_id
    at_hand = KeysInUse(Keys({}, {}, {wanted: first}, {wanted: "revoked-session"}))
    with pytest.raises(OpenFailed, match="revoked-session"):
        at_hand.open(token, CONTEXT, NOW)

"""The equal form: the same value is the same token, and nothing else opens."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.core.crypto import base64url, token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.equal import EqualSession
from proxy.core.crypto.joined_names import from_json
from proxy.core.crypto.secret import KEY_BYTES, IndexSecret, SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import OpenFailed, UnfitValue, ValueTooLong
from proxy.core.leaves import candidates as native_candidates
from proxy.core.leaves import tokens

WIRE: Final = Path(__file__).parents[2] / "vectors" / "wire"
SECRET: Final = IndexSecret(bytes(range(KEY_BYTES)))
CLINIC: Final = Scope("clinic")
CONTEXT: Final = Context(CLINIC, "email")


def a_session(generation: int = 1, secret: IndexSecret = SECRET) -> EqualSession:
    return EqualSession(secret, generation, CLINIC)


def opened(text: bytes, context: Context = CONTEXT, generation: int = 1) -> bytes:
    return a_session(generation).open(token.decode(text), context, 0)


@pytest.mark.parametrize("value", [b"", b"a", b"ann@example.com", bytes(65_536)])
@pytest.mark.parametrize("cty", [None, "json"])
def test_a_value_is_always_the_same_token_and_opens(value: bytes, cty: str | None) -> None:
    sealed = a_session().seal(value, CONTEXT, cty=cty)
    assert sealed == a_session().seal(value, CONTEXT, cty=cty)
    assert len(sealed) == token.equal_length(len(value))
    found = token.decode(sealed)
    assert (found.form, found.cty, found.key_id) == ("equal", cty, token.KeyId(b"", kek_number=1))
    assert opened(sealed) == value


def test_values_kinds_fields_tenants_generations_and_secrets_share_no_token() -> None:
    other = IndexSecret(bytes(KEY_BYTES))
    sealed = [
        a_session().seal(b"1", CONTEXT),
        a_session().seal(b"2", CONTEXT),
        a_session().seal(b"1", CONTEXT, cty="json"),
        a_session().seal(b"1", Context(CLINIC, "emails")),
        a_session().seal(b"1", Context(Scope("clinics"), "email")),
        a_session().seal(b"1", Context(Scope(), "email")),
        a_session(2).seal(b"1", CONTEXT),
        a_session(secret=other).seal(b"1", CONTEXT),
    ]
    bodies = {one[9:] for one in sealed}
    assert len(bodies) == len(sealed)


@pytest.mark.parametrize("at", range(19 + 4))
def test_a_changed_bit_does_not_open(at: int) -> None:
    sealed = base64url.decode(a_session().seal(b"1234", CONTEXT)[4:])
    for bit in range(8):
        changed = bytearray(sealed)
        changed[at] ^= 1 << bit
        text = b"sy1." + base64url.encode(bytes(changed))
        with pytest.raises(OpenFailed):
            # Of another generation, its key is another one: as that of this generation it fails.
            opened(text)


def test_another_context_key_or_a_refusal_does_not_open() -> None:
    sealed = a_session().seal(b"1", CONTEXT)
    for context in (Context(CLINIC, "name"), Context(Scope("other"), "email")):
        with pytest.raises(OpenFailed, match="bad-tag"):
            opened(sealed, context)
    with pytest.raises(OpenFailed, match="bad-tag"):
        opened(sealed, generation=2)
    with pytest.raises(OpenFailed, match="revoked"):
        a_session().open(token.decode(sealed), CONTEXT, 0, refusal="revoked")


@pytest.mark.parametrize(
    "context",
    [
        Context(Scope("clinic", "c1"), "email"),
        Context(CLINIC, "email", "m1"),
        Context(CLINIC, "email", purpose="care"),
        Context(CLINIC, "email", kind="body"),
    ],
)
def test_what_is_bound_to_more_is_refused(context: Context) -> None:
    with pytest.raises(UnfitValue) as refused:
        a_session().seal(b"1", context)
    assert refused.value.reason == "bound-to-more"


def test_it_has_no_end_and_a_length() -> None:
    with pytest.raises(ValueError, match="no place for an end"):
        a_session().seal(b"1", CONTEXT, exp=1)
    assert token.equal_capacity(token.equal_length(9)) == 9
    assert token.equal_capacity(3) == 0
    most = token.equal_length(9)
    assert a_session().seal(b"123456789", CONTEXT, max_chars=most)
    with pytest.raises(ValueTooLong, match=re.escape("value-too-long")) as refused:
        a_session().seal(b"1234567890", CONTEXT, max_chars=most, name="email")
    assert (
        refused.value.detail
        == f"email: at most 9 bytes of UTF-8 fit into {most} sealed characters."
    )


@pytest.mark.parametrize("flags", [4, 9, 12, 24, 40, 72, 136])
def test_other_flags_and_no_generation_are_refused(flags: int) -> None:
    rest = bytes((0, 1)) + bytes(80)
    for head in (bytes((flags,)) + rest, bytes((8, 0, 0)) + bytes(50)):
        with pytest.raises(OpenFailed, match="malformed-token-header"):
            token.decode(b"sy1." + base64url.encode(head))
    with pytest.raises(OpenFailed, match="malformed-token"):
        token.decode(b"sy1." + base64url.encode(bytes((8, 0, 1)) + bytes(15)))


@pytest.mark.parametrize("value", [b"", b"ann@example.com"])
def test_it_is_found_in_a_text_whole_and_cut(value: bytes) -> None:
    sealed = a_session(1023).seal(value, CONTEXT)
    for find in (tokens.candidates, native_candidates):
        assert find(b"x " + sealed + b" y", 0, 999) == [2, 2 + len(sealed)]
    assert not token.is_cut(sealed)
    assert [token.is_cut(sealed[:size]) for size in range(14, 30)] == [False] * 2 + [True] * 13 + [
        token.is_cut(sealed[:29])
    ]


@pytest.mark.parametrize(
    "text", [b"sy1.Conversations", b"sy1.CCCCCCCCCCCCC", b"sy1.CARQaaaaaaaaaa"]
)
def test_what_people_write_is_no_cut_token(text: bytes) -> None:
    assert not token.is_cut(text)


def test_other_sessions_seal_no_value_in_the_equal_form() -> None:
    session = Session(SessionKey(bytes(32)), sid=bytes(12), scope=CLINIC, kek_id="k")
    with pytest.raises(ValueError, match="has keys of its own"):
        session.seal(b"1", CONTEXT, form="equal")


def test_it_shows_nothing_and_is_not_copied() -> None:
    assert repr(a_session()) == "<Session hidden>"


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((WIRE / "equal.json").read_text("utf-8"))["vectors"]
    return found


def of_vector(one: dict[str, Any]) -> tuple[EqualSession, Context]:
    parts = {name: from_json(value) for name, value in one["parts"].items()}
    context = Context(Scope(parts.get("tenant")), one["parts"]["field"], parts.get("message"))
    secret = IndexSecret(bytes.fromhex(one["secret"]))
    return EqualSession(secret, one["generation"], context.scope), context


@pytest.mark.parametrize("one", [one for one in vectors() if one["opens"]])
def test_a_frozen_token_opens_and_is_made_again(one: dict[str, Any]) -> None:
    session, context = of_vector(one)
    value = b64decode(one["plaintext"])
    text = one["token"].encode()
    assert session.open(token.decode(text), context, 0) == value
    assert session.seal(value, context, cty=one["cty"]) == text


@pytest.mark.parametrize("one", [one for one in vectors() if not one["opens"]])
def test_what_is_frozen_as_none_is_refused(one: dict[str, Any]) -> None:
    session, context = of_vector(one)

    def open_it() -> bytes:
        return session.open(token.decode(one["token"].encode()), context, 0)

    with pytest.raises(OpenFailed):
        open_it()

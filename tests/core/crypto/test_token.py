from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import token
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.derivation import session_key
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId
from proxy.core.errors import OpenFailed, SealyardError
from tests.factories import KEK, NOW, SCOPE, a_session, a_sid

CONTEXT = Context(Scope("clinic", "c1"), field="content")


def head_of(text: bytes) -> bytes:
    return text.partition(b".")[0]


@pytest.mark.parametrize("size", range(301))
def test_a_jwe_token_has_the_length_foretold(size: int) -> None:
    sealed = a_session().seal(b"x" * size, CONTEXT)
    assert len(sealed) == token.jwe_length(head_of(sealed), size)


@pytest.mark.parametrize("size", range(301))
def test_a_short_token_has_the_length_foretold(size: int) -> None:
    sealed = a_session().seal(b"x" * size, CONTEXT, form="short")
    assert len(sealed) == token.short_length(size)


def test_the_lengths_are_those_of_the_design() -> None:
    head = head_of(a_session().seal(b"", CONTEXT))
    assert (token.jwe_length(head, 20), token.jwe_length(head, 1024)) == (203, 1542)
    assert (token.short_length(20), token.short_length(1024)) == (110, 1448)
    assert (token.jwe_capacity(head, 255), token.short_capacity(255)) == (59, 129)


@given(st.integers(0, 3000))
def test_the_capacity_is_the_most_that_fits(characters: int) -> None:
    head = head_of(a_session().seal(b"", CONTEXT))
    for capacity, length in (
        (token.jwe_capacity(head, characters), lambda size: token.jwe_length(head, size)),
        (token.short_capacity(characters), token.short_length),
    ):
        assert length(capacity + 1) > characters
        assert length(capacity) <= characters or capacity == 0


def test_every_jwe_token_begins_with_the_same_sixteen_characters() -> None:
    assert len(token.JWE_PREFIX) == 16
    for ephemeral in (False, True):
        for cty in (None, "json", "text/plain"):
            sealed = a_session(ephemeral=ephemeral).seal(b"x", CONTEXT, cty=cty)
            assert sealed.startswith(token.JWE_PREFIX)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (token.JWE_PREFIX, True),
        (token.SHORT_PREFIX, True),
        (b"eyJ0eXAiOiJzeTE", False),
        (b"eyJhbGciOiJkaXIifQ..a.b.c", False),
        (b"sy1", False),
        (b" sy1.", False),
        (b"", False),
    ],
)
def test_what_begins_as_tokens_do_is_told_from_plaintext(text: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    assert expected == token.has_prefix(text)


def test_a_key_id_tells_when_its_session_began() -> None:
    assert KeyId(a_sid()).created == NOW - 600


def test_a_key_id_says_which_key_it_names() -> None:
    assert KeyId(a_sid(), kek_id="first").key == "first"
    assert KeyId(a_sid(), kek_number=7).key == "number 7"
    assert not KeyId(a_sid()).key
    assert KeyId(b"", kek_number=2).key == "index 2"


@pytest.mark.parametrize("exp", [0, 1, 10**12 - 1])
@pytest.mark.parametrize("cty", [None, "json", "a/" + "b" * 125])
@pytest.mark.parametrize("kek_id", [None, "k", "k" * 32])
@pytest.mark.parametrize("commitment", [bytes(16), bytes(range(32))])
def test_a_header_says_what_was_put_in(
    kek_id: str | None, cty: str | None, exp: int, commitment: bytes
) -> None:
    key_id = KeyId(a_sid(7), kek_id=kek_id)
    header = token.decode_header(token.encode_header(key_id, commitment, cty, exp))
    assert (key_id, commitment, cty, exp) == (
        header.key_id,
        header.commitment,
        header.cty,
        header.exp,
    )


def test_a_header_without_cty_and_exp_says_so() -> None:
    header = token.decode_header(token.encode_header(KeyId(a_sid()), bytes(16)))
    assert (header.cty, header.exp) == (None, None)


@pytest.mark.parametrize("form", ["jwe", "short"])
def test_a_session_id_may_hold_any_bytes(form: token.Form) -> None:
    sid = bytes.fromhex("ffffffff" + "fb" * 8)
    sealed = a_session(sid=sid).seal(b"x", CONTEXT, form=form)
    assert sid == token.decode(sealed).key_id.sid


@given(st.binary(max_size=200))
def test_random_bytes_are_no_token(text: bytes) -> None:
    with pytest.raises(OpenFailed):
        token.decode(text)


@given(
    prefix=st.sampled_from([token.JWE_PREFIX, token.SHORT_PREFIX]),
    rest=st.text("ABCabc019-_.=+/ \n", max_size=120) | st.binary(max_size=100),
)
def test_what_only_begins_like_a_token_raises_nothing_else(
    prefix: bytes, rest: str | bytes
) -> None:
    text = prefix + (rest.encode() if isinstance(rest, str) else rest)
    try:
        decoded = token.decode(text)
    except SealyardError as error:
        assert error.code == "open-failed"  # noqa: PT017 - either outcome is lawful
    else:
        assert decoded.form == "short"


@pytest.mark.parametrize("form", ["jwe", "short"])
def test_a_whole_token_was_not_cut(form: Form) -> None:
    whole = a_session().seal(b"x", Context(SCOPE), form=form)
    assert not token.is_cut(whole)
    assert token.is_cut(whole[:40])


@pytest.mark.parametrize("size", [0, 1, 20, 300])
def test_a_whole_token_is_not_taken_for_a_cut_one(size: int) -> None:
    context = Context(Scope("t", "c"), field="f")
    forms: tuple[Form, ...] = ("jwe", "short")
    for form in forms:
        whole = a_session(context.scope).seal(b"x" * size, context, form=form)

        assert not token.is_cut(whole)


@pytest.mark.parametrize("number", [1, 4095, 4096, 65535])
def test_a_short_token_is_known_to_be_cut_whatever_number_its_kek_has(number: int) -> None:
    session = Session(
        session_key(KEK, a_sid(), SCOPE), sid=a_sid(), scope=SCOPE, kek_id="k", kek_number=number
    )
    whole = session.seal(b"x", Context(SCOPE), form="short")

    assert token.is_cut(whole[:40])

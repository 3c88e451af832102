from __future__ import annotations

import copy
import hmac
import pickle
from collections.abc import Callable
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import base64url, derivation, token
from proxy.core.crypto import session_cipher as session_module
from proxy.core.crypto.aead import Aead
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId
from proxy.core.errors import OpenFailed, ValueTooLong
from proxy.core.policy import EXPIRY_SKEW_SECONDS
from tests.factories import EPHEMERAL_KEY, NOW, SCOPE, a_session, a_sid
from tests.keys.end_to_end.salamander import salamander

CONTEXT = Context(SCOPE, field="content")
FORMS: tuple[Form, ...] = ("jwe", "short")

in_each_form = pytest.mark.parametrize("form", FORMS)
each_key = pytest.mark.parametrize("ephemeral", [False, True], ids=["durable", "ephemeral"])


def opened(sealed: bytes, context: Context = CONTEXT, session: Session | None = None) -> bytes:
    return (session or a_session()).open(token.decode(sealed), context, NOW)


@in_each_form
@each_key
@pytest.mark.parametrize("plaintext", [b"", b"x", "Grüße 🌍".encode(), bytes(range(256)) * 9])
def test_what_was_sealed_opens(form: Form, ephemeral: bool, plaintext: bytes) -> None:  # noqa: FBT001 - a table
    session = a_session(ephemeral=ephemeral)
    sealed = session.seal(plaintext, CONTEXT, form=form)
    assert plaintext == opened(sealed, session=a_session(ephemeral=ephemeral))


@in_each_form
@pytest.mark.parametrize(
    "moved",
    [
        Context(SCOPE, field="subject"),
        Context(SCOPE),
        Context(SCOPE, field="content", message="m1"),
        Context(SCOPE, field="content", purpose="p"),
        Context(SCOPE, field="content", kind="body"),
        Context(SCOPE, field="content", kind="stream"),
        Context(Scope("clinic", "c2"), field="content"),
        Context(Scope("other", "c1"), field="content"),
        Context(Scope(None, "c1"), field="content"),
    ],
)
def test_a_token_cannot_be_moved_to_another_context(form: Form, moved: Context) -> None:
    sealed = a_session().seal(b"x", CONTEXT, form=form)
    with pytest.raises(OpenFailed):  # even to one who has the very key
        opened(sealed, moved)
    with pytest.raises(OpenFailed):
        opened(sealed, moved, a_session(moved.scope))


@in_each_form
def test_a_token_cannot_be_moved_to_another_session(form: Form) -> None:
    sealed = a_session().seal(b"x", CONTEXT, form=form)
    with pytest.raises(OpenFailed):
        opened(sealed, session=a_session(sid=a_sid(1)))


@in_each_form
def test_each_sealing_of_one_value_differs(form: Form) -> None:
    assert len({a_session().seal(b"same", CONTEXT, form=form) for _ in range(20)}) == 20


def test_the_commitment_is_compared_in_constant_time_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sealed = token.decode(a_session().seal(b"x", CONTEXT))
    compared: list[tuple[bytes, bytes]] = []

    def differs(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", differs)
    with pytest.raises(OpenFailed) as caught:
        a_session().open(sealed, CONTEXT, NOW)
    assert caught.value.reason == "wrong-context"
    assert compared == [(sealed.commitment, sealed.commitment)]


@pytest.mark.parametrize("late", [-(10**6), -1, 0, 1, EXPIRY_SKEW_SECONDS])
def test_a_token_opens_until_its_expiry_and_the_skew(late: int) -> None:
    sealed = a_session().seal(b"x", CONTEXT, exp=NOW)
    assert a_session().open(token.decode(sealed), CONTEXT, NOW + late) == b"x"


def test_an_expired_token_is_refused() -> None:
    sealed = a_session().seal(b"x", CONTEXT, exp=NOW)
    with pytest.raises(OpenFailed) as caught:
        a_session().open(token.decode(sealed), CONTEXT, NOW + EXPIRY_SKEW_SECONDS + 0.5)
    assert caught.value.reason == "expired-token"


def test_an_expired_token_is_not_asked_whether_it_is_forged() -> None:
    # A tag that verifies takes another time than one that does not: whoever has an old token must
    # not learn which of the two it is.
    sealed = a_session().seal(b"x", CONTEXT, exp=0)
    forged = sealed[:-4] + (b"A" if sealed[-4:-3] != b"A" else b"B") + sealed[-3:]
    reasons = []
    for one in (sealed, forged):
        with pytest.raises(OpenFailed) as caught:
            opened(one)
        reasons.append(caught.value.reason)
    assert reasons == ["expired-token"] * 2


class Tried(Aead):
    """Notes every opening, and whether its tag verified."""

    verified: ClassVar[list[bool]] = []

    def open(self, iv: bytes, sealed: bytes, aad: bytes) -> bytes:
        """Do as the cipher does."""
        self.verified.append(False)
        plaintext = super().open(iv, sealed, aad)
        self.verified[-1] = True
        return plaintext


@pytest.mark.parametrize(
    ("sealed", "refusal", "reason"),
    [
        (a_session().seal(b"x", Context(SCOPE, field="other")), None, "wrong-context"),
        (a_session().seal(b"x", CONTEXT, exp=0), None, "expired-token"),
        (a_session().seal(b"x", CONTEXT, exp=0), "revoked-session", "revoked-session"),
        (a_session().seal(b"x", CONTEXT), "revoked-session", "revoked-session"),
        (a_session().seal(b"x", CONTEXT, form="short"), "unknown-key", "unknown-key"),
    ],
    ids=["context", "expiry", "refused-and-expired", "refused", "refused-short"],
)
def test_whatever_is_refused_is_opened_and_its_tag_does_not_verify(
    sealed: bytes, refusal: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[bool] = []
    monkeypatch.setattr(session_module, "Aead", Tried)
    monkeypatch.setattr(Tried, "verified", verified)
    with pytest.raises(OpenFailed) as caught:
        a_session().open(token.decode(sealed), CONTEXT, NOW, refusal=refusal)
    assert (caught.value.reason, verified) == (reason, [False])


def test_a_refused_token_stays_refused_even_if_its_tag_verifies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "_OF_NO_TOKEN", b"")
    sealed = token.decode(a_session().seal(b"x", CONTEXT))
    with pytest.raises(OpenFailed) as caught:
        a_session().open(sealed, CONTEXT, NOW, refusal="revoked-session")
    assert caught.value.reason == "revoked-session"


def test_an_expiry_is_not_kept_for_the_next_token() -> None:
    session = a_session()
    session.seal(b"x", CONTEXT, exp=NOW)
    assert token.decode(session.seal(b"x", CONTEXT)).exp is None
    assert token.decode(session.seal(b"x", CONTEXT, exp=NOW + 1)).exp == NOW + 1


@in_each_form
@given(max_chars=st.integers(0, 700), plus=st.sampled_from([0, 1]))
def test_exactly_the_bytes_that_are_named_fit(form: Form, max_chars: int, plus: int) -> None:
    with pytest.raises(ValueTooLong) as caught:
        a_session().seal(b"x" * 1000, CONTEXT, form=form, max_chars=max_chars, name="subject")
    capacity = int(caught.value.detail.split("at most ")[1].split()[0])
    assert caught.value.detail.startswith("subject: ")
    assert caught.value.detail.endswith(f" {max_chars} sealed characters.")
    with pytest.raises(ValueTooLong):
        a_session().seal(b"x" * (capacity + 1), CONTEXT, form=form, max_chars=max_chars)
    if capacity:
        sealed = a_session().seal(b"x" * capacity, CONTEXT, form=form, max_chars=max_chars)
        assert len(sealed) <= max_chars


@in_each_form
def test_a_value_that_fills_its_column_is_sealed(form: Form) -> None:
    size = {"jwe": 59, "short": 129}[form]
    sealed = a_session().seal(b"x" * size, CONTEXT, form=form, max_chars=255)
    assert len(sealed) == 255


def test_the_expiry_counts_in_the_length() -> None:
    plain = len(a_session().seal(b"x", CONTEXT))
    with pytest.raises(ValueTooLong):
        a_session().seal(b"x", CONTEXT, exp=NOW, max_chars=plain)


@each_key
def test_a_durable_token_names_its_kek_and_an_ephemeral_one_does_not(ephemeral: bool) -> None:  # noqa: FBT001 - a table
    session = a_session(ephemeral=ephemeral)
    by_id = token.decode(session.seal(b"", CONTEXT)).key_id
    by_number = token.decode(session.seal(b"", CONTEXT, form="short")).key_id
    assert (by_id.kek_id, by_id.kek_number) == (None if ephemeral else "k1", None)
    assert (by_number.kek_id, by_number.kek_number) == (None, None if ephemeral else 1)


def test_contexts_that_clients_choose_do_not_pile_up() -> None:
    session = a_session()
    contexts = [Context(SCOPE, field="content", message=str(number)) for number in range(1000)]
    sealed = [session.seal(b"x", context) for context in contexts]
    assert all(opened(one, at, session) == b"x" for one, at in zip(sealed, contexts, strict=True))
    assert len(session._contexts) <= 256
    assert len(session._headers) <= 256


def test_a_session_tells_when_it_began() -> None:
    assert a_session().created == NOW - 600


def test_a_session_shows_nothing_of_its_key() -> None:
    session = Session(EPHEMERAL_KEY, sid=a_sid(), scope=SCOPE)
    for text in (repr(session), str(session), f"{session}"):
        assert text == "<Session hidden>"


@pytest.mark.parametrize("spread", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_session_is_not_copied_or_pickled(spread: Callable[[Session], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        spread(a_session())


def test_contexts_in_turn_keep_their_own_commitments() -> None:
    session = a_session()
    one, other = Context(SCOPE, field="one"), Context(SCOPE, field="other")
    for context in (one, other, one):
        assert opened(session.seal(b"x", context, form="short"), context, session) == b"x"


def packaged() -> Session:
    return Session(EPHEMERAL_KEY, sid=a_sid(), scope=SCOPE, packaged=True)


def test_a_key_from_a_package_commits_with_all_32_bytes() -> None:
    sealed = packaged().seal(b"x", CONTEXT)

    assert len(token.decode(sealed).commitment or b"") == 32
    assert opened(sealed, session=packaged()) == b"x"


def test_a_short_commitment_does_not_open_under_a_package_key_nor_the_other_way() -> None:
    """The key is the same: only the number of bytes that commit to it tells them apart."""
    plain = a_session(ephemeral=True)

    for sealed, session in (
        (plain.seal(b"x", CONTEXT), packaged()),
        (packaged().seal(b"x", CONTEXT), plain),
    ):
        with pytest.raises(OpenFailed) as failed:
            opened(sealed, session=session)
        assert failed.value.reason == "wrong-context"


def test_the_short_form_is_never_used_with_a_package_key() -> None:
    sealed = a_session(ephemeral=True).seal(b"x", CONTEXT, form="short")

    with pytest.raises(OpenFailed) as failed:
        opened(sealed, session=packaged())
    assert failed.value.reason == "short-form-of-package-key"
    with pytest.raises(ValueError, match="short form"):
        packaged().seal(b"x", CONTEXT, form="short")


def test_a_short_token_that_opens_under_two_keys_is_refused_by_one_of_them() -> None:
    sid, iv, encoded = a_sid(), bytes(12), CONTEXT.encode()
    first, second = bytes(range(32)), bytes(range(32, 64))
    kctx = derivation.commitment_key(SessionKey(first))
    com = derivation.commitment(kctx, iv + encoded)
    head = token.short_head(KeyId(sid), json=False) + iv + com
    aad = token.SHORT_PREFIX + head + encoded
    made_up = salamander(first, second, iv, aad)
    sealed = token.decode(token.encode_short(head, made_up))
    texts = [AESGCM(key).decrypt(iv, made_up, aad) for key in (first, second)]
    assert texts[0] != texts[1]  # to AES-GCM it is good under both
    one, other = (Session(SessionKey(key), sid=sid, scope=SCOPE) for key in (first, second))
    assert one.open(sealed, CONTEXT, NOW) == texts[0]
    with pytest.raises(OpenFailed, match="wrong-context"):
        other.open(sealed, CONTEXT, NOW)


def test_short_tokens_of_one_context_have_nothing_in_common_behind_the_session_id() -> None:
    session = a_session()
    rests = [
        base64url.decode(session.seal(b"x" * 16, CONTEXT, form="short")[4:])[15:]
        for _ in range(200)
    ]
    pieces = {one[at : at + 8] for one in rests for at in range(len(one) - 7)}
    assert len(pieces) == sum(len(one) - 7 for one in rests)


def test_all_texts_of_a_message_are_sealed_under_their_heads_and_open_together() -> None:
    session = a_session()
    contexts = (CONTEXT, CONTEXT._replace(field="subject"))
    heads = session.heads(contexts)
    assert session.heads(contexts) is heads
    ivs, sealed = session.seal_all([b"one", b"two"], heads)
    tokens = [
        (head, ivs[12 * at : 12 * at + 12], text)
        for at, (head, text) in enumerate(zip(heads, sealed, strict=True))
    ]
    assert session.wrote([head for head, _, _ in tokens], contexts)
    assert session.open_all(tokens) == [b"one", b"two"]
    assert not session.wrote([head for head, _, _ in tokens[::-1]], contexts)
    changed = bytes((tokens[1][2][0] ^ 1,)) + tokens[1][2][1:]
    tokens[1] = (*tokens[1][:2], changed)
    assert session.open_all(tokens) is None

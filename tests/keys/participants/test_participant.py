from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.crypto import base64url
from proxy.core.errors import ParticipantError
from proxy.keys.participants.participant import Participant, ParticipantKey
from proxy.keys.participants.public_key import PublicKey
from proxy.keys.policy import MAX_KEYS
from tests.keys.builders import NOW

from .builders import a_key, a_public_key


def kids(participant: Participant, now: float) -> list[str]:
    return [one["kid"] for one in participant.jwks(now)["keys"]]


ALICE, BOB = a_public_key("alice-enc").kid, a_public_key("bob-enc").kid


def test_the_old_key_of_a_rotation_opens_during_grace_and_seals_no_more() -> None:
    before = Participant().add(a_key("alice-enc"))

    after = before.rotate(a_key("bob-enc", created=NOW + 10), grace=60)

    old = after.find(ALICE)
    assert kids(after, NOW + 10) == [BOB]
    assert (old.status(NOW + 69), old.opens(NOW + 69)) == ("rotated", True)
    assert (old.status(NOW + 70), old.opens(NOW + 70)) == ("expired", False)


def test_a_rotation_leaves_other_devices_and_signing_keys_alone() -> None:
    before = Participant().add(a_key("alice-enc")).add(a_key("alice-sig"))
    before = before.add(a_key("outsider-enc", device="laptop"))

    after = before.rotate(a_key("bob-enc"), grace=0)

    assert [one.status(NOW) for one in after.keys] == ["expired", "active", "active", "active"]


def test_a_device_without_an_active_key_has_nothing_to_rotate() -> None:
    with pytest.raises(ParticipantError, match="no active key"):
        Participant().add(a_key("alice-sig")).rotate(a_key("bob-enc"), grace=5)


def test_a_revoked_key_opens_nothing_and_keeps_its_first_reason() -> None:
    once = Participant().add(a_key()).revoke(ALICE, "phone lost", NOW + 5)
    twice = once.revoke(ALICE, "again", NOW + 9)

    key = twice.find(ALICE)
    assert (key.status(NOW + 5), key.opens(NOW + 5)) == ("revoked", False)
    assert (key.revoked, key.reason, kids(twice, NOW)) == (NOW + 5, "phone lost", [])


def test_a_key_that_was_there_never_comes_back() -> None:
    revoked = Participant().add(a_key()).revoke(ALICE, "lost", NOW)

    with pytest.raises(ParticipantError, match="already"):
        revoked.add(a_key(device="laptop"))


def test_an_expiry_is_never_put_off() -> None:
    ends = Participant().add(a_key(expires=NOW + 50)).expire(ALICE, NOW + 90)

    assert ends.find(ALICE).expires == NOW + 50
    assert ends.expire(ALICE, NOW + 20).find(ALICE).status(NOW + 20) == "expired"


def test_has_valid_keys_asks_for_an_active_key_of_that_use() -> None:
    participant = Participant().add(a_key("alice-sig"))

    assert participant.has_valid_keys(NOW, "sig")
    assert not participant.has_valid_keys(NOW)
    assert not Participant().add(a_key(expires=NOW + 1)).has_valid_keys(NOW + 1)


@pytest.mark.parametrize("reason", ["", "a\nb", "x" * 201, "\x1b[2J"])
def test_a_reason_is_short_and_printable(reason: str) -> None:
    with pytest.raises(ParticipantError, match="reason"):
        Participant().add(a_key()).revoke(ALICE, reason, NOW)


@pytest.mark.parametrize("key", [{"device": "a b"}, {"device": ""}, {"expires": NOW}])
def test_a_key_that_makes_no_sense_is_not_added(key: dict[str, object]) -> None:
    with pytest.raises(ParticipantError):
        Participant().add(a_key(**key))  # type: ignore[arg-type]  # a case is any field


def test_an_unknown_key_id_is_told() -> None:
    with pytest.raises(ParticipantError, match="no key with that id"):
        Participant().revoke("x", "lost", NOW)
    with pytest.raises(ParticipantError, match="no key with that id"):
        Participant().expire("x", NOW)


def test_keys_have_a_number_that_ends() -> None:
    participant = Participant()
    for number in range(MAX_KEYS):
        participant = participant.add(numbered(number))

    with pytest.raises(ParticipantError, match="at most"):
        participant.add(numbered(MAX_KEYS))


def numbered(number: int, device: str = "phone", created: int = NOW) -> ParticipantKey:
    """Return a key with an id of its own."""
    private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))
    x = base64url.encode(private.public_key().public_bytes_raw()).decode()
    return ParticipantKey(
        PublicKey((("crv", "Ed25519"), ("kty", "OKP"), ("x", x))), device, created
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "rotate", "revoke", "expire"]),
        st.integers(0, 5),
        st.sampled_from(["phone", "laptop"]),
        st.integers(0, 40),
    ),
    max_size=25,
)


@given(STEPS)
def test_whatever_is_done_no_key_vanishes_and_none_that_ended_comes_back(
    steps: list[tuple[str, int, str, int]],
) -> None:
    participant, now = Participant(), NOW
    ended: set[str] = set()
    seen: set[str] = set()
    for action, number, device, seconds in steps:
        now += 1
        kid = numbered(number).public.kid
        try:
            match action:
                case "add":
                    participant = participant.add(numbered(number, device, now))
                case "rotate":
                    participant = participant.rotate(numbered(number, device, now), grace=seconds)
                case "revoke":
                    participant = participant.revoke(kid, "lost", now)
                case _:
                    participant = participant.expire(kid, now + seconds)
        except ParticipantError:
            continue
        held = {one.public.kid: one.status(now) for one in participant.keys}
        assert seen <= set(held)
        assert not any(held[one] in {"active", "rotated"} for one in ended)
        seen |= set(held)
        ended |= {one for one, status in held.items() if status in {"revoked", "expired"}}

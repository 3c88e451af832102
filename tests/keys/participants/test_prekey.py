"""Prekeys: signed, used before all others, and gone with their private sides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from proxy.core.errors import ParticipantError
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.participants import participant, private_key, registry
from proxy.keys.participants.participant import Participant, ParticipantKey
from tests.keys.builders import NOW, a_keyring
from tests.keys.participants.builders import a_key, a_private_jwk, a_public_key

WEEK = 7 * 86_400
KEYRING: Keyring = a_keyring()
PERSON = Participant().add(a_key("bob-enc")).add(a_key("bob-sig"))


def a_prekey(
    *,
    now: int = NOW,
    device: str = "phone",
    signer: str = "bob-sig",
    **more: Any,  # noqa: ANN401 - values of any field
) -> ParticipantKey:
    public, sealed = private_key.generate("X25519", private_key.keyring_opener(KEYRING))
    expires = now + WEEK
    said = participant.sign_prekey(
        public,
        device=device,
        expires=expires,
        private=a_private_jwk(signer),
        signer=a_public_key(signer),
    )
    key = ParticipantKey(
        public, device, now, private=sealed, expires=expires, prekey=said, lingers=WEEK
    )
    return replace(key, **more)


def test_a_device_with_a_prekey_is_reached_by_it_alone() -> None:
    laptop = a_key("outsider-enc", device="laptop")
    key = a_prekey()
    person = PERSON.add(laptop).add_prekey(key, grace=WEEK)
    assert person.sealing_keys(NOW) == [laptop.public, key.public]


def test_without_a_prekey_that_has_not_ended_the_other_keys_are_used_again() -> None:
    person = PERSON.add_prekey(a_prekey(), grace=WEEK)
    assert person.sealing_keys(NOW + WEEK) == [a_public_key("bob-enc")]


def test_a_prekey_opens_in_its_grace_and_then_no_more() -> None:
    key = a_prekey()
    states = [key.status(NOW + after) for after in (0, WEEK - 1, WEEK, 2 * WEEK - 1, 2 * WEEK)]
    assert states == ["active", "active", "rotated", "rotated", "expired"]


def test_a_new_prekey_takes_over_and_those_that_are_over_are_deleted() -> None:
    first, second, third = a_prekey(), a_prekey(now=NOW + WEEK - 9), a_prekey(now=NOW + 3 * WEEK)
    person = PERSON.add_prekey(first, grace=WEEK).add_prekey(second, grace=WEEK)
    assert person.sealing_keys(second.created) == [second.public]
    assert person.find(first.public.kid).status(second.created) == "rotated"
    person = person.add_prekey(third, grace=WEEK)
    kids = [one.public.kid for one in person.keys if one.prekey]
    assert kids == [third.public.kid]
    assert first.private not in str(registry.encode(person, "n", KEYRING.record_key))


@pytest.mark.parametrize(
    "bad",
    [
        lambda: a_prekey(signer="outsider-sig"),
        lambda: a_prekey(device="laptop", prekey=a_prekey().prekey),
        lambda: replace(a_prekey(), device="laptop"),
        lambda: replace(a_prekey(), expires=NOW + 10 * WEEK),
        lambda: replace(a_prekey(), public=a_prekey().public),
        lambda: replace(a_prekey(), prekey="a.b.c"),
        lambda: replace(a_prekey(), prekey=""),
        lambda: replace(a_prekey(), expires=0),
    ],
)
def test_what_the_participant_did_not_sign_is_no_prekey(bad: Any) -> None:  # noqa: ANN401 - a call
    key = bad()
    with pytest.raises(ParticipantError, match="signed by its participant"):
        PERSON.add_prekey(key, grace=WEEK)
    forced = replace(PERSON, keys=(*PERSON.keys, key))
    if key.prekey:
        assert forced.sealing_keys(NOW) == [a_public_key("bob-enc")]


def test_a_revoked_signing_key_takes_its_prekeys_with_it() -> None:
    person = PERSON.add_prekey(a_prekey(), grace=WEEK)
    person = person.revoke(a_public_key("bob-sig").kid, "lost", NOW)
    assert person.sealing_keys(NOW) == [a_public_key("bob-enc")]


def test_revoking_a_devices_key_revokes_its_prekeys_as_well() -> None:
    person = PERSON.add_prekey(a_prekey(), grace=WEEK)
    person = person.revoke(a_public_key("bob-enc").kid, "lost", NOW)
    assert person.sealing_keys(NOW) == []
    assert not any(one.opens(NOW) for one in person.keys if one.public.use == "enc")


def test_rotating_a_device_leaves_its_prekey() -> None:
    key = a_prekey()
    person = PERSON.add_prekey(key, grace=WEEK)
    person = person.rotate(a_key("outsider-enc", created=NOW), grace=10)
    assert person.sealing_keys(NOW) == [key.public]


def test_prekeys_are_kept_in_the_record() -> None:
    person = PERSON.add_prekey(a_prekey(), grace=WEEK)
    record = registry.encode(person, "n", KEYRING.record_key)
    assert registry.decode(record, "n", KEYRING.record_key) == person
    assert b"prekey" not in registry.encode(PERSON, "n", KEYRING.record_key)
    assert person.keys[-1].facts(NOW)["prekey"] is True

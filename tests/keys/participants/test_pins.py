from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.core.errors import ParticipantError
from proxy.keys.participants import pins as pins_module
from proxy.keys.participants import stored_records
from proxy.keys.participants.participant import Participant
from proxy.keys.participants.pins import PinBook, Pins
from proxy.keys.participants.registry import record_name
from proxy.keys.stores import MemoryStore, records
from proxy.keys.stores.records import RecordRefused, RecordUnknown
from tests.keys.builders import NOW, a_keyring

from .builders import a_key, guarded

KEYRING = a_keyring()
ENC, SIG, NEW = a_key("alice-enc"), a_key("alice-sig"), a_key("outsider-enc")
ALICE = Participant(1, (ENC, SIG))
NAME = record_name(KEYRING.participant_names, "alice")


def a_book(store: MemoryStore | None = None, **listed: list[str]) -> PinBook:
    return PinBook(guarded(store), KEYRING, listed)


def test_the_keys_of_the_first_use_are_pinned_and_a_later_one_is_not() -> None:
    pins = Pins().at_first_use(ALICE, NOW)
    later = ALICE.add(NEW)

    assert pins.enc == {ENC.public.kid}
    assert pins.sig == {SIG.public.kid}
    assert pins.at_first_use(later, NOW) == pins
    assert pins.unknown(later, NOW) == [NEW]
    assert pins.trusted(later) == ALICE


def test_a_use_without_keys_is_pinned_when_it_has_some() -> None:
    pins = Pins().at_first_use(Participant(1, (ENC,)), NOW)

    assert pins.status(SIG) is None
    assert pins.at_first_use(ALICE, NOW).sig == {SIG.public.kid}


def test_what_opens_nothing_is_not_pinned_and_not_told_of() -> None:
    over = replace(ENC, revoked=NOW)
    pins = Pins().at_first_use(Participant(1, (over, NEW)), NOW)

    assert pins.enc == {NEW.public.kid}
    assert pins.unknown(Participant(1, (over, NEW)), NOW) == []


def test_who_loses_all_pinned_keys_is_not_pinned_anew() -> None:
    pins = Pins().at_first_use(ALICE, NOW)
    after = ALICE.revoke(ENC.public.kid, "lost", NOW).add(NEW)

    assert pins.at_first_use(after, NOW) == pins
    assert not pins.trusted(after).has_valid_keys(NOW)


def test_a_prekey_is_neither_pinned_nor_accepted() -> None:
    prekey = replace(a_key("bob-x"), prekey="signed", expires=NOW + 9)
    participant = Participant(1, (ENC, prekey))
    pins = Pins().at_first_use(participant, NOW)

    assert pins.enc == {ENC.public.kid}
    assert pins.unknown(participant, NOW) == []
    assert pins.trusted(participant) == participant
    with pytest.raises(ParticipantError, match="vouches"):
        pins.accept(prekey)


async def test_pins_are_found_as_they_were_changed_and_nothing_of_them_tells_who_it_is() -> None:
    store = MemoryStore(lambda: 0.0)
    first = await a_book(store).pin_first(NAME, Pins(), ALICE, NOW)
    after = await a_book(store).accept(NAME, NEW)

    assert await a_book(store).find(NAME) == after
    assert (first.epoch, after.epoch) == (1, 2)
    assert after.enc == {ENC.public.kid, NEW.public.kid}
    assert NAME not in repr(await store.dump())  # not even that it belongs to that record


async def test_of_two_who_pin_at_once_the_first_counts() -> None:
    store = MemoryStore(lambda: 0.0)
    await a_book(store).pin_first(NAME, Pins(), ALICE, NOW)
    late = await a_book(store).pin_first(NAME, Pins(), Participant(1, (NEW,)), NOW)

    assert late.enc == {ENC.public.kid}


async def test_what_the_configuration_lists_is_all_that_is_pinned() -> None:
    store = MemoryStore(lambda: 0.0)
    await a_book(store).pin_first(NAME, Pins(), Participant(1, (NEW,)), NOW)
    book = a_book(store, alice=[ENC.public.kid])

    assert await book.find(NAME) == Pins.only([ENC.public.kid])
    with pytest.raises(ParticipantError, match="configuration"):
        book.require_acceptable(NAME, NEW, NOW)


def test_a_key_that_is_over_is_not_accepted() -> None:
    with pytest.raises(ParticipantError, match="no longer opens"):
        a_book().require_acceptable(NAME, replace(NEW, revoked=NOW), NOW)


async def test_a_record_of_somebody_else_or_edited_is_refused() -> None:
    store = MemoryStore(lambda: 0.0)
    book = a_book(store)
    await book.pin_first(NAME, Pins(), ALICE, NOW)
    (record,) = (await store.dump()).values()

    for moved in (record, record[:20] + b"x" + record[21:], b""):
        other = MemoryStore(lambda: 0.0)
        await other.note(book.place("another"), moved)
        with pytest.raises(ParticipantError, match="record-forged"):
            await a_book(other).find("another")
    with pytest.raises(RecordRefused):
        pins_module.decode(record, book.place(NAME), a_keyring().record_key)


@pytest.mark.parametrize("text", [b"[]", b'{"enc": []}', b'{"enc": [1], "sig": []}'])
def test_a_form_of_another_version_is_not_guessed_at(text: bytes) -> None:
    values = stored_records._HEAD.pack(1, 1) + text
    record = records.sign(values, pins_module._LABEL, "n", KEYRING.record_key)

    with pytest.raises(RecordUnknown):
        pins_module.decode(record, "n", KEYRING.record_key)

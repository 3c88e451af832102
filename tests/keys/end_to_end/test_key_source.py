"""Keys of rules that seal end to end: who gets them, who does not, and until when."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings import IdentitySettings, SecretReference
from proxy.core.crypto.context import Context, Parties, Scope
from proxy.core.crypto.equal import EqualSession
from proxy.core.crypto.joined_names import Joined, Name
from proxy.core.crypto.secret import IndexSecret
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable, OpenFailed, ParticipantError
from proxy.core.values.key_needs import Needs
from proxy.keys.participants import participant, private_key
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.sessions import session_control
from proxy.keys.stores import MemoryStore
from proxy.process.boot_clock import since_boot
from tests.keys.builders import BrokenStore, CountingStore, SharedStore, Time, some_bytes
from tests.keys.end_to_end.builders import (
    GRACE,
    KEYRING,
    MAX_AGE,
    TTL,
    Process,
    a_fleet,
    a_held_key,
    context,
    needs_of,
    reading,
    sealing,
)
from tests.keys.participants.builders import PASSPHRASE, a_private_jwk, a_public_key

CTX_CHARS = 43
DAYS = 26 * 86_400
MINUTES = 99


async def refusal(process: Process, reader: str, sealed: bytes, conversation: str = "c1") -> str:
    with pytest.raises(OpenFailed) as refused:
        await process.open_for(reader, sealed, conversation)
    return refused.value.reason


# --- who reads ------------------------------------------------------------------------------------


async def test_every_recipient_opens_and_nobody_else() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["alice", "bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    assert await one.open_for("alice", sealed) == b"hello"
    assert await refusal(one, "eve", sealed) == "package-not-for-us"
    assert await refusal(one, "nobody", sealed) == "no-identity"


async def test_the_sender_reads_only_as_a_recipient() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await refusal(one, "alice", sealed) == "package-not-for-us"


async def test_tokens_commit_to_their_key_with_43_characters() -> None:
    (one,) = await a_fleet()
    token = decode(await one.seal(b"hello", "alice", ["bob"]))
    assert token.commitment is not None
    assert len(token.commitment) == CTX_CHARS * 3 // 4
    assert token.key_id.kek_id is None


async def test_another_process_opens_and_has_a_key_of_its_own() -> None:
    one, other = await a_fleet(processes=2)
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await other.open_for("bob", sealed) == b"hello"
    assert (await other.session("alice", ["bob"])).sid != decode(sealed).key_id.sid


async def test_all_devices_of_a_recipient_have_the_key() -> None:
    (one,) = await a_fleet()
    await one.add("bob", a_held_key("bob-sig"), a_held_key("outsider-enc", device="laptop"))
    await one.seal(b"hello", "alice", ["bob"])
    (package,) = await one.keys.package_store.packages(Scope("clinic", "c1"), "bob")
    kids = [one["header"]["kid"] for one in json.loads(package.package)["recipients"]]
    assert sorted(kids) == sorted(a_public_key(name).kid for name in ("bob-enc", "outsider-enc"))


async def test_a_device_may_have_an_x25519_key() -> None:
    (one,) = await a_fleet()
    await one.add("carol", a_held_key("bob-x"))
    sealed = await one.seal(b"hello", "alice", ["bob", "carol"])
    assert [await one.open_for(who, sealed) for who in ("bob", "carol")] == [b"hello"] * 2
    assert await refusal(one, "eve", sealed) == "package-not-for-us"


async def test_a_device_may_have_an_x_wing_key_beside_rsa() -> None:
    (one,) = await a_fleet()
    await one.add("bob", a_held_key("bob-xw"))
    sealed = await one.seal(b"hello", "alice", ["bob"])
    (package,) = await one.keys.package_store.packages(Scope("clinic", "c1"), "bob")
    assert [each["header"]["alg"] for each in json.loads(package.package)["recipients"]] == [
        "RSA-OAEP-256",
        "x-sealyard-HPKE-X-Wing",
    ]
    assert await one.open_for("bob", sealed) == b"hello"
    assert await refusal(one, "eve", sealed) == "package-not-for-us"


async def test_a_device_whose_rsa_key_has_ended_is_reached_by_x_wing_alone() -> None:
    (one,) = await a_fleet()
    await one.add("bob", a_held_key("bob-xw"))
    kid, now = a_public_key("bob-enc").kid, int(one.time.now)
    await one.people.change("bob", lambda bob: bob.expire(kid, now))
    sealed = await one.seal(b"hello", "alice", ["bob"])
    (package,) = await one.keys.package_store.packages(Scope("clinic", "c1"), "bob")
    assert [each["header"]["alg"] for each in json.loads(package.package)["recipients"]] == [
        "x-sealyard-HPKE-X-Wing"
    ]
    assert await one.open_for("bob", sealed) == b"hello"


async def test_a_package_has_at_most_sixteen_keys_and_nothing_is_sealed_for_fewer() -> None:
    (one,) = await a_fleet()
    names = [f"reader-{number}" for number in range(17)]
    for name in names:
        public, _ = private_key.generate("X25519", private_key.keyring_opener(KEYRING))
        await one.add(name, ParticipantKey(public, "phone", int(one.time.now)))
    await one.seal(b"hello", "alice", names[:16])
    with pytest.raises(KeyUnavailable, match="too-many-recipients") as refused:
        await one.seal(b"hello", "alice", names)
    assert refused.value.status == 503
    # Devices count: fifteen participants and one with two keys are seventeen keys with bob.
    public, _ = private_key.generate("X25519", private_key.keyring_opener(KEYRING))
    await one.add(names[0], ParticipantKey(public, "laptop", int(one.time.now)))
    with pytest.raises(KeyUnavailable, match="too-many-recipients"):
        await one.seal(b"hello", "alice", [*names[:15], "bob"])
    assert one.reports.causes() == ["first"]


async def test_the_second_message_waits_for_nothing() -> None:
    (one,) = await a_fleet()
    await one.seal(b"hello", "alice", ["bob"])
    need = Needs({sealing("alice", ["bob"]): 1})
    assert one.keys.resolve_warm(need) is not None
    assert one.reports.causes() == ["first"]


async def test_without_a_lease_nothing_opens_from_memory() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    need = needs_of(reading("bob"), decode(sealed))
    assert one.keys.resolve_warm(need) is not None
    one.sessions.sealing_until = since_boot()
    assert one.keys.resolve_warm(need) is None


async def test_what_has_no_parties_is_sealed_and_opened_as_ever() -> None:
    (one,) = await a_fleet()
    scope = Scope("clinic", "c1")
    both = Needs({scope: 1, sealing("alice", ["bob"]): 1})
    keys = await one.keys.resolve(both)
    assert keys.sealing[scope].kek_id == KEYRING.primary.id
    assert await one.keys.resolve(Needs({scope: 1})) is not None
    assert one.keys.resolve_warm(both) is not None


async def test_many_first_messages_make_one_session() -> None:
    (one,) = await a_fleet()
    sessions = await asyncio.gather(*(one.session("alice", ["bob"]) for _ in range(20)))
    assert len({session.sid for session in sessions}) == 1


async def test_one_plan_can_seal_for_several_circles() -> None:
    (one,) = await a_fleet()
    first, second = sealing("alice", ["bob"]), sealing("alice", ["eve"])
    for _ in range(3):
        keys = await one.keys.resolve(Needs({first: 1, second: 1}))
    assert keys.sealing[first] is not keys.sealing[second]
    assert one.reports.causes() == ["first", "first"]


# --- adding and removing --------------------------------------------------------------------------


async def test_a_recipient_more_gets_the_same_key() -> None:
    (one,) = await a_fleet()
    before = await one.seal(b"hello", "alice", ["bob"])
    assert await refusal(one, "eve", before) == "package-not-for-us"
    after = await one.seal(b"again", "alice", ["bob", "eve"])
    assert decode(after).key_id == decode(before).key_id
    one.time.advance(MAX_AGE + 1)
    assert await one.open_for("eve", after) == b"again"
    assert await one.open_for("bob", before) == b"hello"
    assert one.reports.causes() == ["first", "recipient-added"]


async def test_a_recipient_less_means_a_new_key_at_once() -> None:
    (one,) = await a_fleet()
    before = await one.seal(b"hello", "alice", ["bob", "eve"])
    after = await one.seal(b"again", "alice", ["bob"])
    assert decode(after).key_id != decode(before).key_id
    assert await refusal(one, "eve", after) == "package-not-for-us"
    assert await one.open_for("eve", before) == b"hello"


async def test_where_no_conversation_is_bound_a_larger_circle_gets_another_key() -> None:
    (one,) = await a_fleet()
    before = await one.seal(b"to bob", "alice", ["bob"], None)
    after = await one.seal(b"to both", "alice", ["bob", "eve"], None)
    assert decode(after).key_id != decode(before).key_id


async def test_a_new_device_gets_the_same_key() -> None:
    (one,) = await a_fleet()
    before = await one.session("alice", ["bob"])
    await one.add("bob", a_held_key("outsider-enc", device="laptop"))
    assert (await one.session("alice", ["bob"])).sid == before.sid
    assert one.reports.causes() == ["first", "recipient-added"]


async def test_a_revoked_participant_gets_no_new_key_in_any_conversation() -> None:
    one, other = await a_fleet(processes=2)
    await one.add("bob", a_held_key("outsider-enc", device="laptop"))
    before = [await other.session("alice", ["bob"], name) for name in ("c1", "c2")]
    await one.revoke("bob", "bob-enc")
    after = [await other.session("alice", ["bob"], name) for name in ("c1", "c2")]
    assert not {session.sid for session in before} & {session.sid for session in after}
    assert other.reports.causes() == ["first", "first", "key-gone", "key-gone"]
    for name in ("c1", "c2"):
        newest, _ = await one.keys.package_store.packages(Scope("clinic", name), "bob")
        assert a_public_key("bob-enc").kid not in newest.package.decode()


async def test_who_has_no_key_left_keeps_everybody_from_sealing_for_them() -> None:
    (one,) = await a_fleet()
    await one.seal(b"hello", "alice", ["bob"])
    await one.revoke("bob", "bob-enc")
    with pytest.raises(KeyUnavailable, match="recipient-has-no-key"):
        await one.session("alice", ["bob"])


async def test_a_revoked_key_opens_nothing_any_more() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    await one.revoke("bob", "bob-enc")
    assert await refusal(one, "bob", sealed) == "no-identity"


async def test_packages_of_a_revoked_sender_open_no_more() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    await one.revoke("alice", "alice-sig")
    assert await refusal(one, "bob", sealed) == "sender-key-not-valid"
    with pytest.raises(KeyUnavailable, match="sender-has-no-key"):
        await one.session("alice", ["bob"])


async def test_what_nobody_told_of_is_found_after_a_while() -> None:
    one, other = await a_fleet(processes=2)
    await one.add("bob", a_held_key("outsider-enc", device="laptop"))
    before = await other.session("alice", ["bob"])
    assert isinstance(other.store, SharedStore)
    other.store.listeners.clear()
    await one.revoke("bob", "bob-enc")
    assert (await other.session("alice", ["bob"])).sid == before.sid
    other.time.advance(MAX_AGE)
    assert (await other.session("alice", ["bob"])).sid != before.sid


async def test_what_a_process_changes_itself_it_heeds_at_once_whatever_the_store() -> None:
    time = Time()
    (one,) = await a_fleet(store=MemoryStore(lambda: time.now))
    await one.seal(b"hello", "alice", ["bob"])
    kid, now = a_public_key("bob-enc").kid, int(one.time.now)
    await one.keys.participants().change("bob", lambda bob: bob.revoke(kid, "lost", now))
    with pytest.raises(KeyUnavailable, match="recipient-has-no-key"):
        await one.session("alice", ["bob"])


async def test_an_expired_key_gets_no_package_and_a_rotated_one_opens_in_its_grace() -> None:
    (one,) = await a_fleet()
    now = int(one.time.now)
    sealed = await one.seal(b"hello", "alice", ["bob"])
    newer = a_held_key("outsider-enc", created=now)
    await one.people.change("bob", lambda bob: bob.rotate(newer, grace=300))
    assert await one.open_for("bob", sealed) == b"hello"
    await one.seal(b"more", "alice", ["bob"])
    assert one.reports.causes() == ["first", "key-gone"]
    one.time.advance(301)
    assert await refusal(one, "bob", sealed) == "package-not-for-us"
    await one.people.change("bob", lambda bob: bob.expire(newer.public.kid, now + 302))
    one.time.advance(2)
    with pytest.raises(KeyUnavailable, match="recipient-has-no-key"):
        await one.session("alice", ["bob"])


# --- time, rotation, revocation -------------------------------------------------------------------


async def test_a_session_seals_for_its_time_and_opens_until_its_package_ends() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    one.time.advance(TTL)
    assert decode(await one.seal(b"more", "alice", ["bob"])).key_id != decode(sealed).key_id
    assert one.reports.causes() == ["first", "spent"]
    assert await one.open_for("bob", sealed) == b"hello"
    one.time.advance(GRACE)
    assert await refusal(one, "bob", sealed) in {"package-expired", "no-package"}


async def test_a_session_of_the_future_seals_no_more_once_the_clock_is_right() -> None:
    """Readers refuse such an id, so messages would be lost until then."""
    (one,) = await a_fleet(store=MemoryStore(Time()))
    one.time.advance(DAYS)
    early = await one.session("alice", ["bob"])
    one.time.advance(-DAYS)
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert decode(sealed).key_id.sid != early.sid
    assert await one.open_for("bob", sealed) == b"hello"


async def test_after_many_messages_another_key_takes_over() -> None:
    time = Time()
    (one,) = await a_fleet(store=SharedStore(lambda: time.now))
    few = await Process(one.store, one.time, max_messages=2).open()
    sids = [(await few.session("alice", ["bob"])).sid for _ in range(3)]
    assert sids[0] == sids[1] != sids[2]
    with pytest.raises(KeyUnavailable, match="too-many-values"):
        await few.keys.resolve(Needs({sealing("alice", ["bob"]): 3}))


async def test_rotating_a_conversation_begins_a_new_session_in_every_process() -> None:
    one, other = await a_fleet(processes=2)
    before = [await each.session("alice", ["bob"]) for each in (one, other)]
    elsewhere = await one.session("alice", ["bob"], "c2")
    await session_control.rotate(one.sessions, Scope("clinic", "c1"))
    after = [await each.session("alice", ["bob"]) for each in (one, other)]
    assert not {each.sid for each in before} & {each.sid for each in after}
    assert await one.session("alice", ["bob"], "c2") is elsewhere
    assert one.reports.causes() == ["first", "first", "rotated"]


async def test_revoking_a_conversation_refuses_what_was_sealed_before() -> None:
    one, other = await a_fleet(processes=2)
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await other.open_for("bob", sealed) == b"hello"
    one.time.advance(5)
    await session_control.revoke(one.sessions, Scope("clinic", "c1"), int(one.time.now))
    assert await refusal(one, "bob", sealed) == "revoked-session"
    assert await refusal(other, "bob", sealed) == "revoked-session"
    again = await one.seal(b"again", "alice", ["bob"])
    assert one.reports.causes() == ["first", "revoked"]
    assert await other.open_for("bob", again) == b"again"


# --- what does not open ---------------------------------------------------------------------------


async def test_while_the_clock_is_before_a_revocation_nothing_is_sealed() -> None:
    (one,) = await a_fleet(store=MemoryStore(Time()))
    assert await session_control.revoke(one.sessions, Scope("clinic", "c1"), int(one.time.now) + 1)
    one.time.advance(-MINUTES)
    with pytest.raises(KeyUnavailable) as refused:
        await one.seal(b"hello", "alice", ["bob"])
    assert refused.value.reason == "clock-before-revocation"
    one.time.advance(MINUTES)
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"


async def test_a_token_opens_in_its_own_conversation_alone() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await refusal(one, "bob", sealed, "c2") == "no-package"


@pytest.mark.parametrize("mine", [0, 1, 2])
async def test_a_package_of_a_joined_conversation_is_for_no_other(mine: int) -> None:
    (one,) = await a_fleet()
    names: list[Name] = [
        "5:alice3:bob",
        Joined("list", ("alice", "bob")),
        Joined("members", ("bob", "alice")),
    ]
    text = await one.seal(b"hello", "alice", ["bob"], names.pop(mine))
    for other in names:
        with pytest.raises(OpenFailed):
            await one.open_for("bob", text, other)


async def test_a_package_moved_to_another_conversation_is_refused() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    records = await one.store.dump()
    (place,) = (name for name in records if ":k:" in name and not name.endswith(":list"))
    other = one.keys.package_store.name(Scope("clinic", "c2"))
    await one.store.keep(other, place.rpartition(":")[2], records[place], 60_000)
    assert await refusal(one, "bob", sealed, "c2") == "no-package"
    assert one.notices == ["record-forged"]


async def test_what_was_not_sealed_end_to_end_is_not_opened_by_a_reader() -> None:
    (one,) = await a_fleet()
    scope = Scope("clinic", "c1")
    session = (await one.keys.resolve(Needs({scope: 1}))).sealing[scope]
    assert await refusal(one, "bob", session.seal(b"x", context(scope))) == "not-from-a-package"
    equal = EqualSession(IndexSecret(bytes(32)), 1, Scope("clinic"))
    for value in (b"", b"ann"):
        sealed = equal.seal(value, Context(Scope("clinic"), "content"))
        assert await refusal(one, "bob", sealed) == "not-from-a-package"


async def test_a_value_that_looks_sealed_is_sealed_without_being_opened() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    scope, token = sealing("alice", ["bob"]), decode(sealed)
    keys = await one.keys.resolve(Needs({scope: 1}, frozenset({(scope, token.key_id)})))
    assert keys.refusals[scope, token.key_id] == "not-from-a-package"


async def test_made_up_session_ids_are_asked_for_once() -> None:
    time = Time()
    store = CountingStore(lambda: time.now, shared=True)
    (one,) = await a_fleet(store=store)
    token = decode(await one.seal(b"hello", "alice", ["bob"]))
    made_up = replace(token, key_id=token.key_id._replace(sid=token.key_id.sid[:4] + some_bytes(8)))
    needs = needs_of(reading("bob"), made_up)
    await one.keys.resolve(needs)
    store.asked.clear()
    assert one.keys.resolve_warm(needs) is not None
    assert store.asked == []


async def test_an_id_that_is_none_is_told() -> None:
    (one,) = await a_fleet()
    with pytest.raises(KeyUnavailable, match="participant-id"):
        await one.session("alice", ["a\n"])
    with pytest.raises(ParticipantError):
        await one.keys.package_store.packages(Scope("clinic", "c1"), "")


# --- the store ------------------------------------------------------------------------------------


async def test_without_a_store_nothing_is_sealed() -> None:
    process = await Process(BrokenStore(shared=True), Time()).open()
    with pytest.raises(KeyUnavailable, match="participant-unavailable"):
        await process.session("alice", ["bob"])


async def test_a_store_that_goes_down_leaves_what_is_at_hand() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    one.sessions.store._store = BrokenStore(shared=True)
    one.time.advance(MAX_AGE)
    assert (await one.session("alice", ["bob"])).sid == decode(sealed).key_id.sid
    with pytest.raises(KeyUnavailable):
        await one.session("alice", ["bob", "eve"])
    with pytest.raises(KeyUnavailable):
        await one.open_for("bob", sealed)
    one.time.advance(TTL)
    with pytest.raises(KeyUnavailable):
        await one.session("alice", ["bob"])


async def test_nothing_of_a_key_stands_in_the_store() -> None:
    (one,) = await a_fleet()
    sender = "alice@clinic.example"  # with characters that no package has in base64url
    await one.add(sender, a_held_key("alice-sig"))
    session = await one.session(sender, ["bob"], "conversation-1")
    held = one.keys._sealing._held.entries()[0]
    assert held.session is session
    everything = b"".join((await one.store.dump()).values())
    assert held.key.reveal() not in everything
    for name in (sender.encode(), b"clinic", b"conversation-1"):
        assert name not in everything


# --- identities -----------------------------------------------------------------------------------


async def test_a_private_key_under_a_passphrase_opens_where_it_is_said() -> None:
    (one,) = await a_fleet()
    public, sealed = private_key.seal(a_private_jwk("bob-sig"), PASSPHRASE)
    key = replace(a_held_key("bob-sig"), public=public, private=sealed)
    await one.add("carol", key)
    identities = (IdentitySettings("carol", SecretReference(env="CAROL")),)
    environ = {"CAROL": PASSPHRASE.reveal().decode()}
    with_it = await Process(one.store, one.time, identities, environ=environ).open()
    assert await with_it.session("carol", ["bob"])
    wrong = await Process(one.store, one.time, identities, environ={"CAROL": "no" * 8}).open()
    with pytest.raises(KeyUnavailable, match="sender-has-no-key"):
        await wrong.session("carol", ["bob"])
    assert wrong.reports.events == ["identity.open_failed"]


async def test_who_is_named_as_the_sender_must_have_signed() -> None:
    """A backend that shows eve's message as one of alice's is found out."""
    (one,) = await a_fleet()
    token = decode(await one.seal(b"hello", "eve", ["bob"]))
    refusals = {}
    for sender in (None, "eve", "alice", "nobody", "", "a\n", "\ud800"):
        scope = reading("bob")._replace(parties=Parties(sender, reader="bob"))
        keys = await one.keys.resolve(needs_of(scope, token))
        refusals[sender] = keys.refusals[scope, token.key_id]
    other = "package-of-another-sender"
    assert refusals.pop(None) is refusals.pop("eve") is None
    assert set(refusals.values()) == {other}


async def test_a_sender_may_sign_with_an_rsa_key() -> None:
    (one,) = await a_fleet()
    await one.add("carol", a_held_key("alice-ps"))
    sealed = await one.seal(b"hello", "carol", ["bob"])
    assert await one.open_for("bob", sealed) == b"hello"
    (package,) = await one.keys.package_store.packages(Scope("clinic", "c1"), "bob")
    assert package.kid == a_public_key("alice-ps").kid


async def test_who_is_not_listed_cannot_be_signed_or_opened_for() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    only_eve = await Process(one.store, one.time, (IdentitySettings("eve"),)).open()
    assert await refusal(only_eve, "bob", sealed) == "no-identity"
    with pytest.raises(KeyUnavailable, match="sender-has-no-key"):
        await only_eve.session("alice", ["bob"])
    assert await only_eve.session("eve", ["bob"])
    only_eve.keys.replace_identities((IdentitySettings("bob"),))
    assert await only_eve.open_for("bob", sealed) == b"hello"


async def test_a_private_key_can_stand_in_a_file_of_the_recipient(tmp_path: Path) -> None:
    (one,) = await a_fleet()
    file = tmp_path / "carol.jwe"
    file.write_text(private_key.seal(a_private_jwk("outsider-enc"), PASSPHRASE)[1] + "\n")
    file.chmod(0o600)
    await one.add("carol", a_held_key("outsider-enc", private=False))
    sealed = await one.seal(b"hello", "alice", ["carol"])
    assert await refusal(one, "carol", sealed) == "no-identity"
    identities = (IdentitySettings("carol", SecretReference(env="CAROL"), file),)
    environ = {"CAROL": PASSPHRASE.reveal().decode()}
    at_home = await Process(one.store, one.time, identities, environ=environ).open()
    assert await at_home.open_for("carol", sealed) == b"hello"


async def test_what_is_over_is_let_go() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    await one.open_for("bob", sealed)
    assert one.keys.cached == (1, 1)
    for _ in one.keys.drop_ended():
        pass
    assert one.keys.cached == (1, 1)
    one.time.advance(TTL + GRACE + 1)
    for _ in one.keys.drop_ended():
        pass
    assert one.keys.cached == (0, 0)


async def test_a_child_process_begins_with_no_key() -> None:
    (one,) = await a_fleet()
    before = await one.session("alice", ["bob"])
    one.keys._generation = one.sessions._generation = -1
    assert (await one.session("alice", ["bob"])).sid != before.sid


async def test_packages_are_for_a_prekey_and_are_lost_with_it() -> None:
    (one,) = await a_fleet()
    await one.add("carol", a_held_key("alice-enc"), a_held_key("bob-sig"))
    key = prekey_of_carol(int(one.time.now))
    await one.people.change("carol", lambda carol: carol.add_prekey(key, grace=TTL))
    sealed = await one.seal(b"hello", "alice", ["carol"])
    (package,) = await one.keys.package_store.packages(Scope("clinic", "c1"), "carol")
    assert [each["header"]["kid"] for each in json.loads(package.package)["recipients"]] == [
        key.public.kid
    ]
    assert await one.open_for("carol", sealed) == b"hello"
    one.time.advance(TTL + 1)
    await one.seal(b"more", "alice", ["carol"])
    for _ in one.keys.drop_ended():
        pass
    newer = prekey_of_carol(int(one.time.now))
    await one.people.change("carol", lambda carol: carol.add_prekey(newer, grace=TTL))
    assert await refusal(one, "carol", sealed) == "package-not-for-us"


async def test_a_prekey_is_deleted_after_its_grace_though_nobody_makes_another() -> None:
    (one,) = await a_fleet()
    await one.add("carol", a_held_key("alice-enc"), a_held_key("bob-sig"))
    key = prekey_of_carol(int(one.time.now))
    await one.people.change("carol", lambda carol: carol.add_prekey(key, grace=TTL))
    sealed = await one.seal(b"hello", "alice", ["carol"])
    one.time.advance(TTL - 1)
    await one.seal(b"more", "alice", ["carol"])
    assert await one.open_for("carol", sealed) == b"hello"
    assert (await one.people.find("carol")).find(key.public.kid).private
    one.time.advance(2)
    # As a timer that has stopped would leave it: somebody has only to look.
    await one.seal(b"more", "alice", ["carol"])
    assert key.public.kid not in [each.public.kid for each in (await one.people.find("carol")).keys]
    assert not any(key.private.encode() in each for each in (await one.store.dump()).values())
    assert one.notices == []


def prekey_of_carol(now: int) -> ParticipantKey:
    public, private = private_key.generate("X25519", private_key.keyring_opener(KEYRING))
    signer, ends = a_public_key("bob-sig"), now + TTL // 2
    said = participant.sign_prekey(
        public, device="phone", expires=ends, private=a_private_jwk("bob-sig"), signer=signer
    )
    return ParticipantKey(
        public, "phone", now, private=private, expires=ends, prekey=said, lingers=TTL // 2
    )

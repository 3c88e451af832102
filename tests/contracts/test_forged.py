"""What somebody else puts into a store decides nothing: it is verified, told of and overwritten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.secret import RecordKey
from proxy.core.crypto.token import decode
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.end_to_end import package_records, rotation_marker
from proxy.keys.keyring.name_keys import packages_name, record_name
from proxy.keys.sessions import kek_usage, session_control
from proxy.keys.sessions.kek_usage import KekUse
from proxy.keys.sessions.settings import SessionMode, SessionSettings
from proxy.keys.stores import HeldRecords, MemoryStore, records
from proxy.keys.stores.guarded import GuardedStore
from tests.keys.builders import CONTEXT, SCOPE, BrokenStore, World, a_keyring, a_world, seal_need
from tests.keys.desk import Desk
from tests.redis.server import Server

from .conftest import Subject, redis

OTHER = Scope("clinic", "c2")
KEYRING = a_keyring()
RECORD_KEY = KEYRING.record_key
STRANGER = RecordKey(bytes(32))
WALL = time.time  # Redis has a clock of its own, which cannot be moved


def named(scope: Scope = SCOPE) -> str:
    return record_name(KEYRING.name_key, scope)


def a_process(subject: Subject, mode: SessionMode = "durable") -> World:
    """Return a process that uses the store."""
    store, settings = subject.another(), SessionSettings(store_timeout=20.0)
    return a_world(keyring=KEYRING, store=store, mode=mode, time=WALL, settings=settings)  # type: ignore[arg-type]  # any clock


FORGERIES: Mapping[str, Callable[[int], bytes | None]] = {
    "garbage": lambda _: b"x" * 41,
    "empty": lambda _: b"",
    "short": lambda _: b"x",
    "long": lambda _: b"x" * 100_000,
    "zeros": lambda _: bytes(41),
    "no text": lambda _: None,
    "a stranger's": lambda now: records.encode_revocation(now + 10**6, named(), STRANGER),
    "of another conversation": lambda now: records.encode_revocation(now, named(OTHER), RECORD_KEY),
    "a note": lambda _: records.sign(b"x", b"label", named(), RECORD_KEY),
    "ours and older": lambda now: records.encode_revocation(now - 3600, named(), RECORD_KEY),
    "cut": lambda now: records.encode_revocation(now, named(), RECORD_KEY)[:-1],
    "lengthened": lambda now: records.encode_revocation(now, named(), RECORD_KEY) + b"x",
}


async def a_token(world: World) -> bytes:
    return (await world.sessions.resolve(seal_need())).sealing[SCOPE].seal(b"hello", CONTEXT)


async def opens(world: World, text: bytes) -> bool:
    need = (SCOPE, decode(text).key_id)
    return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_what_is_forged_in_the_place_of_a_revocation_is_overwritten(
    subject: Subject, forgery: str
) -> None:
    one, other = a_process(subject), a_process(subject)
    text, now = await a_token(one), int(WALL())
    subject.plant(f"{named()}:rev", FORGERIES[forgery](now))
    assert await opens(other, text)

    assert await session_control.revoke(one.sessions, SCOPE, now + 1)

    stands = (await subject.store.find(named(), ())).revocation
    assert stands is not None
    assert records.decode_revocation(stands, named(), RECORD_KEY) == now + 1
    assert not await opens(one, text)
    if subject.store.shared:
        later = a_process(subject)
        assert not await opens(later, text)
        assert later.notices == []


async def test_what_stands_already_and_says_as_much_is_enough(subject: Subject) -> None:
    one, now = a_process(subject), int(WALL())
    subject.plant(f"{named()}:rev", records.encode_revocation(now, named(), RECORD_KEY))
    assert await session_control.revoke(one.sessions, SCOPE, now - 100)
    stands = (await subject.store.find(named(), ())).revocation
    assert stands == records.encode_revocation(now, named(), RECORD_KEY)


async def test_what_another_version_wrote_is_not_overwritten_and_not_taken_for_done(
    subject: Subject,
) -> None:
    one, now = a_process(subject), int(WALL())
    newer = records.sign(b"\x09more", b"sealyard/v1/record/revocation\x00", named(), RECORD_KEY)
    subject.plant(f"{named()}:rev", newer)
    assert not await session_control.revoke(one.sessions, SCOPE, now)
    assert (await subject.store.find(named(), ())).revocation == newer


class Rival(MemoryStore):
    """Somebody who writes there after each of our writes, or a store that only says it wrote."""

    async def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Say that it was kept."""
        await super().revoke(name, record, not_before, seen=seen)
        self._revocations[name] = b"x" * 41
        return record


async def test_a_store_that_only_says_it_took_it_is_told_of() -> None:
    world = a_world(keyring=KEYRING, store=Rival(WALL), time=WALL)  # type: ignore[arg-type]  # any clock
    assert not await session_control.revoke(world.sessions, SCOPE, int(WALL()))
    assert world.notices[-1] == "revocation-not-kept"
    desk = Desk(world.sessions)
    world.store.shared = True  # type: ignore[misc]  # as a store of many processes is
    answer = await desk.run("revoke", SCOPE, int(WALL()))
    assert (answer.store, answer.open) == (False, ("others-not-told",))


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("forgery", ["garbage", "empty", "no text", "a stranger's"])
async def test_a_forged_current_session_bars_nobody_from_agreeing(
    subject: Subject, forgery: str, mode: SessionMode
) -> None:
    subject.plant(f"{named()}:cur", FORGERIES[forgery](int(WALL())))
    one, other = a_process(subject, mode), a_process(subject, mode)
    sids = {
        (await world.sessions.resolve(seal_need())).sealing[SCOPE].sid for world in (one, other)
    }
    assert len(sids) == 1
    assert "record-forged" in one.notices


@pytest.mark.parametrize("forgery", ["garbage", "empty", "no text"])
async def test_a_forged_turn_is_overwritten(subject: Subject, forgery: str) -> None:
    one, other = a_process(subject), a_process(subject)
    if not one.sessions.store.shared:
        pytest.skip("turns are for stores that processes share")
    name = packages_name(KEYRING.name_key, SCOPE)
    subject.plant(f"{name}:k:{package_records.ROTATION_MARKER}", FORGERIES[forgery](0))
    assert await rotation_marker.put(one.sessions, SCOPE)
    mark = await rotation_marker.last(one.sessions, SCOPE)
    assert mark
    assert mark == await rotation_marker.last(other.sessions, SCOPE)


@pytest.mark.parametrize("forgery", ["garbage", "empty", "no text"])
async def test_a_forged_note_of_the_use_of_keks_is_overwritten(
    subject: Subject, forgery: str
) -> None:
    subject.plant(f"{kek_usage.NAME}:note", FORGERIES[forgery](0))
    notices: list[str] = []
    guarded = GuardedStore(subject.store, 2.0, clock=WALL, notice=notices.append)
    use = KekUse(WALL())
    use.opened(1, WALL(), 3)
    await use.flush(guarded, RECORD_KEY, WALL(), notice=notices.append)
    uses = await kek_usage.read(guarded, RECORD_KEY)
    assert uses is not None
    assert uses.of[1].opened == 3
    assert notices == ["record-forged"]


async def test_a_receipt_names_no_key_that_somebody_invented(subject: Subject) -> None:
    one = a_process(subject, "ephemeral")
    sid = decode(await a_token(one)).key_id.sid
    ids = records.SessionRecord(0, 0, 0, 0, 1, sid).key_id
    real = (await subject.store.find(named(), [ids])).keys[0]
    assert isinstance(real, HeldRecords)
    for invented, record in (("A" * 16, b"x"), ("B" * 16, real.record), ("C" * 16, b"x")):
        await subject.store.keep(named(), invented, record, 10**6)
    subject.plant(f"{named()}:k:{'C' * 16}", None)
    assert await session_control.erase(one.sessions, SCOPE) == (ids,)
    assert {place for place in await subject.store.dump() if ":k:" in place} == set()


@pytest.mark.parametrize("added", ["", "x ", "x 1 ", "\xff 99999999999999 ", "many"])
async def test_whatever_somebody_adds_to_the_list_of_keys_they_are_erased(
    server: Server, request: pytest.FixtureRequest, added: str
) -> None:
    subject = redis(request)
    one = a_process(subject, "ephemeral")
    await a_token(one)
    if added == "many":
        added = "".join(f"{number} 99999999999999 " for number in range(9_000))
    ids = f"sealyard:v1:{{{named()}}}:ids"
    server.command("EVAL", "redis.call('APPEND', KEYS[1], ARGV[1])", "1", ids, added)
    if added == "x ":
        with pytest.raises(KeyUnavailable):
            await session_control.erase(one.sessions, SCOPE)
        server.command("EVAL", "redis.call('APPEND', KEYS[1], '1 ')", "1", ids)
    assert len(await session_control.erase(one.sessions, SCOPE)) == 1
    assert [place for place in await subject.store.dump() if ":k:" in place] == []
    await subject.close()


async def test_what_anybody_publishes_only_makes_processes_ask_again(
    server: Server, request: pytest.FixtureRequest
) -> None:
    subject = redis(request)
    one = a_process(subject, "ephemeral")
    await one.sessions.open()
    text = await a_token(one)
    async with asyncio.timeout(10):
        while not one.store.subscribed:  # noqa: ASYNC110 - Redis sets no event here
            await asyncio.sleep(0.02)
    for said in (named(), f"{named()}!", "!", "", "\xff", "x" * 100_000, f"{named()}!!"):
        await asyncio.to_thread(server.command, "PUBLISH", "sealyard:v1:changed", said)
    await asyncio.sleep(0.2)
    assert await opens(one, text)
    sealed = (await one.sessions.resolve(seal_need())).sealing[SCOPE]
    assert sealed.sid == decode(text).key_id.sid
    await subject.close()


# --- what nothing is known of ---------------------------------------------------------------------


async def test_a_scope_that_nothing_is_known_of_is_told_and_revoked(subject: Subject) -> None:
    one = a_process(subject)
    desk, now = Desk(one.sessions), int(WALL())
    answer = await desk.run("revoke", SCOPE, now)
    assert answer.unknown is True
    assert answer.not_before == now
    assert (await desk.run("revoke", SCOPE, now)).unknown is None


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_scope_that_another_process_sealed_for_is_known(
    subject: Subject, mode: SessionMode
) -> None:
    one, other = a_process(subject, mode), a_process(subject, mode)
    await a_token(other)
    desk = Desk(one.sessions)
    assert (await desk.run("rotate", OTHER)).unknown is True
    assert (await desk.run("rotate", OTHER)).unknown is None
    assert (await desk.run("revoke", SCOPE, 5)).unknown is None
    if mode == "ephemeral":
        assert (await desk.run("erase", SCOPE)).unknown is None
        assert (await desk.run("erase", Scope("x", "y"))).unknown is True


async def test_a_forged_session_makes_no_scope_known(subject: Subject) -> None:
    subject.plant(f"{named()}:cur", b"x" * 80)
    subject.plant(f"{named()}:rev", b"x" * 41)
    assert not await session_control.known(a_process(subject).sessions, SCOPE)


async def test_a_store_that_is_down_makes_no_scope_unknown() -> None:
    world = a_world(store=BrokenStore(shared=True))
    with pytest.raises(KeyUnavailable):
        await session_control.known(world.sessions, SCOPE)
    answer = await Desk(world.sessions).run("revoke", SCOPE, 5)
    assert (answer.unknown, answer.store) == (None, False)

"""A key that may be the only copy is never pushed out: who comes too late is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from proxy.config.settings import RedisSettings
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import KeysFull, KeyUnavailable
from proxy.keys.sessions import session_control
from proxy.keys.stores import HeldRecords, MemoryStore, Offer, Store, StoreFull, open_store
from proxy.keys.stores.sqlite_file import SqliteFile
from proxy.traffic.http1.problem import problem
from tests.keys.builders import CONTEXT, SCOPE, Time, World, a_world, seal_need
from tests.redis.server import PROGRAM, Server

HOUR = 3600


def offer(number: int, record: bytes = b"r", *, key: str = "s1") -> Offer:
    return Offer(f"n{number}", record, HOUR * 1000, key, 2 * HOUR * 1000 if key else 0)


async def until_full(store: Store) -> int:
    """Fill a store with keys of conversations that are made up; return how many it took."""
    for number in range(100_000):
        try:
            await store.get_or_create(offer(number, bytes(400)))
        except StoreFull:
            return number
    raise AssertionError("it takes everything")


def memory(_: Path, time: Time) -> Store:
    return MemoryStore(time, max_records=100)


def sqlite(folder: Path, time: Time) -> Store:
    store = open_store(f"sqlite:{folder}/keys.db", time, wall=time)
    store._file = SqliteFile(folder / "keys.db", time, max_pages=60)  # type: ignore[attr-defined]  # a small one
    return store


MAKERS: Mapping[str, Callable[[Path, Time], Store]] = {"memory": memory, "sqlite": sqlite}


@pytest.mark.parametrize("kind", MAKERS)
async def test_live_keys_stay_and_new_conversations_are_refused(kind: str, tmp_path: Path) -> None:
    time = Time()
    store = MAKERS[kind](tmp_path, time)
    number = await until_full(store)
    assert number > 50
    for one in range(number):
        (held,) = (await store.find(f"n{one}", ["s1"])).keys
        assert held is not None, one
    room = store.room
    assert room is not None
    assert 0.7 < room.taken / room.most <= 1.05
    with pytest.raises(StoreFull):
        await store.keep("new", "s1", bytes(8000), 1000)
    # Those that have keys get another one, and what opens is found.
    await store.replace(offer(3, bytes(400), key="s2"), seen=bytes(400))
    assert (await store.keep("n4", "s3", b"package", 10**6)).record == b"package"
    await store.close()


@pytest.mark.parametrize("kind", MAKERS)
async def test_what_is_not_the_only_copy_is_never_refused(kind: str, tmp_path: Path) -> None:
    store = MAKERS[kind](tmp_path, Time())
    await until_full(store)
    assert await store.revoke("gone", b"revoked", 5) == b"revoked"
    assert await store.note("fleet", b"noted") == b"noted"
    assert (await store.find("gone", [])).revocation == b"revoked"
    if kind == "memory":
        for number in range(300):
            assert (await store.get_or_create(offer(10**6 + number, key=""))).record == b"r"
    assert len(await store.erase("n1", b"fence")) == 1
    await store.close()


@pytest.mark.parametrize("kind", MAKERS)
async def test_keys_that_have_ended_make_room(kind: str, tmp_path: Path) -> None:
    time = Time()
    store = MAKERS[kind](tmp_path, time)
    number = await until_full(store)
    time.advance(2 * HOUR + 1)
    try:
        await store.get_or_create(offer(10**6))
    except StoreFull:  # SQLite finds out only now what it may delete
        await store.get_or_create(offer(10**6))
    assert (await store.find("n1", ["s1"])).keys == (None,)
    again = 1
    for one in range(number // 2):
        await store.get_or_create(offer(2 * 10**6 + one, bytes(400)))
        again += 1
    assert again > number // 3
    await store.close()


def test_a_file_that_is_beyond_its_room_already_opens(tmp_path: Path) -> None:
    with closing(SqliteFile(tmp_path / "keys.db", Time())) as large:
        for number in range(2000):
            large.get_or_create(offer(number, bytes(400)))
    with closing(SqliteFile(tmp_path / "keys.db", Time(), max_pages=20)) as small:
        with pytest.raises(StoreFull):
            small.get_or_create(offer(10**6, bytes(8000)))
        assert small.find("n7", ["s1"]).keys[0] is not None
        assert small.revoke("gone", b"revoked", 0) == b"revoked"


# --- sessions -------------------------------------------------------------------------------------


async def a_token(world: World, scope: Scope = SCOPE) -> bytes:
    return (await world.sessions.resolve(seal_need(scope))).sealing[scope].seal(b"hello", CONTEXT)


async def test_a_flood_of_made_up_conversations_costs_nobody_a_key() -> None:
    time = Time()
    world = a_world(time=time, store=MemoryStore(time, max_records=1000), mode="ephemeral")
    text = await a_token(world)
    refused = 0
    for number in range(5000):
        try:
            await world.sessions.resolve(seal_need(Scope("clinic", f"made up {number}")))
        except KeysFull:
            refused += 1
    assert refused == 5000 - 899
    assert world.sessions.store.breaker.state == "closed"
    # The process itself forgets keys by then; the store has them.
    world.sessions._forget()
    session = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    assert session.sid == decode(text).key_id.sid
    rotated = await session_control.rotate(world.sessions, SCOPE)
    assert rotated.session.sid != session.sid
    time.advance(3 * HOUR)
    await world.sessions.resolve(seal_need(Scope("clinic", "honest")))


async def test_a_session_at_hand_goes_on_where_its_renewal_finds_no_room() -> None:
    class Full(MemoryStore):
        shared = True

        async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
            raise StoreFull

    time = Time()
    store = Full(time)
    world = a_world(time=time, store=store, mode="ephemeral")
    first = (await world.sessions.resolve(seal_need())).sealing[SCOPE]
    name = world.sessions.name(SCOPE)
    store._current[name] = store._ending(b"forged", 10**6)
    time.advance(31)
    assert (await world.sessions.resolve(seal_need())).sealing[SCOPE].sid == first.sid


def test_the_client_is_told_to_come_again() -> None:
    answer = problem(KeysFull("store-full"), "r")
    headers = dict(answer.headers)
    assert answer.status == 503
    assert headers[b"Sealyard-Error"] == b"keys-full"
    assert headers[b"Retry-After"] == b"1"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RedisSettings]:
    if PROGRAM is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    server = Server(tmp_path, ("--maxmemory", "3mb", "--maxmemory-policy", "noeviction"))
    server.start()
    yield server.settings
    server.kill()


async def test_a_redis_that_is_full_refuses_new_keys_and_goes_on_opening(
    small: RedisSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proxy.keys.stores.redis import connection  # noqa: PLC0415 - only here

    # It is about room: a Redis that gets no processor for a moment is none that is gone.
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 20.0)
    monkeypatch.setattr(connection, "COMMAND_SECONDS", 20.0)
    store = open_store("redis", options=small)
    number = await until_full(store)
    assert (await store.find("n0", ["s1"])).keys[0] is not None

    async def keep_more() -> None:
        for more in range(1000):  # the buffer that Redis gives back of a client is room for a few
            await store.keep(f"n{number + more}", "s1", bytes(400), 10**6)

    with pytest.raises(StoreFull):
        await keep_more()
    await store.close()
    assert issubclass(KeysFull, KeyUnavailable)

"""Whatever a Redis answers, and however it spells that, is read strictly or is a failed store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.settings import (
    RedisCluster,
    RedisSentinels,
    RedisSettings,
    SecretReference,
    TcpAddress,
)
from proxy.core.crypto.token import KeyId
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.sessions.sessions import SessionMode, SessionSettings
from proxy.keys.stores import (
    FoundRecords,
    HeldRecords,
    Offer,
    Settled,
    Store,
    StoreFailed,
    Under,
    open_store,
)
from proxy.keys.stores.guarded import GuardedStore
from proxy.keys.stores.redis import check
from tests.keys.builders import NOW, SCOPE, Time, World, a_world, seal_need
from tests.keys.desk import Desk

from .lying import Liar, lying, marked

BULK = b"$41\r\n" + b"x" * 41 + b"\r\n"
SHAPES: Mapping[str, bytes] = {
    "integer": b":5\r\n",
    "zero": b":0\r\n",
    "negative": b":-5\r\n",
    "huge integer": b":9223372036854775807\r\n",
    "integer beyond 64 bits": b":99999999999999999999999999\r\n",
    "no integer": b":x\r\n",
    "nil": b"$-1\r\n",
    "nil list": b"*-1\r\n",
    "nil of RESP3": b"_\r\n",
    "empty text": b"$0\r\n\r\n",
    "text": BULK,
    "short text": b"$3\r\nabc\r\n",
    "status": b"+OK\r\n",
    "bad UTF-8": b"$4\r\n\xff\xfe\x80\xc3\r\n",
    "status in bad UTF-8": b"+\xff\xfe\r\n",
    "empty list": b"*0\r\n",
    "list of nil": b"*1\r\n$-1\r\n",
    "list of one": b"*1\r\n" + BULK,
    "list of two": b"*2\r\n" + BULK + BULK,
    "list of three texts": b"*3\r\n" + BULK * 3,
    "list of three integers": b"*3\r\n:1\r\n:2\r\n:3\r\n",
    "too long a list": b"*9\r\n" + BULK * 9,
    "nested": b"*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    "nested a thousand times": b"*1\r\n" * 1000 + b":1\r\n",
    "nested a hundred thousand times": b"*1\r\n" * 100_000 + b":1\r\n",
    "time left is a text": b"*3\r\n" + BULK + b"$1\r\nx\r\n$-1\r\n",
    "time left is nil": b"*3\r\n" + BULK + b"$-1\r\n$-1\r\n",
    "time left is negative": b"*3\r\n" + BULK + b":-2\r\n$-1\r\n",
    "time left is huge": b"*3\r\n" + BULK + b":9223372036854775807\r\n$-1\r\n",
    "revocation is an integer": b"*3\r\n" + BULK + b":5000\r\n:7\r\n",
    "revocation is a list": b"*3\r\n" + BULK + b":5000\r\n*0\r\n",
    "record is an integer": b"*3\r\n:5\r\n:5000\r\n$-1\r\n",
    "record is nil": b"*3\r\n$-1\r\n:5000\r\n$-1\r\n",
    "an odd clock": b"*4\r\n$0\r\n\r\n:0\r\n$-1\r\n$5\r\nclocK\r\n",
    "clock alone": b"*1\r\n$5\r\nclock\r\n",
    "clock too": b"*4\r\n" + BULK + b":1\r\n$-1\r\n$5\r\nclock\r\n",
    "times as floats": b"*2\r\n$3\r\n1.5\r\n$3\r\nnan\r\n",
    "true": b"#t\r\n",
    "false": b"#f\r\n",
    "no boolean": b"#x\r\n",
    "float": b",1.5\r\n",
    "infinity": b",inf\r\n",
    "big number": b"(3492890328409238509324850943850943825024385\r\n",
    "map": b"%1\r\n$1\r\na\r\n:1\r\n",
    "map with a list for a key": b"%1\r\n*1\r\n:1\r\n:1\r\n",
    "set": b"~2\r\n:1\r\n:2\r\n",
    "set of lists": b"~1\r\n*1\r\n:1\r\n",
    "verbatim": b"=7\r\ntxt:abc\r\n",
    "push": b">2\r\n$7\r\nmessage\r\n:1\r\n",
    "attribute": b"|1\r\n$1\r\na\r\n:1\r\n:5\r\n",
    "error": b"-ERR no\r\n",
    "error in bad UTF-8": b"-\xff\xfe\r\n",
    "empty error": b"-\r\n",
    "error of RESP3": b"!6\r\nERR no\r\n",
    "NOSCRIPT": b"-NOSCRIPT no\r\n",
    "MOVED": b"-MOVED 1 127.0.0.1:1\r\n",
    "MOVED nowhere": b"-MOVED\r\n",
    "MOVED to no port": b"-MOVED 1 127.0.0.1:x\r\n",
    "ASK nowhere": b"-ASK 1\r\n",
    "unknown type": b"?5\r\n",
    "no protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing": b"\r\n",
    "negative length": b"$-7\r\n",
    "negative list": b"*-7\r\n",
    "no length": b"$x\r\nabc\r\n",
    "longer than said": b"$2\r\nabcdef\r\n",
    "two answers": BULK + BULK,
    "cut": b"close$41\r\nabc",
    "cut list": b"close*3\r\n" + BULK,
    "cut at once": b"close",
    "cut line": b"close$4",
}
PATIENT = SessionSettings(store_timeout=5.0)
OFFER = Offer("n", b"r", 1000, "s1", 2000)
ASKING: Mapping[str, Callable[[GuardedStore], Awaitable[object]]] = {
    "get or create": lambda store: store.get_or_create(OFFER),
    "replace": lambda store: store.replace(OFFER, seen=b"x"),
    "find": lambda store: store.find("n", ["s1"]),
    "find the current": lambda store: store.find("n", ["s1"], current=True),
    "revoke": lambda store: store.revoke("n", b"r", 5, seen=None),
    "keep": lambda store: store.keep("n", "s1", b"r", 1000, under=Under(None, b"f")),
    "kept": lambda store: store.kept("n"),
    "note": lambda store: store.note("n", b"r"),
    "erase": lambda store: store.erase("n", b"f", only=["s1"]),
    "settled": lambda store: store.settled("n"),
}
SCRIPTS = {b"EVALSHA", b"EVAL"}


def is_whole(answer: object) -> bool:
    """Whether an answer of the store is of the types that it says it is of."""
    if isinstance(answer, HeldRecords):
        return (
            type(answer.record) is bytes
            and type(answer.remaining_ms) is int
            and answer.remaining_ms > 0
            and type(answer.revocation) in {bytes, type(None)}
        )
    if isinstance(answer, FoundRecords):
        return (
            type(answer.revocation) in {bytes, type(None)}
            and type(answer.current) in {bytes, type(None)}
            and all(one is None or is_whole(one) for one in answer.keys)
            and len(answer.keys) == 1
        )
    if isinstance(answer, Settled):
        return (
            type(answer.revocation) in {bytes, type(None)}
            and type(answer.replicas) in {int, type(None)}
            and type(answer.disk) in {bool, type(None)}
        )
    if isinstance(answer, dict):
        return all(type(name) is str and type(one) is bytes for name, one in answer.items())
    return answer is None or type(answer) is bytes


@asynccontextmanager
async def a_store(liar: Liar, settings: RedisSettings | None = None) -> AsyncIterator[Store]:
    store = open_store("redis", options=settings or liar.settings)
    try:
        yield store
    finally:
        await store.close()


def guarded(store: Store) -> GuardedStore:
    """Return a guard that never rests."""
    times = iter(range(10**9))
    return GuardedStore(store, 5.0, clock=lambda: float(next(times)), notice=lambda _: None)


async def answers(guard: GuardedStore, question: str) -> str:
    """Ask, and return how it failed; nothing but StoreFailed may be raised."""
    try:
        answer = await ASKING[question](guard)
    except StoreFailed as failed:
        return str(failed)
    assert is_whole(answer), answer
    return ""


@pytest.mark.parametrize("question", ASKING)
async def test_every_shape_in_answer_to_every_question_is_read_or_a_failed_store(
    question: str,
) -> None:
    async with lying() as liar, a_store(liar) as store:
        guard = guarded(store)
        for name, shape in SHAPES.items():
            for said in (shape, marked(shape)):
                liar.lies = dict.fromkeys(SCRIPTS, said)
                assert await answers(guard, question) in REASONS, name
        # And after all of it, an honest answer is read.
        liar.lies = dict.fromkeys(SCRIPTS, HONEST[question])
        assert await asyncio.wait_for(_until_well(guard, question), 20) == ""


async def _until_well(guard: GuardedStore, question: str) -> str:
    """Ask until the connections that lies have broken are gone."""
    while told := await answers(guard, question):
        assert told in REASONS
        await asyncio.sleep(0)
    return told


REASONS = {
    "",
    "store-failed",
    "store-misshapen",
    "store-stale",
    "store-timeout",
    "store-clock-skew",
    "store-resting",
}
LEFT = b":1000\r\n"
HONEST: Mapping[str, bytes] = {
    "get or create": marked(b"*3\r\n" + BULK + LEFT + b"$-1\r\n"),
    "replace": marked(b"*3\r\n" + BULK + LEFT + BULK),
    "find": marked(b"*2\r\n$-1\r\n*2\r\n" + BULK + LEFT),
    "find the current": marked(b"*3\r\n$-1\r\n$-1\r\n*2\r\n" + BULK + LEFT),
    "revoke": marked(BULK),
    "settled": marked(BULK),
    "keep": marked(b"*3\r\n" + BULK + LEFT + b"$-1\r\n"),
    "note": marked(BULK),
    "kept": marked(b"*2\r\n$-1\r\n$-1\r\n"),
    "erase": marked(b"*2\r\n$0\r\n\r\n" + BULK),
}


@pytest.mark.parametrize("command", ["HELLO", "AUTH", "SELECT", "CLIENT", "SUBSCRIBE", "PING"])
async def test_every_shape_in_answer_to_other_commands_is_a_failed_store_at_most(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("correct\n")
    async with lying() as liar:
        login = SecretReference(file=tmp_path / "password")
        settings = replace(liar.settings, user="u", password=login, db=1)
        async with a_store(liar, settings) as store:
            guard, heard = guarded(store), list[str | None]()
            liar.lies = dict.fromkeys(SCRIPTS, HONEST["erase"])
            await store.open(heard.append)
            listening = store._listening  # type: ignore[attr-defined]  # it is a RedisStore
            for name, shape in SHAPES.items():
                liar.lies[command.encode()] = shape
                assert await answers(guard, "erase") in REASONS, name
                assert not listening.done(), name


@pytest.mark.parametrize("word", [b"WAIT", b"WAITAOF"])
async def test_what_is_no_number_of_copies_is_not_taken_for_one(word: bytes) -> None:
    async with lying() as liar, a_store(liar) as store:
        for name, shape in SHAPES.items():
            liar.lies = {**dict.fromkeys(SCRIPTS, marked(BULK)), word: shape}
            try:
                found = await guarded(store).settled("n")
            except StoreFailed:
                continue
            assert found is not None
            told = found.replicas if word == b"WAIT" else found.disk
            assert told is None or name in {"integer", "zero"}, name


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_no_message_fails_otherwise_than_by_a_missing_key(
    mode: SessionMode,
) -> None:
    async with lying() as liar, a_store(liar) as store:
        for name, shape in SHAPES.items():
            time = Time(float(NOW))
            world = a_world(store=store, time=time, mode=mode, settings=PATIENT)
            liar.lies = dict.fromkeys(SCRIPTS, marked(shape, int(time.now)))
            assert await sealed(world) == (mode == "durable"), name
            assert not await opened(world, KeyId(int(time.now).to_bytes(4) + bytes(8))), name
            if mode == "durable":
                assert await opened(world, KeyId(int(time.now).to_bytes(4) + bytes(8), "k1")), name
            if name == "clock alone":  # what Redis says of a revocation of a time to come
                continue
            answer = await Desk(world.sessions).run("revoke", SCOPE, 5)
            assert answer.store is False, name


async def sealed(world: World) -> bool:
    try:
        return SCOPE in (await world.sessions.resolve(seal_need())).sealing
    except KeyUnavailable:
        return False


async def opened(world: World, key_id: KeyId) -> bool:
    need = (SCOPE, key_id)
    try:
        return need in (await world.sessions.resolve(Needs({}, frozenset({need})))).opening
    except KeyUnavailable:
        return False


# --- at the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["PING", "HELLO", "CONFIG", "TIME", "EVAL", "EVALSHA", "SUBSCRIBE"]
)
async def test_no_shape_ends_the_start_by_an_error_of_ours(command: str) -> None:
    async with lying() as liar:
        for name, shape in SHAPES.items():
            liar.lies = {command.encode(): shape}
            found = await check.examined(
                liar.settings, {}, "durable", clock=lambda: float(NOW), seconds=2.0
            )
            assert found, name
            assert all(one.text for one in found), name


@pytest.mark.parametrize("of", range(3))
async def test_a_cluster_and_sentinels_that_lie_are_failed_stores(of: int) -> None:
    for shape in tuple(SHAPES.values())[of::3]:
        await _lie_of_nodes(shape)


async def _lie_of_nodes(shape: bytes) -> None:
    async with lying() as liar:
        here = TcpAddress("127.0.0.1", liar.port)
        liar.lies = {b"CLUSTER": shape, b"SENTINEL": shape}
        for place in (RedisCluster((here,)), RedisSentinels("mymaster", (here,))):
            async with a_store(liar, RedisSettings(place)) as store:
                assert await answers(guarded(store), "note") in REASONS - {""}
        master = b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(liar.port)), liar.port)
        liar.lies = {b"SENTINEL": master, b"ROLE": shape, b"EVALSHA": marked(BULK)}
        async with a_store(liar, RedisSettings(RedisSentinels("mymaster", (here,)))) as store:
            assert await answers(guarded(store), "note") in REASONS - {""}
            assert b"EVALSHA" not in liar.asked
            liar.lies[b"ROLE"] = b"*1\r\n$6\r\nmaster\r\n"
            assert await asyncio.wait_for(_until_well(guarded(store), "note"), 5) == ""


# --- SQLite, whose columns hold whatever they are given -------------------------------------------


@pytest.mark.parametrize("record", [None, 5, 1.5, "text", b"", b"x" * 100])
@pytest.mark.parametrize("ends", [2**62, "9", 1e300])
async def test_a_row_of_other_types_is_a_failed_store(
    tmp_path: Path, record: object, ends: object
) -> None:
    path = tmp_path / "keys.db"
    store = open_store(f"sqlite:{path}", wall=lambda: float(NOW))
    await store.open(lambda _: None)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE records")
        connection.execute("CREATE TABLE records (place TEXT PRIMARY KEY, record, ends)")
        for place in ("n:cur", "n:rev", "n:note", "n:k:s1"):
            row = (place, record, ends)
            connection.execute("INSERT INTO records VALUES (?, ?, ?)", row)
    for question in ASKING:
        assert await answers(guarded(store), question) in {*REASONS, "store-unexpected"}
    await store.close()

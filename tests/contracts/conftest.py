"""Every kind of store as several processes see it, how time passes, and who tampers with it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.keys.stores import MemoryStore, Store, open_store
from proxy.keys.stores.redis import connection
from tests.redis.server import PROGRAM, Server


class Time:
    """The time of day, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    async def advance(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass
class Subject:
    """A store under test: how time passes for it, and what puts anything at a place of it."""

    made: Callable[[], Store]
    advance: Callable[[float], Awaitable[None]]
    plant: Callable[[str, bytes | None], None]
    store: Store = field(init=False)
    sights: list[Store] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.another()

    def another(self) -> Store:
        """Return the store as another process sees it; the fixture closes it."""
        self.sights.append(self.made())
        return self.sights[-1]

    async def close(self) -> None:
        for store in dict.fromkeys(self.sights):
            await store.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections wait for long: nothing here is about deadlines."""
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 20.0)
    monkeypatch.setattr(connection, "COMMAND_SECONDS", 20.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


def memory(_: pytest.FixtureRequest) -> Subject:
    clock = Time()
    store = MemoryStore(clock)

    def plant(place: str, record: bytes | None) -> None:
        name, _, what = place.partition(":")
        endless = {"rev": store._revocations, "note": store._notes}.get(what)
        if endless is not None:
            endless[name] = record or b""
        elif what == "fence":
            store._fences[name] = store._ending(record or b"", 10**9)
        elif what == "cur":
            store._current[name] = store._ending(record or b"", 10**9)
        else:
            store._put_key(name, what.removeprefix("k:"), record or b"", 10**9)

    return Subject(lambda: store, clock.advance, plant)


def sqlite(request: pytest.FixtureRequest) -> Subject:
    path: Path = request.getfixturevalue("tmp_path") / "keys.db"
    clock = Time()

    def plant(place: str, record: bytes | None) -> None:
        with sqlite3.connect(path) as connection:
            row = (place, record or b"", 2**62)
            connection.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", row)

    return Subject(lambda: open_store(f"sqlite:{path}", clock, wall=clock), clock.advance, plant)


def redis(request: pytest.FixtureRequest) -> Subject:
    if PROGRAM is None:
        pytest.skip("no redis-server here: apt-get install redis-server")
    server: Server = request.getfixturevalue("server")
    server.command("FLUSHALL")

    async def advance(seconds: float) -> None:
        # Redis' clock cannot be moved, but what is left of each key's time can be shortened.
        script = """for _, key in ipairs(redis.call('KEYS', '*')) do
          local left = redis.call('PTTL', key)
          if left > 0 then redis.call('PEXPIRE', key, math.max(left - ARGV[1], 1)) end
        end"""
        await asyncio.to_thread(server.command, "EVAL", script, "0", str(int(seconds * 1000)))
        await asyncio.sleep(0.005)

    def plant(place: str, record: bytes | None) -> None:
        name, _, what = place.partition(":")
        key = f"sealyard:v1:{{{name}}}:{what}"
        server.command("DEL", key)
        if record is None:
            server.command("RPUSH", key, "99999999999999999999", "x")
        else:
            server.command("SET", key, record)
        if what not in {"rev", "note"}:
            server.command("PEXPIRE", key, "3600000")

    return Subject(lambda: open_store("redis", options=server.settings), advance, plant)


SUBJECTS: Mapping[str, Callable[[pytest.FixtureRequest], Subject]] = {
    "memory": memory,
    "sqlite": sqlite,
    "redis": redis,
}


@pytest.fixture(params=sorted(SUBJECTS))
async def unopened(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """Each kind of store, which the test opens."""
    subject = SUBJECTS[request.param](request)
    yield subject
    await subject.close()


@pytest.fixture
async def subject(unopened: Subject) -> Subject:
    """Each kind of store, open."""
    await unopened.store.open(lambda _: None)
    return unopened


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the nightly what waits for leases before SQLite: CI waits for them before Redis."""
    for item in items:
        if item.path.name == "test_leases.py" and "[sqlite" in item.name:
            item.add_marker(pytest.mark.slow)

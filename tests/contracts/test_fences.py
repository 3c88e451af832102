"""A fence that somebody deletes, forges or puts back: no erased key is kept again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from proxy.core.crypto import base64url
from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import decode
from proxy.core.errors import OpenFailed
from proxy.keys.sessions import fences
from proxy.keys.stores import MemoryStore, Store
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import KEYRING, Process, a_held_key

from .conftest import Subject
from .test_meetings import Wall, a_process

SCOPE = Scope("clinic", "c1")


async def gone(subject: Subject, request: pytest.FixtureRequest, place: str) -> None:
    """Delete what is at a place of the store, as an eviction does; all of it without a place."""
    kind = request.node.callspec.params["unopened"]
    if kind == "redis":
        server = request.getfixturevalue("server")
        name, _, what = place.partition(":")
        key = f"sealyard:v1:{{{name}}}:{what}"
        server.command(*(["DEL", key] if place else ["FLUSHALL"]))
    elif kind == "sqlite":
        with sqlite3.connect(request.getfixturevalue("tmp_path") / "keys.db") as connection:
            where = " WHERE place = ?" if place else ""
            connection.execute(f"DELETE FROM records{where}", [place] if place else [])  # noqa: S608 - two texts of ours
    else:
        store = subject.store
        assert isinstance(store, MemoryStore)
        if not place:
            await store.close()
        store._fences.clear()


FORGED: dict[str, Callable[[str], bytes]] = {
    "garbage": lambda _: b"x" * 57,
    "empty": lambda _: b"",
    "of another name": lambda _: fences.encode(2**62, 0, "n", KEYRING.record_key, bytes),
    "of another key": lambda name: fences.encode(2**62, 0, name, a_key(), bytes),
}


def a_key() -> Any:  # noqa: ANN401 - a record key
    return type(KEYRING.record_key)(bytes(32))


async def people(process: Process) -> None:
    await process.add("alice", a_held_key("alice-sig"), a_held_key("alice-enc"))
    await process.add("bob", a_held_key("bob-enc"))
    await process.add("eve", a_held_key("outsider-enc"), a_held_key("outsider-sig"))


async def opened(reader: Process, name: str, text: bytes) -> bool:
    try:
        return bool(await reader.open_for(name, text))
    except OpenFailed:
        return False


class Deaf:
    """A store whose process hears of nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.subscribed = False

    async def open(self, _: object) -> None: ...

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as it is
        return getattr(self._store, name)


@pytest.mark.parametrize("what", ["nothing", "deleted", "flushed", *FORGED])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_key_that_was_erased_is_not_issued_again(
    subject: Subject,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    what: str,
) -> None:
    writer = await a_process(Deaf(subject.another()))
    eraser = await a_process(subject.another())
    await people(eraser)
    before = await writer.seal(b"before", "alice", ["bob"])
    assert await opened(writer, "bob", before)
    name = writer.keys.package_store.name(SCOPE)

    async def erase() -> None:
        await Desk(eraser.sessions).run("erase", SCOPE)
        if what == "flushed":
            await gone(subject, request, "")
            await people(eraser)
        elif what == "deleted":
            await gone(subject, request, f"{name}:fence")
        elif what in FORGED:
            subject.plant(f"{name}:fence", FORGED[what](name))

    erasing = [erase]

    async def write_down(event: str, **_: Any) -> None:  # noqa: ANN401 - values of any field
        while event == "package.issued" and erasing:
            await erasing.pop()()

    if when == "before":
        await erasing.pop()()
    else:  # the recipients have been looked up by then, and only the store can refuse
        monkeypatch.setattr(writer.sessions, "write_down", write_down)
    after = await writer.seal(b"after", "alice", ["bob", "eve"])

    old = base64url.encode(decode(before).key_id.sid).decode()
    assert old not in await subject.store.kept(name)  # nor would it open
    late_comer = Process(subject.another(), Wall())
    for reader in (eraser, late_comer):
        assert not await opened(reader, "bob", before)
        assert not await opened(reader, "eve", before)
    # Who erased refuses for two seconds what began by another fence than his.
    assert await opened(late_comer, "bob", after)


async def test_a_package_that_comes_back_does_not_open_under_the_fence(
    subject: Subject,
) -> None:
    one = await a_process(subject.another())
    await people(one)
    before = await one.seal(b"before", "alice", ["bob"])
    backup = await subject.store.dump()
    await Desk(one.sessions).run("erase", SCOPE)
    name = one.keys.package_store.name(SCOPE)
    for place, record in backup.items():
        if place.startswith(f"{name}:k:"):
            subject.plant(place, record)
    assert not await opened(Process(subject.another(), Wall()), "bob", before)
    assert (await subject.store.find(name, [], fence=True)).fence

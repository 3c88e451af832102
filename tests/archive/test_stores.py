"""The records that a release left in a store of any kind say today what they said then."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from proxy.core.crypto import token
from proxy.core.crypto.context import Scope
from proxy.keys.end_to_end import rotation_marker
from proxy.keys.fleet import fence_log, presence
from proxy.keys.sessions import kek_usage
from proxy.keys.stores import Offer, Store, open_store
from proxy.keys.stores.redis.store import RedisStore
from tests.archive.opened import Archive, unpacked
from tests.archive.passing import Message, Passing, bearer
from tests.archive.people import Process, context_of
from tests.keys.builders import SharedStore
from tests.redis.server import Server, needs_redis

KINDS = ("memory", "sqlite", pytest.param("redis", marks=needs_redis))


@asynccontextmanager
async def restored(archive: Archive, kind: str, folder: Path) -> AsyncIterator[Store]:
    """Return a store that holds what the archive has of that kind."""
    file = archive.folder / archive.items["stores"][kind]["records"]
    if kind == "memory":
        yield await _in_memory(archive.json(archive.items["stores"][kind]["records"]))
    elif kind == "sqlite":
        copy = folder / "sqlite.db"
        shutil.copy(file, copy)
        store = open_store(f"sqlite:{copy}", wall=lambda: float(archive.made))
        yield store
        await store.close()
    else:
        server = Server(folder)
        server.start()
        _into_redis(server, archive.json(archive.items["stores"][kind]["records"]))
        remote = RedisStore(server.settings, {})
        yield remote
        await remote.close()
        server.kill()


async def _in_memory(rows: list[dict[str, Any]]) -> SharedStore:
    store = SharedStore(time.monotonic)
    for row in rows:
        name, _, place = row["place"].partition(":")
        record, left = unpacked(row["record"]), row["remaining ms"]
        if place == "cur":
            await store.replace(Offer(name, record, left))
        elif place == "rev":
            await store.revoke(name, record, 1)
        elif place == "note":
            await store.note(name, record)
        else:
            await store.keep(name, place.removeprefix("k:"), record, left)
    return store


def _into_redis(server: Server, rows: list[dict[str, Any]]) -> None:
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        for row in rows:
            left = row["remaining ms"]
            client.set(row["key"], unpacked(row["value"]), px=left or None)


@pytest.mark.parametrize("kind", KINDS)
async def test_sessions_revocations_people_pins_and_packages_are_as_they_were(
    archive: Archive, kind: str, tmp_path: Path
) -> None:
    expected = archive.json(archive.items["stores"][kind]["expected"])
    async with restored(archive, kind, tmp_path) as store:
        process = Process(archive.keyring(), store, float(archive.made))
        own = process
        for one in expected["tokens"]:
            if "keyring" in one:
                process = Process(archive.keyring(one["keyring"]), store, float(archive.made))
            context, reader = context_of(one["parts"]), one.get("reader")
            if one["reason"]:
                found = await process.reason(one["mode"], context, one["token"], reader)
                assert found == one["reason"]
            else:
                opened = await process.open(one["mode"], context, one["token"], reader)
                assert opened.decode() == one["plaintext"]
        process = own
        for who, said in expected["people"].items():
            person = await process.people.find(who)
            assert [key.facts(process.now) for key in person.keys] == said["keys"]
            pins = await process.end_to_end.pins().find(process.people.name(who))
            assert {use: sorted(pins.of(use)) for use in ("enc", "sig")} == said["pins"]
        uses = await kek_usage.read(process.durable.store, archive.keyring().record_key)
        assert uses is not None
        for number, use in expected["uses"].items():
            kept = uses.of[int(number)]
            assert {"opened": kept.opened, "sessions": kept.sessions} == use
        for conversation, turned in expected.get("turned", {}).items():
            scope = Scope("clinic", conversation)
            assert await rotation_marker.last(process.durable, scope) == turned
        if "fleet" in expected:
            view = await presence.asked(store, process.keyring, clock=process.clock)
            held = process.keyring
            assert view.has(held)
            assert expected["fleet"] == {"generation": held.generation, "digest": held.digest}
            rows = await presence.rows(process.durable.store, held)
            assert {one.name: one.generation for one in rows} == expected["leases"]
            log = await fence_log.append(process.durable.store, held, (), now=process.clock)
            assert [[one.kind, one.name, one.value] for one in log.events] == expected["fences"]
        assert not process.notices


@pytest.mark.parametrize("kind", KINDS)
async def test_a_rule_opens_what_is_end_to_end_in_a_joined_conversation(
    archive: Archive, kind: str, tmp_path: Path
) -> None:
    expected = archive.json(archive.items["stores"][kind]["expected"])
    rules = archive.folder / archive.items["messages"]["rules"]
    joined = {"members": ["bob", "alice"]}
    async with restored(archive, kind, tmp_path) as store:
        process = Process(archive.keyring(), store, float(archive.made))
        passing = Passing.through(rules, process.end_to_end, archive.made)
        readers = []
        for one in expected["tokens"]:
            if one.get("reader") and one["parts"]["conversation"] == joined and not one["reason"]:
                request = Message(
                    b"{}",
                    "application/json",
                    target="/end-to-end-read/bob/alice",
                    headers=bearer({"sub": one["reader"]}),
                )
                answer = Message(json.dumps({"content": one["token"]}).encode(), "application/json")
                opened = await passing.answer(request, answer)
                assert json.loads(opened.body) == {"content": one["plaintext"]}
                readers.append(one["reader"])
        assert readers == ["alice", "bob"]


# Redis holds what is offered against its own clock, and an archive is read by that of its day.
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_what_sealed_then_goes_on_to_seal(
    archive: Archive, kind: str, tmp_path: Path
) -> None:
    """The session that stands in the store is taken up, not replaced."""
    expected = archive.json(archive.items["stores"][kind]["expected"])
    async with restored(archive, kind, tmp_path) as store:
        process = Process(archive.keyring(), store, float(archive.made))
        for mode in ("durable", "ephemeral"):
            last = [
                one
                for one in expected["tokens"]
                if one["parts"]["tenant"] == f"clinic, {mode}"
                and one["parts"]["conversation"] == "c1"
            ][-1]
            sealed = await process.seal(mode, context_of(last["parts"]), b"more")
            assert _sid(sealed) == _sid(last["token"])


def _sid(text: str) -> bytes:
    return token.decode(text.encode()).key_id.sid

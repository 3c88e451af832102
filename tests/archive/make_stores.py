"""The archive's stores: one story, lived through by a process over each store, and its records."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import redis

from proxy.core.crypto.context import Scope
from proxy.core.crypto.joined_names import to_json
from proxy.keys.end_to_end import rotation_marker
from proxy.keys.fleet import fence_log, keyring_marker, presence
from proxy.keys.fleet.fence_log import ID_BYTES, FenceEvent
from proxy.keys.fleet.presence import Report
from proxy.keys.fleet.watch import KeyringWatch
from proxy.keys.keyring.kek import RandomBytes
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.policy import AWAY_KEEP_SECONDS
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.shared_clock import latest_not_before
from proxy.keys.stores import Store, open_store
from proxy.keys.stores.redis.store import RedisStore
from tests.archive.people import Process, Silent, context_of, enrol
from tests.keys.builders import SharedStore
from tests.redis.server import Server
from tests.vectors.wire_names import LIST, MEMBERS

_CONVERSATIONS: Final = ("c1", "5:alice3:bob", "Grüße 🌍", to_json(LIST), to_json(MEMBERS))

_KINDS: Final = (
    "}:cur$",
    "}:rev$",
    "}:fence$",
    "}:note$",
    "}:k:[A-Za-z0-9_-]{16}$",
    "}:k:list$",
    "}:k:turn$",
    "{kek-use}:note$",
    "{keyring-.*}:note$",
    "{keyring-.*}:k:p[A-Za-z0-9_-]+$",
    "{keyring-.*}:k:fences$",
    "{keyrings}:note$",
)
"""The keys of every kind of record that docs/reference/wire-format.md lists."""


async def write_stores(
    folder: Path, keyrings: Mapping[str, Keyring], now: int, random: RandomBytes
) -> dict[str, Any]:
    """Live through the story over each store, and write down records and what they must say."""
    place = folder / "stores"
    place.mkdir()
    memory = SharedStore(time.monotonic)
    items = {"memory": await _story(keyrings, memory, now, random)}
    (place / "memory.json").write_text(json.dumps(_snapshot(memory), indent=1) + "\n")
    database = place / "sqlite.db"
    sqlite = open_store(f"sqlite:{database}", wall=lambda: float(now))
    items["sqlite"] = await _story(keyrings, sqlite, now, random)
    await sqlite.close()
    with TemporaryDirectory() as temporary:
        server = Server(Path(temporary))
        server.start()
        try:
            store = RedisStore(server.settings, {})
            items["redis"] = await _story(keyrings, store, now, random)
            await store.close()
            rows = _listing(server)
            (place / "redis.json").write_text(json.dumps(rows, indent=1) + "\n")
        finally:
            server.kill()
    missing = set(_KINDS) - {kind for row in rows for kind in _KINDS if re.search(kind, row["key"])}
    assert not missing, f"the story leaves no record of these kinds: {sorted(missing)}"
    for name, expected in items.items():
        text = json.dumps(expected, indent=1, ensure_ascii=False)
        (place / f"{name}-expected.json").write_text(text + "\n")
    files = {"memory": "memory.json", "sqlite": "sqlite.db", "redis": "redis.json"}
    return {
        name: {"records": f"stores/{file}", "expected": f"stores/{name}-expected.json"}
        for name, file in files.items()
    }


async def _story(
    keyrings: Mapping[str, Keyring], store: Store, now: int, random: RandomBytes
) -> dict[str, Any]:
    kept = keyrings["keyring.jwe"]
    process = Process(kept, store, float(now), random)
    tokens = [one async for one in _sealed(process)]
    for mode in ("durable", "ephemeral"):
        await _revoke(process.sessions(mode), f"{mode}, revoked")
    await session_control.erase(process.ephemeral, Scope("clinic", "ephemeral, erased"))
    await enrol(process)
    tokens += [one async for one in _sealed_for_people(process)]
    tokens += [one async for one in _sealed_before_a_merge(keyrings, store, now, random)]
    for one in tokens:  # from what this process knows; an archive is opened by another
        other = Process(keyrings[one.get("keyring", "keyring.jwe")], store, float(now))
        context = context_of(one["parts"])
        reason = await other.reason(one["mode"], context, one["token"], one.get("reader"))
        assert reason == one["reason"], one
    await process.durable.use.flush(
        process.durable.store, kept.record_key, now, notice=process.notices.append
    )
    turned = Scope("clinic", "Grüße 🌍")
    assert await rotation_marker.put(process.durable, turned)
    watch = KeyringWatch(
        kept,
        process.durable.store,
        Silent(),
        go_over=lambda _: None,
        clock=process.clock,
    )
    await watch.look()
    lease = await _lease(process, random)
    event = FenceEvent("fenced", process.durable.view(turned).name, now, random(ID_BYTES))
    log = await fence_log.append(process.durable.store, kept, (event,), now=process.clock)
    assert not process.notices, process.notices
    return {
        "tokens": tokens,
        "people": await _directory(process),
        "uses": {str(kept.primary.number): _uses(process)},
        "fleet": {"generation": kept.generation, "digest": kept.digest},
        "leases": {lease.name: lease.generation},
        "fences": [[one.kind, one.name, one.value] for one in log.events],
        "turned": {turned.conversation: await rotation_marker.last(process.durable, turned)},
    }


async def _lease(process: Process, random: RandomBytes) -> Report:
    """Write the row of a process that seals without the store too."""
    keyring, number = process.keyring, random(presence.PROCESS_BYTES)
    marks, seen = presence.marks_of(keyring), int(process.now * 1000)
    report = Report(
        number,
        seen,
        keyring.generation,
        keyring.digest,
        marks,
        goes_on=True,
        name="archive:1",
        names=presence.names_of(keyring),
    )
    name, place = keyring_marker.name_of(keyring), presence.place_of(number)
    record = presence.encode(report, f"{name}:{place}", keyring.record_key)
    await process.durable.store.keep(name, place, record, int(AWAY_KEEP_SECONDS * 1000))
    return report


async def _revoke(sessions: Sessions, conversation: str) -> None:
    """Revoke what was sealed until now, by the clock of the store if it has one."""
    theirs = sessions.store.time()
    by = sessions.now() if theirs is None else theirs
    not_before = latest_not_before(by, shared=theirs is not None)
    assert await session_control.revoke(sessions, Scope("clinic", conversation), not_before)


async def _sealed(process: Process) -> AsyncIterator[dict[str, Any]]:
    """Seal in sessions that go on, are rotated, revoked or erased."""
    for mode in ("durable", "ephemeral"):
        names = [*_CONVERSATIONS, f"{mode}, revoked", f"{mode}, erased"]
        for name in names:
            reason = {"ephemeral, erased": "unknown-key"}.get(str(name), "")
            if str(name).endswith("revoked"):
                reason = "revoked-session"
            # One scope has one session: those of the other mode stand under other names.
            parts = {"tenant": "clinic", "conversation": name, "field": "content"}
            if name in _CONVERSATIONS:
                parts["tenant"] = f"clinic, {mode}"
            for form in ("jwe", "short"):
                yield await _token(process, mode, parts, form, reason)
            if name == "c1":
                await session_control.rotate(process.sessions(mode), context_of(parts).scope)
                yield await _token(process, mode, parts, "jwe", reason)


async def _sealed_before_a_merge(
    keyrings: Mapping[str, Keyring], store: Store, now: int, random: RandomBytes
) -> AsyncIterator[dict[str, Any]]:
    """Seal in ephemeral sessions of a fork that the keyring takes in."""
    process = Process(keyrings["keyring-fork.jwe"], store, float(now), random)
    for name in ("merged", "merged, revoked"):
        parts = {"tenant": "clinic", "conversation": name, "field": "content"}
        reason = "revoked-session" if name.endswith("revoked") else ""
        made = await _token(process, "ephemeral", parts, "jwe", reason)
        yield {**made, "keyring": "keyring-merged.jwe"}
    await _revoke(process.ephemeral, "merged, revoked")


async def _token(
    process: Process, mode: str, parts: dict[str, Any], form: str, reason: str
) -> dict[str, Any]:
    plaintext = f"{mode} {form} {reason}"
    text = await process.seal(mode, context_of(parts), plaintext.encode(), form=form)
    return {"mode": mode, "parts": parts, "token": text, "plaintext": plaintext, "reason": reason}


async def _sealed_for_people(process: Process) -> AsyncIterator[dict[str, Any]]:
    """Seal end to end: alice for herself and bob, in a scalar and in a joined conversation."""
    for name in _CONVERSATIONS:
        parts = {"tenant": "clinic", "conversation": name, "field": "content"}
        text = await process.seal_for(context_of(parts), "alice", ("alice", "bob"), b"for two")
        made = {"mode": "durable", "parts": parts, "token": text, "plaintext": "for two"}
        for reader in ("alice", "bob", "eve"):
            reason = await process.reason("durable", context_of(parts), text, reader)
            assert bool(reason) == (reader == "eve")
            yield {**made, "reader": reader, "reason": reason}


async def _directory(process: Process) -> dict[str, Any]:
    found = {}
    for who in ("alice", "bob", "eve", "nobody"):
        person = await process.people.find(who)
        name = process.people.name(who)
        pins = await process.end_to_end.pins().find(name)
        found[who] = {
            "keys": [one.facts(process.now) for one in person.keys],
            "pins": {use: sorted(pins.of(use)) for use in ("enc", "sig")},
        }
    return found


def _uses(process: Process) -> dict[str, int]:
    use = process.durable.use.total[process.keyring.primary.number]
    return {"opened": use.opened, "sessions": use.sessions}


def _snapshot(store: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - what it keeps, it shows nobody else
    """Return every record of a store in memory, with how much longer it is kept."""
    now = time.monotonic()
    kept = {f"{name}:cur": one for name, one in store._current.items()}
    for name, keys in store._keys.items():
        kept |= {f"{name}:k:{key_id}": one for key_id, one in keys.items()}
    rows = [(place, one.record, int((one.ends - now) * 1000)) for place, one in kept.items()]
    for place, endless in (("rev", store._revocations), ("note", store._notes)):
        rows += [(f"{name}:{place}", record, 0) for name, record in endless.items()]
    return [
        {"place": place, "record": _base64(record), "remaining ms": left}
        for place, record, left in rows
    ]


def _listing(server: Server) -> list[dict[str, Any]]:
    """Return every key of a Redis: its value, how much longer it is kept, and its DUMP."""
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        return [
            {
                "key": key.decode(),
                "value": _base64(client.get(key)),
                "remaining ms": max(client.pttl(key), 0),
                "dump": _base64(client.dump(key)),
            }
            for key in sorted(client.keys("*"))
        ]


def _base64(data: Any) -> str:  # noqa: ANN401 - what redis-py returns
    return base64.b64encode(bytes(data)).decode()

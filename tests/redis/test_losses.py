"""A Redis that forgets what it had acknowledged: it is told again, and nothing opens for long."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.errors import KeyUnavailable
from proxy.keys.policy import LEDGER_OF_OTHERS, REVOKE_TRIES
from proxy.keys.sessions import ledger
from proxy.keys.sessions.ledger import FenceLedger, Taken
from proxy.keys.sessions.settings import SessionMode
from proxy.keys.stores import Settled, open_store
from tests.keys.builders import SCOPE
from tests.keys.desk import Desk
from tests.keys.members import KEYRING, Member, running

from .server import Server, needs_redis
from .topologies import until

pytestmark = [needs_redis, pytest.mark.usefixtures("patient")]

WITHIN_SECONDS = 5.0


def a_member(server: Server, mode: SessionMode) -> Member:
    return Member(open_store("redis", options=server.settings), mode=mode)


@asynccontextmanager
async def kept(member: Member, path: Path) -> AsyncIterator[FenceLedger]:
    made = FenceLedger(member.sessions, [path], clock=time.time)
    made.start()
    try:
        yield made
    finally:
        await made.close()


async def until_shut(server: Server, text: bytes, mode: SessionMode) -> float:
    """Return after how many seconds a text opens at no process that knows nothing yet."""
    began = time.monotonic()
    while True:
        late = a_member(server, mode)
        late.sessions.lease, late.sessions.sealing_until = None, math.inf
        opens = await late.opens(text)
        await late.store.close()
        if not opens:
            return time.monotonic() - began
        assert time.monotonic() - began < 20
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
@pytest.mark.parametrize("running_on", [True, False])
async def test_a_redis_that_restarts_from_before_is_told_again(
    tmp_path: Path,
    mode: SessionMode,
    running_on: bool,  # noqa: FBT001 - a case
) -> None:
    server, path = Server(tmp_path, ("--dbfilename", "before.rdb")), tmp_path / "ledger"
    server.start()
    one = a_member(server, mode)
    try:
        async with running(one), kept(one, path) as entries:
            text = await one.sealed()
            await asyncio.to_thread(server.command, "SAVE")
            desk = Desk(one.sessions)
            desk.place = replace(desk.place, ledger=entries)
            await desk.run("erase" if mode == "ephemeral" else "revoke", SCOPE)
            assert await until_shut(server, text, mode) < 1
            await entries.once()  # it has been offered, and is offered again all the same
            await asyncio.to_thread(server.kill)
            if running_on:
                await asyncio.to_thread(server.start)
                assert await until_shut(server, text, mode) < WITHIN_SECONDS
        if not running_on:
            await asyncio.to_thread(server.start)
            again = a_member(server, mode)
            assert await again.opens(text)
            async with kept(again, path):
                assert await until_shut(server, text, mode) < WITHIN_SECONDS
            await again.store.close()
    finally:
        await one.store.close()
        server.kill()


async def test_a_file_keeps_the_last_and_what_another_keyring_wrote(
    tmp_path: Path, server: Server
) -> None:
    path, one = tmp_path / "ledger", a_member(server, "durable")
    path.touch(0o600)
    path.write_text("of another keyring\n")
    entries = FenceLedger(one.sessions, [path], clock=time.time)
    for number in range(3):
        await entries.add("revoked", "n" * 22, number)
    await entries.add("erased", "n" * 22, 7)
    lines = path.read_text().splitlines()
    assert lines[0] == "of another keyring"
    found = [ledger.decode(line, KEYRING.record_key) for line in lines[1:]]
    assert [(one.what, one.not_before) for one in found if one] == [("revoked", 2), ("erased", 7)]
    forged = Taken("revoked", "m" * 22, 9, 2**40).encode(type(KEYRING.record_key)(bytes(32)))
    assert ledger.decode(forged, KEYRING.record_key) is None
    for number in range(100):
        entries.learn("revoked", f"m{number:021}", 5)
    assert len(entries) == 2 + LEDGER_OF_OTHERS
    await one.store.close()


@pytest.mark.parametrize(
    ("options", "disk"),
    [
        (("--appendonly", "yes", "--appendfsync", "always"), True),
        (("--appendonly", "yes", "--appendfsync", "everysec"), True),
        (("--appendonly", "yes", "--appendfsync", "no"), False),
        ((), False),
    ],
)
async def test_what_the_disk_is_said_to_have_outlasts_a_crash(
    tmp_path: Path,
    options: tuple[str, ...],
    disk: bool,  # noqa: FBT001 - a case
) -> None:
    server = Server(tmp_path, options)
    server.start()
    one = a_member(server, "durable")
    try:
        async with running(one):
            text = await one.sealed()
            answer = await Desk(one.sessions).run("revoke", SCOPE)
            await asyncio.to_thread(server.kill)
        assert (answer.store, answer.replicas, answer.disk) == (True, 0, disk)
        if disk:
            await asyncio.to_thread(server.start)
            assert await until_shut(server, text, "durable") < WITHIN_SECONDS
    finally:
        await one.store.close()
        server.kill()


async def test_a_disk_that_may_not_be_asked_about_is_not_known(server: Server) -> None:
    server.command("ACL", "SETUSER", "default", "-wait", "-waitaof")
    one = a_member(server, "durable")
    answer = await Desk(one.sessions).run("revoke", SCOPE)
    assert (answer.store, answer.replicas, answer.disk) == (True, None, None)
    assert answer.answer["store"] == {"master": True}
    await one.store.close()


@pytest.mark.parametrize("times", [1, 100])
async def test_a_revocation_that_is_lost_while_it_settles_is_told_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """As by a failover behind the answer to the script that wrote it."""
    one, lost = a_member(server, "durable"), 0
    settling = one.store.settled

    async def settled(name: str) -> Settled | None:
        nonlocal lost
        if lost < times:
            lost += 1
            await asyncio.to_thread(server.command, "FLUSHALL")
        found: Settled | None = await settling(name)
        return found

    monkeypatch.setattr(one.store, "settled", settled)
    answer = await Desk(one.sessions).run("revoke", SCOPE)
    assert (answer.store, lost) == ((True, 1) if times == 1 else (False, REVOKE_TRIES))
    assert (await one.store.find(answer.scope, ())).revocation is not None
    await one.store.close()


async def test_an_erasure_looks_again_once_it_has_settled(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = a_member(server, "ephemeral")
    async with running(one):
        await one.sealed()
        name = one.sessions.name(SCOPE)
        kept, settling = await one.store.kept(name), one.store.settled
        (key,) = kept

        async def settled(name: str) -> Settled | None:
            """Have the store go back to before the erasure, as a failover does."""
            if not await one.store.kept(name):
                await one.store.keep(name, key, kept[key], 60_000)
            found: Settled | None = await settling(name)
            return found

        monkeypatch.setattr(one.store, "settled", settled)
        answer = await Desk(one.sessions).run("erase", SCOPE)
        assert answer.receipt
        assert await one.store.kept(name) == {}
    await one.store.close()


@pytest.mark.parametrize(
    ("guarded", "without_store"),
    [(True, False), (False, True), pytest.param(False, False, marks=pytest.mark.slow)],
)
async def test_of_two_masters_in_a_split_none_lets_acknowledge_what_is_lost(
    tmp_path: Path,
    guarded: bool,  # noqa: FBT001 - a case
    without_store: bool,  # noqa: FBT001 - a case
) -> None:
    """A process stays with the old master, and the revocation is written to the new one."""
    folders = [tmp_path / name for name in ("old", "new", "replica")]
    for one in folders:
        one.mkdir()
    options = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2") if guarded else ()
    old = Server(folders[0], options)
    new = Server(folders[1], ("--replicaof", "127.0.0.1", str(old.port), *options))
    replica = Server(folders[2], ("--replicaof", "127.0.0.1", str(new.port)))
    for server in (old, new, replica):
        await asyncio.to_thread(server.start)
    await asyncio.to_thread(
        until, lambda: b"master_link_status:up" in new.command("INFO", "replication")
    )
    await asyncio.to_thread(until, lambda: b"state=online" in new.command("INFO", "replication"))
    other = Member(open_store("redis", options=old.settings), without_store=without_store)
    reached = a_member(new, "durable")
    other.lease._name = "elsewhere:1"  # a process of another pod
    try:
        async with running(other):
            await other.sealed()
            await asyncio.to_thread(until, lambda: b":p" in new.command("KEYS", "*"))
            await asyncio.to_thread(new.command, "REPLICAOF", "NO", "ONE")
            async with running(reached):
                answer = await Desk(reached.sessions).run("revoke", SCOPE)
                if guarded:
                    assert (answer.complete, answer.processes) == (True, 1)
                    with pytest.raises(KeyUnavailable):
                        await other.sealed()
                else:
                    named = ("elsewhere:1",) if without_store else ()
                    unknown = "clients of another master of Redis (min-replicas-to-write is 0)"
                    assert (answer.complete, answer.missed) == (False, (*named, unknown))
                    await other.sealed()  # it goes on, and the answer has not said otherwise
    finally:
        for member in (other, reached):
            await member.store.close()
        for server in (old, new, replica):
            server.kill()


@pytest.mark.parametrize(
    ("commands", "problem"),
    [
        ([], ""),
        ([("CONFIG", "SET", "repl-backlog-size", "1mb"), ("PSYNC", "?", "-1")], "is 0"),
        ([("ACL", "SETUSER", "default", "-info")], "INFO is not permitted"),
    ],
)
async def test_who_may_be_elsewhere_is_none_only_of_a_redis_that_had_no_replica(
    server: Server, commands: list[tuple[str, ...]], problem: str
) -> None:
    one = a_member(server, "durable")
    for words in commands:
        await asyncio.to_thread(server.command, *words)
    said = await one.store.elsewhere()
    assert (problem in said) if problem else said == ""
    await one.store.close()


@pytest.mark.parametrize(
    ("lag", "denied", "problem"), [("2", "-config", ""), ("2", "", ""), ("10", "", "is above 2")]
)
async def test_a_master_that_goes_on_alone_for_long_is_told(
    server: Server, lag: str, denied: str, problem: str
) -> None:
    one = a_member(server, "durable")
    server.command("CONFIG", "SET", "min-replicas-max-lag", lag, "min-replicas-to-write", "1")
    server.command("REPLICAOF", "127.0.0.1", "1")
    server.command("REPLICAOF", "NO", "ONE")
    if denied:
        server.command("ACL", "SETUSER", "default", denied)
    said = await one.store.elsewhere()
    assert (problem in said) if problem else said == ""
    await one.store.close()

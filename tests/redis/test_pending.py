"""Revocations made while Redis is away: kept, retried, and said not to be everywhere yet."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.core.crypto.context import Scope
from proxy.keys.sessions import session_control
from proxy.keys.sessions.pending_revocations import (
    SUFFIX,
    PendingRevocation,
    PendingRevocations,
    files,
)
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.stores import open_store
from tests.keys.desk import Desk
from tests.scenarios.rig import command, environment
from tests.servers import child

from .fault_proxy import FaultProxy
from .pods import CANARY, NAMED, Place, Pod
from .server import Server, needs_redis
from .test_fleet import PATIENT, SCOPE, a_process, opened, sealed
from .test_operator import a_fleet, a_scene, refused_by, url
from .worker import the_keyring

pytestmark = needs_redis

RETURN_SECONDS = 5.0
"""Within this time after Redis' return, a revocation that was made without it binds everywhere."""
REVOKE = {"tenant": "clinic", "conversation": "c1"}


async def gauge(pod: Pod) -> float:
    """Return how many revocations a sidecar says are pending."""
    _, text = await pod.admin("GET", "/metrics")
    (line,) = (one for one in text.splitlines() if one.startswith("sealyard_pending_revocations"))
    return float(line.split()[-1])


async def until(law: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not law():  # noqa: ASYNC110 - another process sets no event
            await asyncio.sleep(0.02)


def pending_files(place: Place) -> list[str]:
    return [one.name for one in place.folder.iterdir() if one.name.endswith(SUFFIX)]


async def test_a_revocation_without_redis_binds_everywhere_once_it_is_back(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (_, places, session),
        a_fleet(places, session=session) as pods,
    ):
        token = await pods[1].sealed()
        assert [await pod.opens(token) for pod in pods] == [True, True]
        server.kill()
        status, answer = await pods[0].admin("POST", "/v1/sessions/revoke", **REVOKE)
        assert (status, answer["store"]["master"], answer["kept"], answer["durable"]) == (
            202,
            False,
            True,
            True,
        )
        assert answer["open"] == ["not-stored-yet"]
        assert not await pods[0].opens(token)
        assert await pods[1].opens(token)
        assert await gauge(pods[0]) == 1
        _, ready = await pods[0].admin("GET", "/readyz?verbose")
        assert "the store has not taken 1" in str(ready)
        event = await pods[0].served.event("key.revocation_pending")
        assert event["kept"] is True
        await asyncio.sleep(2)
        server.start()
        assert await refused_by(pods[1], token, RETURN_SECONDS) < RETURN_SECONDS
        event = await pods[0].served.event("key.revocation_stored")
        assert event["waited_s"] > 2
        assert await gauge(pods[0]) == 0
        assert pending_files(places[0]) == []
        again = await pods[1].sealed()
        assert [await pod.opens(again) for pod in pods] == [True, True]
        for place in places:
            log = (place.folder / "sealyard.log").read_text()
            assert CANARY not in log


async def test_a_sidecar_that_is_killed_meanwhile_remembers(server: Server, tmp_path: Path) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (_, places, session),
        a_fleet(places[1:], session=session) as (other,),
    ):
        with child(command(places[0].folder), tmp_path / "first.log", environment()) as process:
            first = Pod.at(places[0], process, tmp_path / "first.log", session)
            await first.served.event("server.ready")
            token = await first.sealed()
            server.kill()
            status, answer = await first.admin("POST", "/v1/sessions/revoke", **REVOKE)
            assert (status, answer["kept"]) == (202, True)
            process.kill()
        # The keyring knows too; what is tried is the file.
        (places[0].folder / "keyring.jwe").write_bytes(
            (places[1].folder / "keyring.jwe").read_bytes()
        )
        server.start()
        assert await other.opens(token)
        with places[0].serving() as served:
            again = Pod(served, session)
            await served.event("server.ready")
            assert await refused_by(other, token, RETURN_SECONDS) < RETURN_SECONDS
            assert not await again.opens(token)
            await served.event("key.revocation_stored")
        assert pending_files(places[0]) == []


async def test_a_command_without_redis_leaves_it_to_the_sidecar_that_runs_there(
    server: Server, tmp_path: Path
) -> None:
    async with (
        a_scene(tmp_path, url(server)) as (_, places, session),
        a_fleet(places, session=session) as pods,
    ):
        token = await pods[0].sealed()
        assert [await pod.opens(token) for pod in pods] == [True, True]
        server.kill()
        answer = await asyncio.to_thread(
            places[0].sealyard, "sessions", "revoke", "--yes", *NAMED, status=1
        )
        assert (answer["store"]["master"], answer["kept"]) == (False, True)
        assert "not-stored-yet" in answer["open"]
        assert await refused_by(pods[0], token, 3) < 3
        server.start()
        assert await refused_by(pods[1], token, RETURN_SECONDS) < RETURN_SECONDS


# --- one process ----------------------------------------------------------------------------------


@dataclass
class Heard:
    """Hears what is pending and stored."""

    told: list[tuple[str, str, int]] = field(default_factory=list)

    def pending(self, one: PendingRevocation, *, kept: bool) -> None:
        self.told.append((f"pending {kept}", one.name, one.not_before))

    def stored(self, one: PendingRevocation, waited: float) -> None:
        assert waited >= 0
        self.told.append(("stored", one.name, one.not_before))

    def failed(self, reason: str) -> None:
        self.told.append(("failed", reason, 0))


async def stored(sessions: Sessions, name: str) -> int:
    """Return what Redis holds, read by whoever has the keyring."""
    return await session_control.put(sessions, name, lambda: 0)


async def test_of_several_revocations_the_latest_counts_whatever_their_order(
    server: Server, tmp_path: Path
) -> None:
    path, now = tmp_path / "pending", int(time.time())
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        heard = Heard()
        one, other = (PendingRevocations(sessions, [path], reporter=heard) for _ in range(2))
        name = sessions.name(SCOPE)
        assert await one.add(name, now - 5, timed=True)
        assert await other.add(name, now - 50, timed=True)
        assert await one.add(name, now - 500, timed=True)
        assert await other.add(sessions.name(Scope("t", "c2")), now - 7, timed=True)
        # Both crash. A third finds the file; a line that nobody of us wrote stays there.
        with path.open("a") as opened_file:
            opened_file.write('{"scope": "x", "record": "AAAA"}\nnonsense\n')
        third = PendingRevocations(sessions, [path], reporter=heard)
        await third.start()
        assert len(third) == 2
        assert sessions.revocations.not_before(SCOPE) == now - 5
        await until(lambda: not len(third))
        await third.close()
        assert await stored(sessions, name) == now - 5
        assert await stored(sessions, sessions.name(Scope("t", "c2"))) == now - 7
        assert len(path.read_text().splitlines()) == 2
        # One that is known to be later in the store is not moved backwards.
        assert await one.add(name, now - 60, timed=True)
        await one.once()
        assert await stored(sessions, name) == now - 5
        assert len(one) == 0


async def test_nothing_is_lost_while_many_add_and_store_at_a_time(
    server: Server, tmp_path: Path
) -> None:
    path, now = tmp_path / "pending", int(time.time())
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        several = [PendingRevocations(sessions, [path]) for _ in range(4)]
        names = [sessions.name(Scope("t", f"c{number}")) for number in range(6)]
        adding = (
            one.add(name, now - 100 + number + at, timed=True)
            for at, one in enumerate(several)
            for number, name in enumerate(names)
        )
        storing = (one.once() for one in several * 3)
        await asyncio.gather(*adding, *storing)
        for one in several:
            await one.once()
        assert [len(one) for one in several] == [0] * 4
        found = [await stored(sessions, name) for name in names]
        assert found == [now - 100 + number + 3 for number in range(len(names))]
        assert not path.exists()


@pytest.mark.usefixtures("unhurried")
async def test_without_a_file_it_is_retried_and_said_to_be_lost_with_the_process(
    server: Server, tmp_path: Path
) -> None:
    nowhere = files(tmp_path / "none" / "keyring.jwe", tmp_path / "no" / "audit")
    assert len(nowhere) == 2
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        pending = PendingRevocations(sessions, nowhere)
        desk = Desk(sessions, pending=pending)
        text = await sealed(sessions)
        server.kill()
        answer = await desk.run("revoke", SCOPE)
        assert (answer.store, answer.kept, desk.failed) == (False, False, "")
        assert answer.open == ("not-stored-yet",)  # the keyring has it
        server.start()
        await asyncio.sleep(1.1)  # the circuit breaker rests
        await pending.once()
        assert len(pending) == 0
        async with a_process(server, settings=PATIENT) as (other, *_rest):
            assert await opened(other, text) is None


async def test_the_second_place_is_used_where_the_first_cannot_be_written(
    server: Server, tmp_path: Path
) -> None:
    paths = files(tmp_path / "none" / "keyring.jwe", tmp_path / "audit")
    async with a_process(server, settings=PATIENT) as (sessions, *_):
        assert await PendingRevocations(sessions, paths).add("n" * 22, 5, timed=True)
    (line,) = (tmp_path / f"audit{SUFFIX}").read_text().splitlines()
    assert json.loads(line)["scope"] == "n" * 22
    assert (tmp_path / f"audit{SUFFIX}").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("ahead", [-90, -30, 0, 30, 90])
async def test_a_time_of_a_clock_that_is_off_is_corrected_once_redis_tells_its_own(
    tmp_path: Path, ahead: int
) -> None:
    """The process has not reached Redis since its start, so what it calls now is its own time."""
    server = Server(tmp_path)
    store = open_store("redis", options=server.settings)
    sessions = Sessions(
        the_keyring(),
        store,
        SessionSettings(),
        clock=lambda: time.time() + ahead,
        random=bytes,
    )
    kept: list[tuple[str, int]] = []
    pending = PendingRevocations(
        sessions, [tmp_path / "pending"], keep=lambda *one: kept.append(one)
    )
    desk = Desk(sessions, pending=pending)
    before = int(time.time())
    answer = await desk.run("revoke", SCOPE)
    after = int(time.time())
    assert (answer.store, answer.kept) == (False, True)
    server.start()
    try:
        await asyncio.sleep(1.1)
        await pending.once()
        found = await stored(sessions, sessions.name(SCOPE))
        # It binds what began until the revocation, and nothing that begins long after it.
        assert before < found <= after + 4
        assert kept == ([(answer.scope, found)] if found > answer.not_before else [])
    finally:
        await store.close()
        server.kill()


@asynccontextmanager
async def cut_off(server: Server) -> AsyncIterator[FaultProxy]:
    with FaultProxy(server.port).running() as proxy:
        yield proxy


async def test_revocations_under_spoilt_replies_are_all_stored(
    server: Server, tmp_path: Path
) -> None:
    async with cut_off(server) as proxy:
        through = Server(tmp_path, port=proxy.port)
        async with (
            a_process(through) as (sessions, *_),
            a_process(server, settings=PATIENT) as (other, *_rest),
        ):
            pending = PendingRevocations(sessions, [tmp_path / "pending"])
            desk = Desk(sessions, pending=pending)
            await sealed(sessions)
            proxy.share = 0.5
            scopes = [Scope("t", f"c{number}") for number in range(20)]
            texts = [await sealed(other, scope) for scope in scopes]
            for scope in scopes:
                answer = await desk.run("revoke", scope)
                assert answer.store or answer.kept
            proxy.share = 0.0
            await asyncio.sleep(1.1)
            await pending.once()
            assert len(pending) == 0
        async with a_process(server, settings=PATIENT) as (third, *_last):
            found = [await opened(third, *one) for one in zip(texts, scopes, strict=True)]
            assert found == [None] * len(scopes)

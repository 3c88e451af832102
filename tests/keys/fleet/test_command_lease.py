"""Commands that seal are processes of the fleet: verbs wait for them, and they for verbs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.core.errors import KeyUnavailable
from proxy.keys.fleet import command_lease, keyring_marker, presence
from proxy.keys.fleet.command_lease import CommandLease, NoLease
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.stores import Store, StoreFailed, open_store
from tests.keys.builders import SCOPE
from tests.keys.desk import Desk
from tests.keys.members import KEYRING, Line, Member, running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield (found := a_store(tmp_path))
    asyncio.run(found.close())


def a_store(folder: Path) -> Store:
    return open_store(f"sqlite:{folder / 'keys.db'}")


def a_command(
    folder: Path, keyring: Keyring = KEYRING, *, without_store: bool = False
) -> CommandLease:
    return CommandLease(keyring, lambda: a_store(folder), without_store=without_store)


async def test_a_verb_waits_for_a_command_that_writes_and_what_it_seals_then_begins_after(
    tmp_path: Path, store: Store
) -> None:
    one = Member(Line(store), without_store=False)
    async with running(one), asyncio.TaskGroup() as group:
        with a_command(tmp_path) as command:
            epoch = await asyncio.to_thread(command.require)
            with command.writing(epoch) as stands:
                assert stands
                asked = group.create_task(Desk(one.sessions).run("revoke", SCOPE))
                await asyncio.sleep(1.5)
                assert not asked.done()
            answer = await asked
            assert (answer.complete, answer.processes) == (True, 2)
            revoked = one.sessions.revocations.not_before(SCOPE)
            assert command.not_before == revoked > 0
            with command.writing(epoch) as stands:
                assert not stands  # it is to be sealed again
            with command.writing(command.require()) as stands:
                assert stands
        rows = await presence.rows(one.sessions.store, KEYRING)
        assert len(rows) == 1  # the command has ended


async def test_a_command_with_an_old_keyring_seals_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_lease, "LEASE_SECONDS", 0.5)
    later = KEYRING.add("k2", now=0, random=lambda size: b"2" * size)
    later = later.promote("k2").disable("k1")
    await keyring_marker.put(presence.patient(store, time.time), later)
    with a_command(tmp_path) as command, pytest.raises(KeyUnavailable, match="lease-ended"):
        command.require()
    with a_command(tmp_path, later) as command:
        command.require()


class Away:
    """A store that does not answer, or that cannot be opened."""

    shared, subscribed, keeps_time = True, False, False

    def __getattr__(self, name: str) -> object:
        async def asked(*_: object, **__: object) -> None:
            if name != "close":
                raise StoreFailed

        return asked


@pytest.mark.parametrize("without_store", [True, False])
def test_a_store_that_is_away_ends_a_command_unless_processes_go_on_too(
    monkeypatch: pytest.MonkeyPatch,
    without_store: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr(command_lease, "LEASE_SECONDS", 0.5)
    with CommandLease(KEYRING, Away, without_store=without_store) as command:  # type: ignore[arg-type]  # as much of a store as is asked
        if without_store:
            assert command.require() == 0
            return
        with pytest.raises(KeyUnavailable, match="lease-ended"):
            command.require()


def test_a_store_that_cannot_be_opened_ends_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_lease, "LEASE_SECONDS", 0.5)

    def opens() -> Store:
        raise OSError

    lease = CommandLease(KEYRING, opens, without_store=True)
    with lease as command, pytest.raises(KeyUnavailable, match="lease-ended"):
        command.require()


def test_a_lease_that_ends_while_something_is_written_is_told(tmp_path: Path, store: Store) -> None:
    with a_command(tmp_path) as command:
        lease, writing = command._lease, command.writing(command.require())
        assert lease is not None
        assert writing.__enter__()
        command.look()
        lease.give_up()
        with pytest.raises(KeyUnavailable, match="lease-ended"):
            command.look()
        with pytest.raises(KeyUnavailable, match="lease-ended"):
            writing.__exit__(None, None, None)


def test_where_no_store_is_shared_there_is_one_epoch() -> None:
    with NoLease() as lease, lease.writing(lease.require()) as stands:
        assert stands

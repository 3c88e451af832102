"""Revocations that wait for the store, where a file, the store or the machine fails at times."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyringError
from proxy.keys import private_file
from proxy.keys.sessions import pending_revocations
from proxy.keys.sessions.pending_revocations import PendingRevocation, PendingRevocations
from proxy.keys.stores import ClockRefused
from tests.keys.builders import NOW, SCOPE, BrokenStore, SharedStore, World, a_world

OTHER = Scope("clinic", "c2")


@dataclass
class Heard:
    """Hears what fails."""

    failures: list[str] = field(default_factory=list)

    def pending(self, one: PendingRevocation, *, kept: bool) -> None:
        """Ignore it."""

    def stored(self, one: PendingRevocation, waited: float) -> None:
        """Ignore it."""

    def failed(self, reason: str) -> None:
        self.failures.append(reason)


async def a_line(path: Path, world: World, scope: Scope = SCOPE) -> None:
    """Let another process, which does not reach the store, revoke a scope."""
    other = a_world(keyring=world.keyring, store=BrokenStore(shared=True))
    name = other.sessions.name(scope)
    assert await PendingRevocations(other.sessions, [path]).add(name, NOW - 5, timed=True)


def failing(monkeypatch: pytest.MonkeyPatch, times: int = 1) -> None:
    """Let the next reads of files fail."""
    read, left = private_file.read, [KeyringError("too many open files")] * times

    def spoilt(*arguments: Any) -> bytes:  # noqa: ANN401 - passed on
        if left:
            raise left.pop()
        return read(*arguments)

    monkeypatch.setattr(private_file, "read", spoilt)


async def test_what_could_not_be_read_once_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, world = tmp_path / "pending", a_world()
    await a_line(path, world)
    failing(monkeypatch)
    pending = PendingRevocations(world.sessions, [path])
    with pytest.raises(KeyringError):
        await pending.once()
    await pending.once()
    assert world.sessions.revocations.not_before(SCOPE) == NOW - 5
    assert len(pending) == 0


async def test_a_file_that_cannot_be_read_keeps_nothing_of_the_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, world = tmp_path / "first", tmp_path / "second", a_world()
    await a_line(first, world, OTHER)
    await a_line(second, world)
    failing(monkeypatch)
    pending = PendingRevocations(world.sessions, [first, second])
    with pytest.raises(KeyringError):
        await pending.once()
    assert world.sessions.revocations.not_before(SCOPE) == NOW - 5
    assert len(pending) == 0


async def test_no_process_begins_while_a_file_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, world = tmp_path / "pending", a_world()
    await a_line(path, world)
    failing(monkeypatch)
    with pytest.raises(KeyringError):
        await PendingRevocations(world.sessions, [path]).start()


async def test_one_that_the_store_refuses_does_not_hold_up_the_others(tmp_path: Path) -> None:
    world = a_world()
    names = [world.sessions.name(scope) for scope in (SCOPE, OTHER)]

    class Refusing(SharedStore):
        async def revoke(self, name: str, *record: Any, **seen: Any) -> bytes:  # noqa: ANN401 - passed on
            if name == names[0]:
                raise ClockRefused
            return await super().revoke(name, *record, **seen)

    world = a_world(keyring=world.keyring, store=Refusing(world.time))
    pending = PendingRevocations(world.sessions, [tmp_path / "pending"])
    for name in names:
        await pending.add(name, NOW - 5, timed=True)
    await pending.once()
    assert len(pending) == 1
    assert (await world.sessions.store.find(names[1], ())).revocation is not None


async def test_the_task_survives_a_machine_without_threads_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_revocations, "REVOKE_AGAIN_SECONDS", 0.01)
    path, world, heard = tmp_path / "pending", a_world(), Heard()
    pending = PendingRevocations(world.sessions, [path], reporter=heard)
    await pending.start()
    read, left = pending._read_changed, [True] * 3

    def out_of_threads() -> Any:  # noqa: ANN401 - passed on
        if left:
            left.pop()
            raise RuntimeError("can't start new thread")
        return read()

    monkeypatch.setattr(pending, "_read_changed", out_of_threads)
    await a_line(path, world)  # behind it, or it might be read before
    async with asyncio.timeout(20):
        while not world.sessions.revocations.not_before(SCOPE):  # noqa: ASYNC110 - a task sets no event
            await asyncio.sleep(0.01)
    await pending.close()
    assert heard.failures == ["RuntimeError"]

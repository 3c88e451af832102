"""Erasing the packages of a conversation while messages go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from proxy.config.settings import IdentitySettings
from proxy.core.crypto.context import Scope
from proxy.core.errors import KeyUnavailable, OpenFailed
from proxy.core.values.key_needs import Needs
from tests.keys.builders import SharedStore, Time
from tests.keys.desk import Desk
from tests.keys.end_to_end.builders import Process, Reports, a_fleet, a_held_key, sealing

SCOPE = Scope("clinic", "c1")


async def test_what_is_sealed_while_an_erasure_is_written_down_opens_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (one,) = await a_fleet(store=SharedStore(Time(), shared=False))
    before = await one.seal(b"before", "alice", ["bob"])
    meanwhile: list[bytes] = []

    async def write_down(event: str, **_: Any) -> None:  # noqa: ANN401 - values of any field
        if event == "sessions.erased":
            meanwhile.append(await one.seal(b"meanwhile", "alice", ["bob"]))

    monkeypatch.setattr(one.sessions, "write_down", write_down)
    await Desk(one.sessions).run("erase", SCOPE)

    assert [await one.open_for("bob", sealed) for sealed in meanwhile] == [b"meanwhile"]
    with pytest.raises(OpenFailed, match="no-package"):
        await one.open_for("bob", before)


async def test_a_worker_that_is_told_of_an_erasure_begins_another_key() -> None:
    (one,) = await a_fleet(store=SharedStore(Time(), shared=False))
    before = await one.session("alice", ["bob"])
    await Desk(one.sessions).run("erase", SCOPE, after=0)
    assert (await one.session("alice", ["bob"])).sid != before.sid


class LateStore(SharedStore):
    """Its next answer about a participant is overtaken by what happens `meanwhile`."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def note(self, *record: Any, **more: Any) -> bytes | None:  # noqa: ANN401 - passed on
        """Do as memory does, and be late with it."""
        found = await super().note(*record, **more)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("when", ["recipients are looked up", "it is written down"])
async def test_a_key_that_is_destroyed_does_not_come_back_for_a_recipient_who_joins(
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    shared: bool,  # noqa: FBT001 - a case
) -> None:
    store = LateStore(Time(), shared=shared)
    (one,) = await a_fleet(store=store)
    before = await one.seal(b"before", "alice", ["bob"])
    assert await one.open_for("bob", before) == b"before"
    await one.add("bob", a_held_key("outsider-enc", device="tablet"))
    erased: list[tuple[str, ...] | None] = []

    async def erase() -> None:
        erased.append((await Desk(one.sessions).run("erase", SCOPE)).erased)

    async def write_down(event: str, **_: Any) -> None:  # noqa: ANN401 - values of any field
        if event == "package.issued" and not erased:
            await erase()

    if when == "it is written down":
        monkeypatch.setattr(one.sessions, "write_down", write_down)
    else:
        store.meanwhile = erase
    one.keys.changed(None)
    sealed = await one.seal(b"next", "alice", ["bob"])

    assert len(erased) == 1
    assert await one.open_for("bob", sealed) == b"next"
    one.time.advance(2)
    with pytest.raises(OpenFailed, match="no-package"):
        await one.open_for("bob", before)


@dataclass
class Interrupted(Reports):
    """Does what is to happen `meanwhile` where a private key does not open."""

    meanwhile: Callable[[], None] = lambda: None
    loop: asyncio.AbstractEventLoop | None = None

    def report(self, event: str, **fields: object) -> None:
        """Remember it; it is reported in a thread."""
        super().report(event, **fields)
        if event == "identity.open_failed" and self.loop is not None:
            done = asyncio.run_coroutine_threadsafe(self._now(), self.loop)
            done.result(20)

    async def _now(self) -> None:
        self.meanwhile()


async def test_an_identity_that_is_removed_while_it_is_opened_does_not_seal(
    tmp_path: Path,
) -> None:
    (first,) = await a_fleet()
    nothing = IdentitySettings("alice", file=tmp_path / "none.jwe")
    reports = Interrupted(loop=asyncio.get_running_loop())
    identities = (nothing, IdentitySettings("alice"))
    one = await Process(first.store, first.time, identities, reports=reports).open()
    reports.meanwhile = lambda: one.keys.replace_identities(())

    with pytest.raises(KeyUnavailable, match="sender-has-no-key"):
        await one.session("alice", ["bob"])
    assert not reports.causes()


async def test_what_was_sealed_before_its_package_was_erased_is_not_acknowledged() -> None:
    one, other = await a_fleet(processes=2)
    scope = sealing("alice", ["bob"])
    keys = await one.keys.resolve(Needs({scope: 1}))
    session = keys.sealing[scope]
    assert keys.standing.stands(session)
    await keys.standing.confirm(session)
    packages = one.keys.package_store
    one.sessions.fences.know(packages.name(session.scope), session.created + 1)
    assert not keys.standing.stands(session)
    with pytest.raises(KeyUnavailable) as refused:
        await keys.standing.confirm(session)
    assert refused.value.reason == "revoked-meanwhile"
    assert other.keys.stands(session)  # it has not heard of it

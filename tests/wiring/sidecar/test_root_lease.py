"""A lease ends in time, however the question to the root fails, and goes on once it opens again."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.config.settings import Settings
from proxy.keys.keyring.keyring import Keyring
from proxy.process.boot_clock import since_boot
from proxy.wiring.reload.material import Material, RootAnswer, ask_root
from proxy.wiring.sidecar import root_lease
from proxy.wiring.sidecar.root_lease import RootLease
from tests.factories import Ear
from tests.wiring.reload.test_material import gathered

LEASE = 1.0


@dataclass
class Case:
    """A lease, what was heard of it, and what it called."""

    lease: RootLease
    material: Material
    ear: Ear
    given_up: asyncio.Event
    restored: asyncio.Event


def of_seconds(material: Material, seconds: float) -> Material:
    """Return the material with a lease of so many seconds."""
    keys = material.settings.keys
    keys = replace(keys, keyring=replace(keys.keyring, lease=seconds))
    return replace(material, settings=replace(material.settings, keys=keys))


@asynccontextmanager
async def a_lease(
    folder: Path, began: float | None = None, seconds: float = LEASE
) -> AsyncIterator[Case]:
    """Run a lease that began then, or has just begun."""
    material = of_seconds(gathered(folder), seconds)
    ear, given_up, restored = Ear(), asyncio.Event(), asyncio.Event()
    at = since_boot() if began is None else began
    material = replace(material, root=replace(material.root, at=at))
    lease = RootLease(
        material,
        ear,
        {},
        give_up=given_up.set,
        restore=lambda _: restored.set(),
        opened=lambda _: None,
    )
    lease.start()
    try:
        yield Case(lease, material, ear, given_up, restored)
    finally:
        await lease.close()


def a_silent_root(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Return what is set once the root is asked, and what to set for it to answer."""
    asked, answers = threading.Event(), threading.Event()

    def silent(settings: Settings, environ: Mapping[str, str]) -> tuple[Keyring, RootAnswer]:
        asked.set()
        answers.wait(20)
        return ask_root(settings, environ)

    monkeypatch.setattr(root_lease, "ask_root", silent)
    return asked, answers


async def within(event: asyncio.Event, seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ESTALE, "canary"), "OSError"),
        (RuntimeError("can't start new thread"), "RuntimeError"),
    ],
)
async def test_whatever_the_question_meets_the_lease_ends_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    fails = True

    def asked(settings: Settings, environ: Mapping[str, str]) -> tuple[Keyring, RootAnswer]:
        if fails:
            raise error
        return ask_root(settings, environ)

    monkeypatch.setattr(root_lease, "ask_root", asked)
    async with a_lease(tmp_path) as case:
        await within(case.given_up)
        check = case.lease.check()
        assert (check.ok, reason in check.detail, "canary" in check.detail) == (False, True, False)
        fails = False
        await within(case.restored)
        assert case.lease.check().ok
        assert case.ear.events == [
            *("root.opened", "root.unavailable", "root.lease_ended", "root.opened")
        ]


async def test_a_lease_ends_without_an_answer_though_a_timer_fires_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers of uvloop may fire up to 1.5 ms before their time."""
    (asked, answers), late = a_silent_root(monkeypatch), LEASE - 0.0004
    began = since_boot()
    monkeypatch.setattr(root_lease, "since_boot", lambda: began + late)
    async with a_lease(tmp_path, began) as case:
        try:
            assert await asyncio.to_thread(asked.wait, 5)
            await asyncio.sleep(0.1)
            assert not case.given_up.is_set()
            late = LEASE
            await within(case.given_up)
            (ended,) = case.ear.all("root.lease_ended")
            assert ended["reason"] == "no answer before the lease ended"
        finally:
            answers.set()
        await within(case.restored)


async def test_a_lease_that_a_reload_shortens_ends_though_the_root_is_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = a_silent_root(monkeypatch)
    async with a_lease(tmp_path, since_boot() - 45, 60) as case:
        try:
            assert await asyncio.to_thread(asked.wait, 5)
            case.lease.take(of_seconds(case.material, 46))
            await within(case.given_up)
        finally:
            answers.set()

"""What another process rotates or erases while a package is stored: another session begins."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.core.crypto.context import Scope
from proxy.keys.end_to_end.package_store import PackageStore
from proxy.keys.sessions import session_control
from proxy.keys.stores import HeldRecords
from tests.keys.builders import SharedStore, Time
from tests.keys.end_to_end.builders import Process, a_fleet

SCOPE = Scope("clinic", "c1")


class LateStore(SharedStore):
    """Its next answer about a package that it keeps is overtaken by what happens `meanwhile`."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def keep(self, *package: Any, **seen: Any) -> HeldRecords:  # noqa: ANN401 - passed on
        """Do as memory does, and be late with it."""
        held = await super().keep(*package, **seen)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return held


async def rotate(process: Process) -> None:
    await session_control.rotate(process.sessions, SCOPE)


async def erase(process: Process) -> None:
    packages = PackageStore(process.sessions, clock=process.time, notice=lambda _: None)
    assert await packages.erase(SCOPE)


@pytest.mark.parametrize("change", [rotate, erase])
@pytest.mark.parametrize("grown", [False, True])
async def test_what_is_over_before_its_package_is_there_does_not_seal(
    change: Callable[[Process], Awaitable[None]],
    grown: bool,  # noqa: FBT001 - a case
) -> None:
    time = Time()
    store = LateStore(time)
    one, other = await a_fleet(processes=2, store=store)
    early = await one.session("alice", ["bob"]) if grown else None
    store.meanwhile = lambda: change(other)
    recipients = ["alice", "bob"] if grown else ["bob"]
    sealed = await one.seal(b"hello", "alice", recipients)
    begins = ["first", "recipient-added"] if grown else ["first"]
    if change is erase:  # what it began was never there
        begins = begins[:-1]
    again = "rotated" if begins or change is rotate else "first"
    assert one.reports.causes() == [*begins, again]
    assert early is None or await one.session("alice", ["bob"]) is not early
    assert await one.open_for("bob", sealed) == b"hello"

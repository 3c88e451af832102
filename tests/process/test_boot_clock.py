"""The clock of leases."""

from __future__ import annotations

import time

import pytest

from proxy.keys.fleet import lease
from proxy.keys.sessions import sessions
from proxy.process import boot_clock
from proxy.process.boot_clock import since_boot
from tests.keys.builders import SCOPE, a_world, seal_need
from tests.keys.members import Line, Member


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="the platform has no such clock")
def test_it_goes_on_while_the_machine_sleeps() -> None:
    assert boot_clock._CLOCK == time.CLOCK_BOOTTIME
    assert abs(since_boot() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


async def test_a_lease_ends_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    world = a_world()
    one = Member(Line(world.store), without_store=False)
    await one.lease.renew()
    assert one.lease.held
    assert one.sessions.resolve_warm(seal_need()) is None  # no session yet, but the lease
    await one.sealed(SCOPE)
    assert one.sessions.resolve_warm(seal_need()) is not None
    slept = since_boot() + 6.0
    for module in (lease, sessions):
        monkeypatch.setattr(module, "since_boot", lambda: slept)
    assert not one.lease.held
    assert one.sessions.resolve_warm(seal_need()) is None

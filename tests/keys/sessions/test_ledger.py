"""What was revoked and erased is offered until the store has it."""

from __future__ import annotations

import time
from pathlib import Path

from proxy.keys.sessions.ledger import FenceLedger
from proxy.keys.stores import StoreFull
from tests.keys.builders import HookedStore
from tests.keys.members import Member

NAME, OTHER = "n" * 22, "o" * 22


class FullStore(HookedStore):
    """Has no room at first."""

    full = True

    async def before(self, operation: str) -> None:
        """Refuse to revoke."""
        if self.full and operation == "revoke":
            raise StoreFull

    async def runs(self) -> int:
        """Return that it is the same all the time."""
        return 1


async def test_what_a_full_store_does_not_take_is_offered_again(tmp_path: Path) -> None:
    store = FullStore(time.time)
    member = Member(store)
    ledger = FenceLedger(member.sessions, [tmp_path / "ledger"], clock=time.time)
    for name in (NAME, OTHER):
        ledger.learn("revoked", name, 1000)
    await ledger.once()
    assert (await store.find(NAME, ())).revocation is None
    store.full = False
    await ledger.once()
    assert all([(await store.find(name, ())).revocation for name in (NAME, OTHER)])

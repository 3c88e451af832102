"""What was revoked and erased is offered until the store has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.keys.sessions import ledger, pending_revocations
from proxy.keys.sessions.ledger import FenceLedger
from proxy.keys.stores import StoreFull
from tests.keys.builders import HookedStore
from tests.keys.members import KEYRING, Member

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
    entries = FenceLedger(member.sessions, [tmp_path / "ledger"], clock=time.time)
    for name in (NAME, OTHER):
        entries.learn("revoked", name, 1000)
    await entries.once()
    assert (await store.find(NAME, ())).revocation is None
    store.full = False
    await entries.once()
    assert all([(await store.find(name, ())).revocation for name in (NAME, OTHER)])


@pytest.mark.parametrize("decode", [ledger.decode, pending_revocations.decode])
def test_a_line_of_brackets_is_nothing_that_was_written(decode: Callable[..., object]) -> None:
    """Else one line of a damaged file would end the task, or keep a process from starting."""
    assert decode("[" * 1_000_000, KEYRING.record_key) is None

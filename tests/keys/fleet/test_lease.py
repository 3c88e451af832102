"""A lease under load."""

from __future__ import annotations

import asyncio
import time

from proxy.core.crypto.context import Scope
from tests.keys.builders import HookedStore
from tests.keys.members import Member, running


class SlowStore(HookedStore):
    """Answers after a while."""

    async def before(self, operation: str) -> None:
        """Wait."""
        await asyncio.sleep(0.05)


async def test_a_crowd_of_first_messages_does_not_keep_a_process_from_renewing() -> None:
    """They queue for the store, and what is known of a lease would end while they do."""
    one = Member(SlowStore(time.time), without_store=False)
    held: list[bool] = []
    async with running(one), asyncio.TaskGroup() as group:
        crowd = [group.create_task(one.sealed(Scope("t", f"c{at}"))) for at in range(1200)]
        while not all(message.done() for message in crowd):
            held.append(one.lease.held)
            await asyncio.sleep(0.1)
    assert len(held) > 50  # the crowd took longer than a lease
    assert all(held)

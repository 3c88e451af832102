"""A message that names many end-to-end sessions: others run, and more than fit are refused."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import KeyId, decode
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.policy import PIECE
from tests.keys.builders import NOW, CountingStore, HookedStore, Time
from tests.keys.end_to_end.builders import Process, a_fleet, reading, sealing
from tests.keys.turns import turns

MANY = 10_000
HELD_SECONDS = 0.1
"""Far more than a piece takes, and less than all of them."""
PLAIN = Scope("clinic", "c1")


def made_up(number: int, scope: Scope | None = None) -> frozenset[tuple[Scope, KeyId]]:
    scope = scope or reading("bob")
    return frozenset((scope, KeyId(NOW.to_bytes(4) + one.to_bytes(8))) for one in range(number))


@pytest.mark.timing
async def test_others_run_beside_a_message_that_names_as_many_sessions_as_fit() -> None:
    (one,) = await a_fleet()
    sealed = await one.seal(b"hello", "alice", ["bob"])
    real = reading("bob"), decode(sealed).key_id
    opens = made_up(MANY - 1) | {real}
    async with turns() as counted:
        many = asyncio.get_running_loop().create_task(one.keys.resolve(Needs({}, opens)))
        await asyncio.sleep(0)
        assert await one.session("alice", ["bob"], "c2")
        assert not many.done()
        keys = await many
    assert (list(keys.opening), len(keys.decoys)) == ([real], MANY - 1)
    assert counted.number >= MANY // PIECE
    assert counted.held < HELD_SECONDS


async def test_many_with_and_without_parties_are_found_together() -> None:
    (one,) = await a_fleet()
    opens = made_up(2 * PIECE) | made_up(2 * PIECE, PLAIN)
    keys = await one.keys.resolve(Needs({PLAIN: 1, sealing("alice", ["bob"]): 1}, opens))
    assert (len(keys.sealing), frozenset(keys.decoys)) == (2, opens)


@pytest.mark.parametrize("scope", [reading("bob"), PLAIN])
async def test_more_sessions_than_fit_are_refused_before_the_store_is_asked(scope: Scope) -> None:
    time = Time()
    store = CountingStore(time, shared=True)
    one = await Process(store, time).open()
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await one.keys.resolve(Needs({}, made_up(MANY + 1, scope)))
    assert store.asked == []


async def test_more_recipients_than_fit_are_refused_before_the_store_is_asked() -> None:
    time = Time()
    store = CountingStore(time, shared=True)
    one = await Process(store, time).open()
    seals = {sealing("alice", ["bob"], str(number)): 1 for number in range(MANY + 1)}
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await one.keys.resolve(Needs(seals))
    assert store.asked == []


async def test_sessions_that_come_from_no_package_do_not_count() -> None:
    (one,) = await a_fleet()
    opens = frozenset((scope, key_id._replace(kek_id="k1")) for scope, key_id in made_up(MANY + 1))
    refusals = (await one.keys.resolve(Needs({}, opens))).refusals
    assert set(refusals.values()) == {"not-from-a-package"}


class SlowStore(HookedStore):
    """Takes a while for each package."""

    slow = False
    time: Time

    async def before(self, operation: str) -> None:
        """Let time pass."""
        if self.slow and operation == "find":
            self.time.advance(0.5)


async def test_what_is_absent_stays_so_while_the_store_is_asked_for_the_rest() -> None:
    store = SlowStore(Time())
    (one,) = await a_fleet(store=store)
    store.time, store.slow = one.time, True
    keys = await one.keys.resolve(Needs({}, made_up(8 * PIECE)))
    assert set(keys.refusals.values()) == {"no-package"}

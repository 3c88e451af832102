"""A message that names many sessions: others run beside it, and more than fit are refused."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.crypto.context import Scope
from proxy.core.crypto.token import KeyId
from proxy.core.errors import KeyUnavailable
from proxy.core.values.key_needs import Needs
from proxy.keys.policy import PIECE
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import Sessions
from proxy.keys.sessions.settings import SessionSettings

from ..builders import NOW, SCOPE, CountingStore, HookedStore, Time, World, a_world, seal_need
from ..turns import turns

MANY = 10_000
HELD_SECONDS = 0.1
"""Far more than a piece takes, and less than all of them."""


def made_up(number: int, *, began: int = NOW) -> frozenset[tuple[Scope, KeyId]]:
    return frozenset((SCOPE, KeyId(began.to_bytes(4) + one.to_bytes(8))) for one in range(number))


def an_ephemeral_world(*, shared: bool = False, most: int = MANY) -> World:
    time = Time()
    store = CountingStore(time, shared=shared)
    settings = SessionSettings(max_scopes=most)
    return a_world(mode="ephemeral", time=time, store=store, settings=settings)


async def opened_beside(sessions: Sessions, opens: frozenset[tuple[Scope, KeyId]]) -> int:
    """Return how many decoys there are; meanwhile another conversation is served."""
    async with turns() as counted:
        many = asyncio.get_running_loop().create_task(sessions.resolve(Needs({}, opens)))
        await asyncio.sleep(0)
        assert (await sessions.resolve(seal_need(Scope("other")))).sealing
        assert not many.done()
        keys = await many
    assert counted.number >= len(opens) // PIECE
    assert counted.held < HELD_SECONDS
    return len(keys.decoys)


@pytest.mark.timing
@pytest.mark.parametrize("shared", [False, True])
async def test_others_run_beside_a_message_that_names_as_many_sessions_as_fit(
    shared: bool,  # noqa: FBT001 - a case
) -> None:
    world = an_ephemeral_world(shared=shared)
    assert await opened_beside(world.sessions, made_up(MANY)) == MANY


@pytest.mark.timing
async def test_others_run_beside_a_message_that_names_many_durable_sessions() -> None:
    time = Time()
    world = a_world(time=time, store=CountingStore(time, shared=True))
    opens = frozenset((scope, one._replace(kek_id="k9")) for scope, one in made_up(2 * MANY))
    assert await opened_beside(world.sessions, opens) == 2 * MANY


async def test_many_sessions_of_the_store_open() -> None:
    world = an_ephemeral_world(most=3 * PIECE)
    sessions = [
        (await session_control.rotate(world.sessions, SCOPE)).session for _ in range(2 * PIECE + 1)
    ]
    opens = frozenset((SCOPE, KeyId(one.sid)) for one in sessions)
    keys = await world.another_process().sessions.resolve(Needs({}, opens))
    assert len(keys.opening) == len(sessions)


async def test_more_sessions_than_fit_are_refused_before_the_store_is_asked() -> None:
    world = an_ephemeral_world(most=PIECE * 4)
    assert isinstance(world.store, CountingStore)
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await world.sessions.resolve(Needs({}, made_up(PIECE * 4 + 1)))
    assert world.store.asked == []


async def test_sessions_that_the_store_is_not_asked_for_do_not_count() -> None:
    world = an_ephemeral_world(most=10)
    opens = made_up(10) | made_up(PIECE * 2, began=1)
    assert len((await world.sessions.resolve(Needs({}, opens))).decoys) == len(opens)


async def test_more_conversations_than_fit_are_refused_before_a_shared_store_is_asked() -> None:
    time = Time()
    store = CountingStore(time, shared=True)
    world = a_world(time=time, store=store, settings=SessionSettings(max_scopes=10))
    opens = frozenset((Scope("t", str(one)), KeyId(bytes(12), kek_id="k1")) for one in range(11))
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await world.sessions.resolve(Needs({}, opens))
    with pytest.raises(KeyUnavailable, match="too-many-scopes"):
        await world.sessions.resolve(Needs({Scope(str(one)): 1 for one in range(11)}))
    assert store.asked == []


class SlowStore(HookedStore):
    """Takes a while for each answer."""

    asked = 0
    time: Time

    async def before(self, operation: str) -> None:
        """Let time pass."""
        self.asked += operation == "find"
        self.time.advance(0.5)


async def test_what_is_absent_stays_so_while_the_store_is_asked_for_the_rest() -> None:
    time = Time()
    store = SlowStore(time, shared=False)
    store.time = time
    world = a_world(mode="ephemeral", time=time, store=store)
    keys = await world.sessions.resolve(Needs({}, made_up(8 * PIECE)))
    assert (len(keys.decoys), store.asked) == (8 * PIECE, 8)

"""Joined conversations over a real Redis: records, rotation, ephemeral keys and revocations."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.errors import OpenFailed
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.operations import values
from proxy.keys.operations.session_calls import SessionCall
from proxy.keys.operations.session_operations import SessionOperations
from proxy.keys.operations.values import ToOpen, ToSeal
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.sessions.settings import SessionMode
from proxy.keys.stores.redis.store import RedisStore
from tests.keys.builders import an_old_keyring
from tests.redis.server import Server, needs_redis

pytestmark = [needs_redis, pytest.mark.usefixtures("patient")]

LIST = Context(Scope("clinic", Joined("list", ("alice", "bob"))), "content")
TEXT = Context(Scope("clinic", "5:alice3:bob"), "content")


def sessions(
    stores: AsyncExitStack, server: Server, keyring: Keyring, mode: SessionMode
) -> Sessions:
    store = RedisStore(server.settings, {})
    stores.push_async_callback(store.close)
    settings = SessionSettings(store_timeout=5.0)
    common = {"clock": time.time, "random": os.urandom, "mode": mode}
    made = Sessions(keyring, store, settings, **common)  # type: ignore[arg-type]  # each by its name
    made.joins = True
    return made


async def opens(held: Sessions, context: Context, text: bytes) -> bool:
    try:
        await values.open_tokens(held, [ToOpen(text, context)])
    except OpenFailed:
        return False
    return True


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_each_form_has_records_of_its_own_and_only_like_opens_like(
    server: Server, mode: SessionMode
) -> None:
    async with AsyncExitStack() as stores:
        await only_like_opens_like(partial(sessions, stores, server), mode)


async def only_like_opens_like(make: Callable[..., Sessions], mode: SessionMode) -> None:
    keyring = an_old_keyring()
    before, late = make(keyring, mode), make(keyring, mode)
    (old,) = await values.seal(before, [ToSeal(b"x", LIST)])
    assert await opens(late, LIST, old)
    assert not await opens(late, TEXT, old)

    since = int(time.time()) + 2  # the ids of before must name an earlier second
    after = make(keyring.upgrade(since), mode)
    (new,) = await values.seal(after, [ToSeal(b"x", LIST)])
    (text,) = await values.seal(after, [ToSeal(b"x", TEXT)])
    assert [await opens(after, LIST, one) for one in (old, new, text)] == [True, True, False]
    assert [await opens(after, TEXT, one) for one in (old, new, text)] == [False, False, True]
    assert await opens(late, LIST, new)

    await asyncio.sleep(max(since - time.time(), 0))  # no revocation is of a time to come
    desk = SessionOperations(after, lambda *_: None)
    answer = await desk.run(SessionCall("revoke", LIST.scope, int(time.time()) + 1))
    assert answer.store
    another = make(keyring, mode)
    for held in (after, another):
        assert [await opens(held, LIST, one) for one in (old, new)] == [False, False]
    assert await opens(after, TEXT, text)

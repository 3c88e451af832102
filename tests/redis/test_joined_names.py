"""Joined conversations over a real Redis: records, rotation, ephemeral keys and revocations."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack

import pytest

from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.joined_names import Joined
from proxy.core.errors import OpenFailed
from proxy.keys.keyring.keyring import Keyring
from proxy.keys.operations import values
from proxy.keys.operations.values import ToOpen, ToSeal
from proxy.keys.sessions.sessions import Sessions, SessionSettings
from proxy.keys.sessions.settings import SessionMode
from proxy.keys.stores.redis.store import RedisStore
from tests.keys.builders import a_keyring
from tests.keys.desk import Desk
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
    return Sessions(keyring, store, settings, **common)  # type: ignore[arg-type]  # each by its name


async def opens(held: Sessions, context: Context, text: bytes) -> bool:
    try:
        await values.open_tokens(held, [ToOpen(text, context)])
    except OpenFailed:
        return False
    return True


@pytest.mark.parametrize("mode", ["durable", "ephemeral"])
async def test_a_list_and_the_text_that_reads_like_one_have_records_of_their_own(
    server: Server, mode: SessionMode
) -> None:
    async with AsyncExitStack() as stores:
        keyring = a_keyring()
        held, another = (sessions(stores, server, keyring, mode) for _ in range(2))
        (joined,) = await values.seal(held, [ToSeal(b"x", LIST)])
        (text,) = await values.seal(held, [ToSeal(b"x", TEXT)])
        for one in (held, another):
            assert [await opens(one, LIST, token) for token in (joined, text)] == [True, False]
            assert [await opens(one, TEXT, token) for token in (joined, text)] == [False, True]

        desk = Desk(held)
        answer = await desk.run("revoke", LIST.scope)
        assert answer.store
        for one in (held, sessions(stores, server, keyring, mode)):
            assert not await opens(one, LIST, joined)
            assert await opens(one, TEXT, text)

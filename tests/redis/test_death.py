"""Ephemeral keys end for ever: in a real Redis, and in every process."""

from __future__ import annotations

import asyncio

from proxy.keys.sessions.sessions import SessionSettings

from .server import Server, needs_redis
from .test_fleet import CANARY, a_process, opened, sealed

pytestmark = needs_redis


async def test_at_its_hard_end_a_key_is_nowhere_any_more(server: Server) -> None:
    settings = SessionSettings(ttl=1, grace=1)
    async with (
        a_process(server, "ephemeral", settings) as (ours, *_),
        a_process(server, "ephemeral", settings) as (theirs, *_),
    ):
        text = await sealed(ours)
        assert [await opened(each, text) for each in (ours, theirs)] == [CANARY] * 2
        await asyncio.sleep(1.2)  # after the soft end: a new one seals, the old one still opens
        assert [await opened(each, text) for each in (ours, theirs)] == [CANARY] * 2
        later = await sealed(theirs)
        await asyncio.sleep(1.0)
        assert [await opened(each, text) for each in (ours, theirs)] == [None] * 2
        assert [await opened(each, later) for each in (ours, theirs)] == [CANARY] * 2
        await asyncio.sleep(1.5)
        left = await asyncio.to_thread(server.command, "KEYS", "*")
        assert left.count(b"sealyard:") == left.count(b":fence\r\n"), "a fence holds no key"
        async with a_process(server, "ephemeral", settings) as (restarted, *_rest):
            for each in (ours, theirs, restarted):
                assert await opened(each, later) is None
        for each in (ours, theirs):
            assert not any(each.drop_ended())
            assert each.cached[0] == 0
            assert not [one for one in each._ephemeral._known.entries() if one.live is not None]


async def test_a_durable_token_outlives_its_session_and_redis(server: Server) -> None:
    settings = SessionSettings(ttl=1, grace=0)
    async with a_process(server, "durable", settings) as (ours, *_):
        text = await sealed(ours)
        await asyncio.sleep(1.3)
        server.command("FLUSHALL")
        async with a_process(server, "durable", settings) as (theirs, *_rest):
            assert [await opened(each, text) for each in (ours, theirs)] == [CANARY] * 2

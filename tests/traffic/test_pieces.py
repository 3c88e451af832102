"""Large messages that come in pieces."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import pytest

from proxy.config.limits import Timeouts
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Names, Rule
from tests.factories import an_item
from tests.keys.builders import a_world
from tests.lanes.both_ways import WarmSessions
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import Client, Origin, Peer, connected, eventually, running

CANARY: Final = "the patient's canary"
TEXT: Final = f"{CANARY} " * 40_000  # 840 kB
SMALL: Final = f"{CANARY} " * 3000  # 63 kB, so that its response is long
CONTENT: Final = an_item("$.content")
RULE: Final = Rule(
    "talk",
    (parse_pattern("POST /talk"),),
    Names(parse_source("const:clinic"), parse_source("$.conversationId")),
    request=(Block(encrypt=(CONTENT,)),),
    response=(Block(decrypt=(CONTENT,)),),
)


def a_body(text: str) -> bytes:
    return json.dumps({"conversationId": "c1", "content": text}).encode()


def a_request(body: bytes) -> bytes:
    lines = "POST /talk HTTP/1.1", "Host: h", "Content-Type: application/json"
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


def an_answer(body: bytes) -> bytes:
    lines = "HTTP/1.1 200 OK", "Content-Type: application/json"
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


async def in_pieces(send: Peer | Client, data: bytes, cuts: int = 4) -> None:
    """Send data so that it is read in several pieces."""
    size = len(data) // cuts + 1
    for at in range(0, len(data), size):
        send.send(data[at : at + size])
        await send.writer.drain()
        await asyncio.sleep(0.01)


async def echoing(peer: Peer, origin: Origin) -> None:
    """Answer with what came, in pieces."""
    while True:
        seen = await peer.request()
        origin.seen.append(seen)
        await in_pieces(peer, an_answer(seen.body))


@contextlib.asynccontextmanager
async def a_proxy(
    origin: Origin, timeouts: Timeouts | None = None
) -> AsyncIterator[tuple[Ours, Client]]:
    """Run a Sealyard that seals and opens before an origin, and a client that it knows."""
    keys = WarmSessions(a_world().sessions)
    rules = RuleTable((RULE,), pass_unmatched=False)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=rules, keys=keys, timeouts=timeouts) as ours,
        connected(ours.port) as client,
    ):
        yield ours, client
    assert CANARY not in repr(ours.ear.heard)
    assert all(CANARY.encode() not in one.body for one in origin.seen)


async def known(client: Client) -> None:
    """Send messages, so that their keys are at hand."""
    for _ in range(3):
        client.send(a_request(a_body("short")))
        assert (await client.response()).status == 200


async def sent(client: Client, text: str) -> None:
    """Send a text in pieces, and check that it comes back."""
    await in_pieces(client, a_request(a_body(text)))
    response = await client.response()
    assert response.status == 200
    assert response.body == a_body(text)


async def test_large_messages_in_pieces_come_back() -> None:
    async with a_proxy(Origin(echoing)) as (ours, client):
        for text in (TEXT, SMALL, "short", TEXT):
            await sent(client, text)
        assert [one["status"] for _, one in ours.ear.heard if "status" in one] == [200] * 4


async def test_a_slow_upload_is_answered() -> None:
    async with a_proxy(Origin(echoing)) as (_, client):
        request = a_request(a_body(TEXT))
        client.send(request[:300_000])
        await asyncio.sleep(0.5)
        client.send(request[300_000:])
        assert (await client.response()).body == a_body(TEXT)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_leaves_holds_nothing(*, reset: bool) -> None:
    async with a_proxy(Origin(echoing)) as (ours, client):
        client.send(a_request(a_body(TEXT))[:300_000])
        await eventually(lambda: ours.listener.connections > 0)
        if reset:
            client.writer.transport.abort()
        else:
            client.writer.write_eof()
        await eventually(lambda: not ours.listener.connections)


async def test_what_follows_a_large_message_is_read() -> None:
    async with a_proxy(Origin(echoing)) as (_, client):
        await known(client)
        await in_pieces(client, a_request(a_body(TEXT)) + a_request(a_body("more")))
        for text in (TEXT, "more"):
            assert (await client.response()).body == a_body(text)


class Breaking:
    """An origin that answers large requests in a way of its own, and others as they come."""

    def __init__(self, rest: bytes | None) -> None:
        """Take what comes in place of the last kilobyte, None for the end of the connection."""
        self.rest = rest
        self.broke = 0

    async def __call__(self, peer: Peer, origin: Origin) -> None:
        while True:
            seen = await peer.request()
            origin.seen.append(seen)
            answer = an_answer(seen.body)
            if len(answer) < 50_000:
                peer.send(answer)
                continue
            self.broke += 1
            await in_pieces(peer, answer[:-1000])
            if self.rest is None:
                peer.writer.close()
                return
            peer.send(self.rest)


async def test_a_held_response_that_is_cut_is_refused() -> None:
    origin = Origin(breaking := Breaking(None))
    async with a_proxy(origin) as (ours, client):
        await known(client)
        await in_pieces(client, a_request(a_body(SMALL)))
        response = await client.response()
        assert response.status == 502
        assert CANARY.encode() not in response.body
        assert ours.ear.last["error"] == "upstream-failed"
        assert breaking.broke == 1  # the origin may have acted


async def test_a_held_response_that_rests_is_given_up() -> None:
    async with a_proxy(Origin(Breaking(b"")), HASTY) as (ours, client):
        await known(client)
        await in_pieces(client, a_request(a_body(SMALL)))
        response = await client.response()
        assert response.status == 504
        assert ours.ear.last["error"] == "upstream-timeout"


async def test_a_held_response_that_is_moving_is_waited_for() -> None:
    """Each silence is shorter than `timeouts.stream`, and all together are longer."""

    async def slow(peer: Peer, origin: Origin) -> None:
        while True:
            seen = await peer.request()
            origin.seen.append(seen)
            answer = an_answer(seen.body)
            pause = 0.25 if len(answer) > 50_000 else 0.0
            for at in range(0, len(answer), 30_000):
                peer.send(answer[at : at + 30_000])
                await asyncio.sleep(pause)

    async with a_proxy(Origin(slow), replace(HASTY, stream=0.6)) as (_, client):
        await known(client)
        await sent(client, SMALL)


async def test_a_client_that_leaves_while_its_response_is_held_frees_the_connection() -> None:
    async with a_proxy(Origin(Breaking(b""))) as (ours, client):
        await known(client)
        await in_pieces(client, a_request(a_body(SMALL)))
        await eventually(lambda: ours.upstream.pool.size == 1)
        client.writer.transport.abort()
        await eventually(lambda: not ours.listener.connections)
        await eventually(lambda: ours.upstream.pool.size == 0)
        assert ours.upstream.permits.in_use == 0

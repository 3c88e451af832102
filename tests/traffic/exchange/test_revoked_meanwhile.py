"""What was sealed before a revocation, and is answered or goes on after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.sealed_stream import CHUNK_BYTES
from proxy.core.errors import KeyUnavailable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.keys.sessions import session_control
from proxy.keys.sessions.sessions import Sessions
from proxy.process.boot_clock import since_boot
from tests.keys.builders import SCOPE, a_world

from ..ours import Ours, local, proxied
from ..wire import Client, Origin, Peer, Response, connected, eventually, running

BOUND: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
CONTENT = Item(parse_selector("$.content"), "content", BOUND)
BODY = Item(parse_selector("body"), "body", BOUND)
PART = Item(parse_selector("part:file"), "file", BOUND)
NAMES = Names(parse_source("const:clinic"), parse_source("const:c1"))
RULES = RuleTable(
    (
        Rule("one", (parse_pattern("POST /one"),), NAMES, request=(Block(encrypt=(CONTENT,)),)),
        Rule("file", (parse_pattern("POST /file"),), NAMES, request=(Block(encrypt=(BODY,)),)),
        Rule("form", (parse_pattern("POST /form"),), NAMES, request=(Block(encrypt=(PART,)),)),
    ),
    pass_unmatched=True,
)
ACCEPTED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
CONFLICT = b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n"
LONG = b"HTTP/1.1 201 Created\r\nContent-Length: 99999\r\n\r\n" + b"x" * 99999
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


class Held:
    """An origin that answers what a test lets it."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.answer: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            self.arrived.set()
            peer.send(await self.answer.get())


@asynccontextmanager
async def through(sessions: Sessions, script: Held) -> AsyncIterator[tuple[Client, Origin, Ours]]:
    origin = Origin(script)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=RULES, keys=sessions) as ours,
        connected(ours.port) as client,
    ):
        yield client, origin, ours


def message() -> bytes:
    body = b'{"content":"hello"}'
    lines = b"POST /one HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    return lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def revoke(sessions: Sessions) -> None:
    assert await session_control.revoke(
        sessions, SCOPE, await session_control.latest(sessions, SCOPE)
    )


async def answered(client: Client, held: Held, answer: bytes) -> Response:
    await held.arrived.wait()
    held.arrived.clear()
    await held.answer.put(answer)
    return await client.response()


@pytest.mark.parametrize("answer", [ACCEPTED, LONG, CHUNKED])
@pytest.mark.parametrize("before", [0, 2])
async def test_what_was_sealed_before_a_revocation_is_not_acknowledged_after_it(
    answer: bytes, before: int
) -> None:
    sessions, held = a_world().sessions, Held()
    async with through(sessions, held) as (client, _, ours):
        for _ in range(before):  # then head and keys are known, and nothing waits
            client.send(message())
            assert (await answered(client, held, answer)).status == 201
        client.send(message())
        await held.arrived.wait()
        await revoke(sessions)
        response = await answered(client, held, answer)
        assert (response.status, response.values(b"sealyard-error")) == (503, [b"key-unavailable"])
        assert ours.ear.last["reason"] == "revoked-meanwhile"
        client.send(message())
        assert (await answered(client, held, answer)).status == 201


async def test_a_refusal_of_the_backend_is_passed_on_all_the_same() -> None:
    sessions, held = a_world().sessions, Held()
    async with through(sessions, held) as (client, _, _):
        client.send(message())
        await held.arrived.wait()
        await revoke(sessions)
        assert (await answered(client, held, CONFLICT)).status == 409


async def test_an_answer_waits_for_the_lease_of_a_process_that_stood_still() -> None:
    sessions, held, asked = a_world().sessions, Held(), []

    class Lease:
        async def fence(self, _: object) -> None: ...

        async def obtain(self) -> None:
            asked.append(1)
            if len(asked) > 1:
                raise KeyUnavailable("lease-ended")
            sessions.sealing_until = since_boot() + 60

    async with through(sessions, held) as (client, _, ours):
        for status in (201, 503):
            client.send(message())
            await held.arrived.wait()
            sessions.lease, sessions.sealing_until = Lease(), 0.0
            assert (await answered(client, held, ACCEPTED)).status == status
        assert (len(asked), ours.ear.last["reason"]) == (2, "lease-ended")


@pytest.mark.parametrize("path", ["/file", "/form"])
@pytest.mark.parametrize("had", [True, False])
async def test_an_upload_waits_for_a_lease_that_was_lost_while_it_comes(
    path: str, *, had: bool
) -> None:
    """Whoever finds that the store has lost its row gives up its lease, and asks for it again."""
    sessions, held, asked = a_world().sessions, Held(), []

    class Lease:
        async def fence(self, _: object) -> None: ...

        async def obtain(self) -> None:
            asked.append(1)
            if not had:
                raise KeyUnavailable("lease-ended")
            await asyncio.sleep(0)
            sessions.sealing_until = since_boot() + 60

    half = b"x" * 20 * CHUNK_BYTES
    mime, begin, end = b"text/plain", b"", b""
    if path == "/form":
        mime = b"multipart/form-data; boundary=b"
        begin = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        end = b"\r\n--b--\r\n"
    async with through(sessions, held) as (client, origin, ours):
        client.send(
            b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
            % (path.encode(), mime)
        )
        client.send(chunk(begin + half))
        await eventually(lambda: origin.connections)
        sessions.lease, sessions.sealing_until = Lease(), 0.0
        client.send(chunk(half + end) + b"0\r\n\r\n")
        if had:
            assert (await answered(client, held, ACCEPTED)).status == 201
            assert (len(asked), b"xxx" in origin.seen[0].body) == (1, False)
        else:
            assert ((await client.response()).status, origin.seen) == (503, [])
            assert ours.ear.last["reason"] == "lease-ended"


async def test_an_upload_that_began_before_a_revocation_is_cut() -> None:
    sessions, held = a_world().sessions, Held()
    async with through(sessions, held) as (client, origin, ours):
        client.send(
            b"POST /file HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\n"
            b"Content-Length: %d\r\n\r\n" % (40 * CHUNK_BYTES)
        )
        client.send(b"x" * 20 * CHUNK_BYTES)
        await eventually(lambda: origin.connections)
        await revoke(sessions)
        client.send(b"x" * 20 * CHUNK_BYTES)
        response = await client.response()
        assert (response.status, origin.seen) == (503, [])
        assert ours.ear.last["reason"] == "revoked-meanwhile"

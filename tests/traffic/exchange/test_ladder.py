"""What one step up would refuse is counted once for each message, and at the right time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
import secrets
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import aiohttp
import pytest

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.errors import OpenFailed
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Rule
from proxy.core.values.key_needs import Keys, Needs
from proxy.traffic.exchange.prepared_steps import KeySource
from proxy.traffic.message_record import Foretold, MessageRecord
from tests.factories import a_session
from tests.keys.builders import a_world
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import Client, Origin, Peer, connected, eventually, post, running

from .test_websocket_relay import RULES, backend, message

JSON = b"Content-Type: application/json"
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
CONTENT = Item(
    parse_selector("$.content"), "content", frozenset({"tenant", "conversation", "field"})
)
OPENS = (Block(decrypt=(CONTENT,)),)
LENIENT = (replace(OPENS[0], permissive_until=math.inf),)
OBSERVING = Rule(
    "r", (parse_pattern("POST /a"),), NAMES, request=OPENS, response=OPENS, observes=True
)
PERMISSIVE = replace(OBSERVING, request=LENIENT, response=LENIENT, observes=False)


def reply(body: bytes, *headers: bytes) -> bytes:
    lines = b"\r\n".join((b"HTTP/1.1 200 OK", JSON, *headers, b"Content-Length: %d" % len(body)))
    return b"%b\r\n\r\n%b" % (lines, body)


def ask(body: bytes, path: bytes = b"/a") -> bytes:
    """Return a request after which the connection stays open."""
    return post(body, JSON, target=path).replace(b"Connection: close\r\n", b"")


def would_refuse(ours: Ours) -> list[tuple[str | None, str, str]]:
    told = ours.ear.all("message.would_refuse")
    return [(one["rule"], one["direction"], one["reason"]) for one in told]


async def told(
    origin: Origin, *rules: Rule, body: bytes, path: bytes = b"/a", count: int = 3
) -> tuple[list[tuple[str | None, str, str]], list[int], list[dict[str, Any]]]:
    """Return what was foretold of a few messages, their statuses, and their lines."""
    async with (
        running(origin),
        proxied(
            local(origin.port),
            rule_table=RuleTable(rules, pass_unmatched=True),
            keys=a_world().sessions,
            timeouts=HASTY,
        ) as ours,
        connected(ours.port) as client,
    ):
        statuses: list[int] = []
        for _ in range(count):
            client.send(ask(body, path))
            statuses.append((await client.response()).status)
            await eventually(lambda: len(_lines(ours)) == len(statuses))
        return would_refuse(ours), statuses, _lines(ours)


def _lines(ours: Ours) -> list[dict[str, Any]]:
    names = {"message.handled", "message.refused", "message.failed"}
    return [fields for name, fields in ours.ear.heard if name in names]


@pytest.mark.parametrize(
    ("rule", "body", "reason"),
    [
        (PERMISSIVE, b'{"content": "plain"}', "not-a-token"),
        (OBSERVING, b'{"content": "sy1.AAAA"}', "malformed-token"),
    ],
)
async def test_a_message_that_would_be_refused_in_both_directions_counts_once(
    rule: Rule, body: bytes, reason: str
) -> None:
    """The first of them finds no idle connection, so it is planned a second time."""
    found, statuses, _ = await told(Origin(reply=reply(body)), rule, body=body)

    assert statuses == [200] * 3
    assert found == [("r", "request", reason)] * 3


async def test_a_message_that_is_refused_as_it_is_does_not_count() -> None:
    broken = reply(b'{"content": "sy1.AAAA"}')
    found, statuses, lines = await told(
        Origin(reply=broken), PERMISSIVE, body=b'{"content": "plain"}'
    )

    assert statuses == [502] * 3
    assert {one["error"] for one in lines} == {OpenFailed.code}
    assert found == []


async def cut(peer: Peer, origin: Origin) -> None:
    origin.seen.append(await peer.request())
    peer.cut()


async def test_a_request_that_its_backend_did_not_answer_counts() -> None:
    found, statuses, lines = await told(
        Origin(cut), PERMISSIVE, body=b'{"content": "plain"}', count=1
    )

    assert statuses == [502]
    assert lines[0]["error"] == "upstream-failed"
    assert found == [("r", "request", "not-a-token")]


async def test_a_request_beside_the_rules_counts_once_although_its_response_takes_two_lanes() -> (
    None
):
    beside = Rule(
        "beside",
        (parse_pattern("POST /A"),),
        NAMES,
        response=(Block(decrypt=(replace(CONTENT, optional=True),)),),
    )
    packed = gzip.compress(b'{"note": "%b"}' % secrets.token_hex(600).encode())
    origin = Origin(reply=reply(packed, b"Content-Encoding: gzip"))
    found, statuses, lines = await told(origin, OBSERVING, beside, body=b"{}", path=b"/A")

    assert statuses == [200] * 3
    assert {one["rule"] for one in lines} == {"beside"}
    assert [(rule, direction) for rule, direction, _ in found] == [(None, "request")] * 3


@pytest.mark.parametrize("observes", [True, False])
async def test_a_websocket_counts_once_and_while_it_lasts(*, observes: bool) -> None:
    opened = next(one for one in RULES if one.name == "opened")
    block = replace(opened.response[0], permissive_until=None if observes else math.inf)  # type: ignore[index]  # it has blocks
    rule = replace(opened, response=(block,), observes=observes)
    broken = message("sy1.AAAA")
    async with (
        backend() as origin,
        proxied(
            local(origin.port),
            rule_table=RuleTable((rule,), pass_unmatched=True),
            keys=a_world().sessions,
            timeouts=HASTY,
        ) as ours,
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{ours.port}/opened") as socket,
    ):
        for one in [broken if observes else message()] * 3:
            await socket.send_str(one)
            assert (await socket.receive()).data == one
        await eventually(lambda: would_refuse(ours) != [])
        await socket.close()
        await eventually(lambda: _lines(ours) != [])

    reason = "malformed-token" if observes else "not-a-token"
    assert would_refuse(ours) == [("opened", "response", reason)]


def test_a_record_holds_one_reason_for_each_rule() -> None:
    record = MessageRecord("r", "api")
    for rule, reason in (("a", "x"), (None, "y"), ("a", "z"), (None, "z")):
        record.foretell(Foretold(rule, "request", reason))

    assert record.foretold == (Foretold("a", "request", "x"), Foretold(None, "request", "y"))


# --- clients that leave ---------------------------------------------------------------------------

OPTIONAL = replace(CONTENT, optional=True)
LOOSE = replace(
    OBSERVING,
    request=(Block(decrypt=(OPTIONAL,)),),
    response=(Block(decrypt=(OPTIONAL,)),),
)
BAD = b'{"content": "sy1.AAAA"}'
TOKEN = a_session(Scope("t", "c")).seal(b"hello", Context(Scope("t", "c"), "content"))
EVENT = b'data: {"content": "sy1.AAAA"}\n\n'
BEGUN = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n"
STREAM = BEGUN % b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked"
LONG = BEGUN % (JSON + b"\r\nContent-Length: 100000") + b'{"content": "' + b"x" * 70_000


class Held(Origin):
    """An origin that sends the `beginning` of a response, and then waits."""

    def __init__(self, beginning: bytes = b"") -> None:
        super().__init__(self.hold)
        self.beginning = beginning
        self.told = False

    async def hold(self, peer: Peer, origin: Origin) -> None:
        request = b""
        while b"\r\n\r\n" not in request or b"{" not in request:
            request += await peer.reader.read(65536)
        peer.send(self.beginning)
        self.told = True
        await peer.reader.read()


class Slow:
    """Keys that come later."""

    def __init__(self, seconds: float) -> None:
        self._keys = a_world().sessions
        self.seconds = seconds
        self.asked = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the keys have
        return getattr(self._keys, name)

    async def resolve(self, needs: Needs) -> Keys:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        return await self._keys.resolve(needs)


@contextlib.asynccontextmanager
async def observing(
    origin: Origin, rule: Rule = OBSERVING, keys: KeySource | None = None, *, hasty: bool = False
) -> AsyncIterator[Ours]:
    async with (
        running(origin),
        proxied(
            local(origin.port),
            rule_table=RuleTable((rule,), pass_unmatched=True),
            keys=keys or a_world().sessions,
            timeouts=HASTY if hasty else None,
        ) as ours,
    ):
        yield ours


def reset(client: Client) -> None:
    """Drop a connection as a client does whose process ends."""
    socket = client.writer.get_extra_info("socket")
    socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


async def left(ours: Ours, origin: Held, request: bytes, mark: bytes = b"") -> dict[str, Any]:
    """Return the line of a message whose client leaves before the response ends."""
    async with connected(ours.port) as client:
        client.send(request)
        await eventually(lambda: origin.told)
        if mark:
            await client.until(mark)
        reset(client)
    await eventually(lambda: _lines(ours) != [])
    return _lines(ours)[0]


@pytest.mark.parametrize("beginning", [b"", LONG, STREAM])
async def test_a_request_is_tried_although_its_client_has_gone(beginning: bytes) -> None:
    origin = Held(beginning)
    async with observing(origin) as ours:
        line = await left(ours, origin, ask(BAD), b"\r\n\r\n" if beginning else b"")

        assert line["status"] == 499
        assert would_refuse(ours) == [("r", "request", "malformed-token")]


async def test_a_stream_of_records_was_not_observed_if_its_client_left_before_its_end() -> None:
    origin = Held(STREAM + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    async with observing(origin, LOOSE) as ours:
        await left(ours, origin, ask(b"{}"), EVENT)

        assert would_refuse(ours) == [("r", "response", "too-long-to-observe")]


async def test_a_download_that_its_client_aborts_does_not_count() -> None:
    origin = Held(LONG)
    async with observing(origin, LOOSE) as ours:
        line = await left(ours, origin, ask(b"{}"), b"xxx")

        assert (line["status"], would_refuse(ours)) == (499, [])


async def test_an_upload_that_its_client_aborts_does_not_count() -> None:
    origin = Held()
    async with observing(origin) as ours:
        request = ask(BAD).replace(b"Content-Length: 23", b"Content-Length: 100000")
        assert request != ask(BAD)
        await left(ours, origin, request + b" " * 80_000)

        assert would_refuse(ours) == []


async def test_a_stream_of_records_that_its_client_does_not_end_was_not_observed() -> None:
    origin = Held()
    rule = replace(LOOSE, request=(Block(decrypt=(OPTIONAL,), format="ndjson"),))
    async with observing(origin, rule) as ours:
        request = ask(BAD).replace(b"Content-Length: 23", b"Content-Length: 100000")
        request = request.replace(b"application/json", b"application/x-ndjson")
        await left(ours, origin, request + b"\n" * 80_000)

        assert would_refuse(ours) == [("r", "request", "too-long-to-observe")]


async def test_a_request_is_tried_that_its_backend_did_not_answer() -> None:
    async with observing(Origin(cut)) as ours, connected(ours.port) as client:
        client.send(ask(BAD))
        assert (await client.response()).status == 502
        await eventually(lambda: _lines(ours) != [])

        assert would_refuse(ours) == [("r", "request", "malformed-token")]


async def test_a_client_that_leaves_does_not_end_the_trial() -> None:
    """Its response is complete, and what it holds needs keys, which come later."""
    keys = Slow(0.3)
    sealed = Origin(reply=reply(b'{"content": "%b"}' % TOKEN))
    async with observing(sealed, LOOSE, keys) as ours:
        async with connected(ours.port) as client:
            client.send(ask(b"{}"))
            await client.response()
            await eventually(lambda: keys.asked)
            reset(client)
        await eventually(lambda: _lines(ours) != [])

        assert would_refuse(ours) == [("r", "response", "wrong-context")]


async def test_what_is_tried_for_a_client_that_has_gone_is_waited_for_in_a_drain() -> None:
    keys, origin = Slow(0.5), Held()
    async with observing(origin, keys=keys) as ours:
        async with connected(ours.port) as client:
            client.send(ask(b'{"content": "%b"}' % TOKEN))
            await eventually(lambda: origin.told)
            reset(client)
        await eventually(lambda: keys.asked)
        assert await ours.server.drain(5)

        assert would_refuse(ours) == [("r", "request", "wrong-context")]


async def test_what_cannot_be_tried_before_the_end_was_not_observed() -> None:
    keys, origin = Slow(60), Held()
    async with observing(origin, keys=keys) as ours:
        async with connected(ours.port) as client:
            client.send(ask(b'{"content": "%b"}' % TOKEN))
            await eventually(lambda: origin.told)
            reset(client)
        await eventually(lambda: keys.asked)
        async with asyncio.timeout(20):
            await ours.server.close()

        assert would_refuse(ours) == [("r", "request", "too-long-to-observe")]

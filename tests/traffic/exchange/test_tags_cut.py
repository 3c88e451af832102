"""No answer of a listener whose rules index has tags, whether any rule reads it or none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.rules.model import Block, Names, Rule, Verdict
from proxy.core.search.model import WordsIndex
from tests.factories import an_item
from tests.servers import serving
from tests.traffic.ours import local, proxied
from tests.traffic.wire import Origin, Peer, connected, running

TOKEN: Final = b"eyJ0eXAiOiJzeTEiLCJhbGciOiJkaXIifQ..%b.%b.%b" % (b"i" * 16, b"c" * 30, b"t" * 22)
TAGS: Final = b"~abcde~fghij~"
BODY: Final = b'[{"content":"%b%b","tags":"%b"},{"other":"~abcde~"}]\n'
STORED: Final = BODY % (TOKEN, TAGS, TAGS)
CLEAN: Final = BODY % (TOKEN, b"", b"")
_INDEXED: Final = replace(an_item("$.content"), index=WordsIndex(), tags_member="tags")


def table(*rules: Rule) -> RuleTable:
    sends = Rule(
        "send", (parse_pattern("POST /m"),), Names(), request=(Block(encrypt=(_INDEXED,)),)
    )
    return RuleTable((sends, *rules), pass_unmatched=True)


PASSES: Final = table(Rule("pass", (parse_pattern("GET /m"),), Names(), response=Verdict.PASS))
READS: Final = table(
    Rule(
        "read",
        (parse_pattern("GET /m"),),
        Names(),
        response=(Block(decrypt=(an_item("$.*.none", optional=True),), statuses=((200, 200),)),),
    )
)


def answering(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> Origin:
    """Return an origin that answers so, the body in pieces of 7 bytes."""

    async def script(peer: Peer, origin: Origin) -> None:
        while True:
            origin.seen.append(await peer.request())
            head = b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body), b"", b""
            peer.send(b"\r\n".join(head))
            for at in range(0, len(body), 7):
                peer.send(body[at : at + 7])
                await peer.writer.drain()
                await asyncio.sleep(0)

    return Origin(script)


JSON: Final = b"Content-Type: application/json"


@pytest.mark.parametrize("rules", [PASSES, READS, table()])
@pytest.mark.parametrize("status", [b"200 OK", b"500 Internal Server Error"])
@pytest.mark.parametrize("kind", [JSON, b"Content-Type: text/plain", b"X-None: 1"])
async def test_no_answer_has_tags(rules: RuleTable, status: bytes, kind: bytes) -> None:
    origin = answering(STORED, kind, b'ETag: "1"', b"Link: </m?a=%b%b>" % (TOKEN, TAGS))
    origin.script = answering(
        STORED, kind, b'ETag: "1"', b"Link: </m?a=%b%b>" % (TOKEN, TAGS), status=status
    ).script
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=rules) as ours,
        connected(ours.port) as client,
    ):
        for _ in range(2):
            client.send(b"GET /m HTTP/1.1\r\nHost: h\r\nRange: bytes=9-\r\n\r\n")
            answer = await client.response()
            assert answer.body == CLEAN
            assert TAGS not in repr(answer).encode()
            seen = origin.seen[-1]
            assert b"range" not in repr(seen).lower().encode()


@pytest.mark.parametrize(
    ("lines", "status"),
    [((b"Content-Encoding: gzip",), b"200 OK"), ((b"Content-Range: bytes 9-",), b"206 Part")],
)
async def test_what_cannot_be_cut_is_refused(lines: tuple[bytes, ...], status: bytes) -> None:
    origin = answering(STORED, JSON, *lines, status=status)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=PASSES) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET /m HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = await client.response()
        assert answer.status == 502
        assert b"It may have tags" in answer.body


async def test_an_empty_answer_and_one_to_head_pass() -> None:
    origin = answering(b"", b"X-None: 1", status=b"204 No Content")
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=PASSES) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET /m HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.response()).status == 204


async def test_messages_of_a_websocket_have_none() -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(STORED.decode())
        await socket.send_bytes(STORED)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    passing = Rule("pass", (parse_pattern("WS /ruled"),), Names(), response=Verdict.PASS)
    async with (
        serving(app, shutdown=0.1) as port,
        proxied(local(port), rule_table=table(passing)) as ours,
        aiohttp.ClientSession() as session,
    ):
        for path in ("ruled", "unruled"):
            async with session.ws_connect(f"http://127.0.0.1:{ours.port}/{path}") as socket:
                assert await socket.receive_str() == CLEAN.decode()
                assert await socket.receive_bytes() == CLEAN


async def test_parts_that_pass_have_none() -> None:
    """Neither one that a rule opens nor one beside it, while the form streams."""
    head = b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'
    form = head % b"a" + TOKEN + TAGS + b"\r\n" + head % b"f" + STORED + b"\r\n--x--\r\n"
    item = an_item("part:none", optional=True)
    rule = Rule("form", (parse_pattern("GET /m"),), Names(), response=(Block(decrypt=(item,)),))

    async def script(peer: Peer, origin: Origin) -> None:
        await peer.request()
        lines = b"HTTP/1.1 200 OK", b"Content-Type: multipart/form-data; boundary=x"
        peer.send(b"\r\n".join((*lines, b"Transfer-Encoding: chunked", b"", b"")))
        for at in range(0, len(form), 9):
            piece = form[at : at + 9]
            peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        peer.send(b"0\r\n\r\n")

    origin = Origin(script)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=table(rule)) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET /m HTTP/1.1\r\nHost: h\r\n\r\n")
        body = (await client.response()).body
        assert CLEAN in body
        assert TAGS not in body

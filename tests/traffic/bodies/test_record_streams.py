"""Streams of records over real sockets: each record goes on at once, and what fails is cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.config.limits import Timeouts
from proxy.config.policy import WORK_TIMES
from proxy.config.settings import UnixAddress
from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Context, Scope
from proxy.core.crypto.token import token_or_none
from proxy.core.errors import KeyUnavailable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.plan import Plan, Unplanned
from proxy.core.planning.record_stream import RecordFlow, Records
from proxy.core.rules.model import Batching, Block, Item, Names, Rule
from proxy.core.transform import Forwardable, begin_stream, pass_request
from proxy.core.transform.planner import plan_records
from proxy.core.values.key_needs import Keys, Needs
from proxy.keys.sessions import session_control
from proxy.traffic.bodies.record_streams import StreamedBody
from proxy.traffic.byte_budget import ByteBudget, Hold
from proxy.traffic.downstream.connection import ClientConnection
from proxy.traffic.policy import RECORDS_BYTES, STREAM_BYTES
from proxy.traffic.slices import AT_ONCE, SHORT_BYTES
from tests.factories import Ear
from tests.keys.builders import World, a_world
from tests.traffic.ours import HASTY, local, proxied
from tests.traffic.wire import (
    PATIENCE,
    Client,
    Origin,
    Peer,
    Seen,
    connected,
    eventually,
    get,
    running,
)

CANARY = b"canary-91ab3e"
SCOPE = Scope("t", "c")
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("const:c"))
CONTENT = Item(parse_selector("$.content"), "content", frozenset({"tenant", "conversation"}))
OPENS = Block(decrypt=(CONTENT,))


def joined(delay: float | None) -> Block:
    return Block(encrypt=(CONTENT,), batch=Batching(delay))


BOOK = RuleTable(
    (
        Rule("open", (parse_pattern("/open"),), NAMES, response=(OPENS,)),
        Rule(
            "keep",
            (parse_pattern("/keep"),),
            NAMES,
            response=(replace(OPENS, keep_unopened=True),),
        ),
        Rule("seal", (parse_pattern("/seal"),), NAMES, response=(Block(encrypt=(CONTENT,)),)),
        Rule("batch", (parse_pattern("/batch"),), NAMES, response=(joined(0.2),)),
        Rule("end", (parse_pattern("/end"),), NAMES, response=(joined(None),)),
        Rule("send", (parse_pattern("POST /send"),), NAMES, request=(Block(encrypt=(CONTENT,)),)),
    ),
    pass_unmatched=True,
)
EVENTS = b"text/event-stream"
LINES = b"application/x-ndjson"


@dataclass
class Live:
    """One stream on its way: the origin's end, the client's end, and the keys."""

    peer: Peer
    client: Client
    world: World
    ear: Ear
    seen: Seen
    ended: asyncio.Event

    async def was_cut(self) -> bool:
        """Read to the end; return whether nothing came, neither bytes nor a last chunk."""
        return not await self.client.rest()

    def send(self, data: bytes) -> None:
        self.peer.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def chunk(self) -> bytes:
        """Return the next chunk that comes."""
        async with asyncio.timeout(PATIENCE):
            size = int(await self.client.reader.readuntil(b"\r\n"), 16)
            data = await self.client.reader.readexactly(size)
            await self.client.reader.readexactly(2)
            return data

    async def token(self, text: bytes = CANARY) -> bytes:
        keys = await self.world.sessions.resolve(Needs({SCOPE: 1}))
        return keys.sealing[SCOPE].seal(text, Context(SCOPE))

    async def opened(self, token: bytes) -> bytes:
        decoded = token_or_none(token)
        assert decoded is not None
        keys = await self.world.sessions.resolve(Needs({}, frozenset({(SCOPE, decoded.key_id)})))
        session = keys.opening[SCOPE, decoded.key_id]
        return session.open(decoded, Context(SCOPE), self.world.time.now)


@contextlib.asynccontextmanager
async def live(
    target: bytes,
    kind: bytes = EVENTS,
    *,
    timeouts: Timeouts | None = None,
    framing: bytes = b"Transfer-Encoding: chunked\r\n",
    request: bytes | None = None,
    budget: ByteBudget | None = None,
) -> AsyncIterator[Live]:
    """Begin a stream, up to the head that the client gets."""
    begun: asyncio.Future[tuple[Peer, Seen]] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer, _: Origin) -> None:
        seen = await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n" % (kind, framing))
        begun.set_result((peer, seen))
        await peer.reader.read()
        ended.set()

    world = a_world()
    ended = asyncio.Event()
    async with (
        running(Origin(script)) as origin,
        proxied(
            local(origin.port),
            rule_table=BOOK,
            keys=world.sessions,
            timeouts=timeouts,
            budget=budget,
        ) as ours,
        connected(ours.port) as client,
    ):
        client.send(request or b"GET %b HTTP/1.1\r\nHost: h\r\nLast-Event-ID: 7\r\n\r\n" % target)
        await client.until(b"\r\n\r\n")
        peer, seen = await begun
        yield Live(peer, client, world, ours.ear, seen, ended)
        peer.writer.close()
        await eventually(lambda: not origin.open_connections)


async def test_b15_each_event_is_opened_and_sent_on_at_once() -> None:
    async with live(b"/open") as stream:
        token = await stream.token()
        for number in range(3):
            stream.send(b'id: %d\ndata: {"content":"%b"}\n' % (number, token))
            stream.send(b"\n: ping\n")

            expected = b'id: %d\ndata: {"content":"%b"}\n\n: ping\n' % (number, CANARY)
            assert await stream.chunk() == expected
        stream.peer.send(b"0\r\n\r\n")
        assert await stream.client.until(b"0\r\n\r\n") == b"0\r\n\r\n"

    assert stream.seen.values(b"last-event-id") == [b"7"]


async def test_warm_records_go_a_way_without_a_plan_and_sentinels_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned: list[bytes] = []

    def counted(
        exchange: Exchange, compiled: CompiledBlock, head: ResponseHead, records: bytes
    ) -> Plan:
        planned.append(records)
        return plan_records(exchange, compiled, head, records)

    monkeypatch.setattr("proxy.core.transform.passing.plan_records", counted)
    async with live(b"/open") as stream:
        event = b'data: {"content":"%b"}\n\n' % await stream.token()
        stream.send(event)  # the key is not at hand yet
        await stream.chunk()
        planned.clear()
        for sent in (event, event * 3, b"data: [DONE]\n\n"):
            stream.send(sent)
            assert await stream.chunk() == re.sub(rb'(?<=:")[^"]+', CANARY, sent)
        stream.peer.send(b"0\r\n\r\n")
        await stream.client.until(b"0\r\n\r\n")

    assert planned == [b"data: [DONE]\n\n"]
    await eventually(lambda: bool(stream.ear.all("message.handled")))
    assert stream.ear.all("message.handled")[-1]["opened"] == 5
    assert CANARY.decode() not in repr(stream.ear.heard)


async def test_long_records_are_planned_in_slices_however_many_streams_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_loop: set[tuple[bool, bool]] = set()

    def noted(
        exchange: Exchange, compiled: CompiledBlock, head: ResponseHead, records: bytes
    ) -> Plan:
        long = len(records) > SHORT_BYTES
        in_loop.add((long, threading.current_thread() is threading.main_thread()))
        return plan_records(exchange, compiled, head, records)

    async def script(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % LINES)
        peer.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for one in (long, short, long):
            for at in range(0, len(one), 5000):
                piece = one[at : at + 5000]
                peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
                await peer.writer.drain()
                await asyncio.sleep(0)
        peer.send(b"0\r\n\r\n")

    monkeypatch.setattr("proxy.core.transform.passing.plan_records", noted)
    short = b'{"content":"%b"}\n' % CANARY
    long = b'{"n":[%b],"content":"%b"}\n' % (b",".join([b"7"] * 20_000), CANARY)

    async def asked(port: int) -> bytes:
        async with connected(port) as client:
            client.send(get(b"/seal"))
            return await client.rest()

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
    ):
        answers = await asyncio.gather(*(asked(ours.port) for _ in range(2 * AT_ONCE)))

    assert all(one.endswith(b"0\r\n\r\n") for one in answers)
    assert all(one.count(b"eyJ0eXAi") == 3 and CANARY not in one for one in answers)
    assert (True, False) in in_loop
    assert in_loop <= {(True, False), (False, True)}


async def test_warm_records_go_by_whoever_waits_for_what_is_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[bytes] = []
    feed = RecordFlow.feed

    def counted(flow: RecordFlow, data: bytes) -> Iterator[bytes | Records]:
        fed.append(data)
        return feed(flow, data)

    monkeypatch.setattr(RecordFlow, "feed", counted)
    async with live(b"/open") as stream:
        event = b'data: {"content":"%b"}\n\n' % await stream.token()
        half, rest = event[:30], event[30:]
        others = (event, b"data: [DONE]\n\n", half, rest, event)
        for sent, back in zip(others, (*others[:2], b"", event, event), strict=True):
            stream.send(sent)
            if back:
                assert await stream.chunk() == re.sub(rb'(?<=:")[^"]+', CANARY, back)
            else:
                await eventually(lambda: half in fed)

    assert fed == list(others[1:4])


async def test_events_of_all_kinds_come_in_order_to_a_client_that_reads_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paused: list[ClientConnection] = []
    pause = ClientConnection.pause_writing

    def noted(connection: ClientConnection) -> None:
        paused.append(connection)
        pause(connection)

    monkeypatch.setattr(ClientConnection, "pause_writing", noted)
    text = CANARY * 300
    async with live(b"/open") as stream:
        token = await stream.token(text)
        kinds = (
            b'id: %d\ndata: {"content":"%%b"}\n\n',
            b'id: %d\ndata: {"content":"%%b"}\r\n\r\n',
            b'data: {"n":%d,\ndata: "content":"%%b"}\n\n',
            b'data: {"n":%d,"content":"%%b"}\n\n',
            b": %d\n\n",
        )
        made = [kinds[number * 7 % 11 % len(kinds)] % number for number in range(4000)]
        sent = b"".join(one % token if b"%b" in one else one for one in made)
        for at in range(0, len(sent), 9973):
            stream.send(sent[at : at + 9973])
        for one in made[:200]:  # each by itself
            stream.send(one % token if b"%b" in one else one)
        made += made[:200]
        expected = b"".join(one % text if b"%b" in one else one for one in made)
        await eventually(lambda: bool(paused))

        came = b""
        while len(came) < len(expected):
            came += await stream.chunk()

    assert came == expected


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError, asyncio.CancelledError])
async def test_a_piece_that_fails_as_it_passes_by_cuts_the_stream(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    async with live(b"/open") as stream:
        event = b'data: {"content":"%b"}\n\n' % await stream.token()
        for _ in range(2):
            stream.send(event)
            await stream.chunk()

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(RecordFlow, "at_once", fail)
        stream.send(event)

        assert await stream.was_cut()


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        (EVENTS, b'data: {"content":"%b"}\r\r'),
        (LINES, b'{"content":"%b"}\n'),
        (b"application/json-seq", b'\x1e{"content":"%b"}\n'),
    ],
)
async def test_e15_e16_each_record_is_sealed_and_sent_on_at_once(
    kind: bytes, record: bytes
) -> None:
    async with live(b"/seal", kind) as stream:
        for _ in range(2):
            stream.send(record % CANARY)
            got = await stream.chunk()

            before, after = record.split(b"%b")
            assert got.startswith(before + b"eyJ0eXAiOiJzeTEi")
            assert got.endswith(after)
            assert CANARY not in got


@pytest.mark.parametrize(
    ("target", "record"),
    [
        (b"/open", b'data: {"content":"plain"}\n\n'),
        (b"/seal", b'data: {"other":"%b"}\n\n' % CANARY),
        (b"/seal", b"data: %b\n\n" % CANARY),
        (b"/seal", b'data: {"content":"%b"' % CANARY),
    ],
)
async def test_b15_an_event_that_fails_cuts_the_stream(target: bytes, record: bytes) -> None:
    async with live(target) as stream:
        stream.send(b": fine\n\n")
        assert await stream.chunk() == b": fine\n\n"
        stream.send(record)
        stream.peer.send(b"0\r\n\r\n")

        assert await stream.was_cut()
        await eventually(lambda: stream.ear.heard)

    event, told = stream.ear.heard[-1]
    assert (event, told["direction"]) == ("message.refused", "response")
    assert CANARY.decode() not in str(told)


async def test_b15_a_token_that_does_not_open_stays_where_the_rule_keeps_it() -> None:
    async with live(b"/keep") as stream:
        token = await stream.token()
        record = b'data: {"content":"%b"}\n\n'
        stream.send(record % token[:-4])
        assert await stream.chunk() == record % token[:-4]
        stream.send(record % token)
        assert await stream.chunk() == record % CANARY
        stream.peer.send(b"0\r\n\r\n")
        await stream.client.until(b"0\r\n\r\n")
        await eventually(lambda: stream.ear.heard)

    assert (stream.ear.last["kept"], stream.ear.last["opened"]) == (1, 1)


async def test_b15_what_is_revoked_while_a_stream_lasts_opens_no_more() -> None:
    async with live(b"/open") as stream:
        record = b'data: {"content":"%b"}\n\n' % await stream.token()
        stream.send(record)
        assert CANARY in await stream.chunk()
        stream.world.time.advance(10)
        await session_control.revoke(stream.world.sessions, SCOPE, int(stream.world.time.now))
        stream.send(record)

        assert await stream.was_cut()


async def test_b15_keys_that_cannot_be_had_cut_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(needs: Needs) -> Keys:
        raise KeyUnavailable("store")

    async with live(b"/seal") as stream:
        monkeypatch.setattr(type(stream.world.sessions), "resolve_warm", lambda *_: None)
        monkeypatch.setattr(stream.world.sessions, "resolve", resolve, raising=False)
        stream.send(b'data: {"content":"%b"}\n\n' % CANARY)

        assert await stream.was_cut()


@pytest.mark.parametrize("target", [b"/open", b"/free"])
@pytest.mark.parametrize("kind", [EVENTS, LINES])
async def test_b15_a_stream_may_be_silent_for_longer_than_other_bodies(
    target: bytes, kind: bytes
) -> None:
    async with live(target, kind, timeouts=replace(HASTY, tunnel=10.0)) as stream:
        await asyncio.sleep(HASTY.stream * 3)
        stream.send(b"\n\n")

        assert await stream.chunk() == b"\n\n"


async def test_b15_a_silent_stream_ends_at_last() -> None:
    async with live(b"/open", timeouts=replace(HASTY, tunnel=0.5)) as stream:
        assert await stream.was_cut()


async def test_b4_a_body_of_another_type_is_not_waited_for_so_long() -> None:
    async with live(b"/free", b"text/plain", timeouts=HASTY) as stream:
        assert await stream.was_cut()


@pytest.mark.parametrize("target", [b"/open", b"/keep"])
async def test_b2_a_client_that_leaves_a_silent_stream_ends_it(target: bytes) -> None:
    async with live(target) as stream:
        stream.send(b": fine\n\n")
        await stream.chunk()
        stream.client.close()

        await asyncio.wait_for(stream.ended.wait(), PATIENCE)


def delta(text: bytes) -> bytes:
    return b'data: {"content":"%b"}\n\n' % text


async def test_b15_deltas_that_come_within_their_time_go_on_as_one() -> None:
    async with live(b"/batch") as stream:
        for part in (CANARY[:4], CANARY[4:]):
            stream.send(delta(part))
        got = await stream.chunk()
        stream.send(delta(CANARY))
        later = await stream.chunk()
        stream.peer.send(b"0\r\n\r\n")
        assert await stream.client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        await eventually(lambda: stream.ear.heard)

        assert stream.ear.last["sealed"] == 2
        for one in (got, later):
            (token,) = re.findall(rb'data: {"content":"([^"]+)"}\n\n', one)
            assert await stream.opened(token) == CANARY


async def test_b15_without_a_limit_of_time_deltas_wait_for_what_is_none() -> None:
    async with live(b"/end") as stream:
        stream.send(delta(CANARY) + b": ping\n\n")
        assert await stream.chunk() == b": ping\n\n"
        await asyncio.sleep(0.5)
        stream.send(delta(CANARY) + b"data: [DONE]\n\n")
        got = await stream.chunk()

        assert got.count(b"eyJ0eXAiOiJzeTEi") == 1
        assert got.endswith(b"\n\ndata: [DONE]\n\n")


@pytest.mark.parametrize("target", [b"/batch", b"/end"])
async def test_b2_a_client_that_leaves_while_deltas_are_held_ends_the_stream(target: bytes) -> None:
    async with live(target) as stream:
        stream.send(b": fine\n\n" + delta(CANARY))
        await stream.chunk()
        stream.client.close()

        await asyncio.wait_for(stream.ended.wait(), PATIENCE)


async def test_b4_deltas_that_are_held_are_lost_with_a_stream_that_breaks_off() -> None:
    async with live(b"/end") as stream:
        stream.send(b": fine\n\n" + delta(CANARY))
        assert await stream.chunk() == b": fine\n\n"
        stream.peer.writer.close()

        assert await stream.was_cut()
    assert CANARY.decode() not in str(stream.ear.heard)


async def test_b16_deltas_that_are_held_go_on_when_the_process_ends() -> None:
    world = a_world()
    begun: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % EVENTS)
        data = b": fine\n\n" + delta(CANARY)
        peer.send(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(data), data))
        begun.set_result(peer)
        await peer.reader.read()

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=world.sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/end"))
        await client.until(b": fine\n\n\r\n")
        await begun
        await ours.server.drain(5.0)
        rest = await client.until(b"0\r\n\r\n")

    assert rest.count(b"eyJ0eXAiOiJzeTEi") == 1
    assert CANARY not in rest


async def test_a20_events_for_http_10_end_with_the_connection() -> None:
    async with live(b"/open", request=b"GET /open HTTP/1.0\r\nHost: h\r\n\r\n") as stream:
        event = b'data: {"content":"%b"}\n\n' % await stream.token()
        stream.send(event)
        await stream.client.until(b'data: {"content":"%b"}\n\n' % CANARY)
        stream.peer.send(b"0\r\n\r\n")

        assert await stream.client.rest() == b""


async def test_a20_events_for_http_10_that_fail_end_with_a_reset() -> None:
    async with live(b"/seal", request=b"GET /seal HTTP/1.0\r\nHost: h\r\n\r\n") as stream:
        stream.send(b"data: {}\n\n")

        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(stream.client.reader.read(), PATIENCE)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("kind", [EVENTS, LINES])
async def test_b4_no_cut_stream_looks_whole_on_a_unix_socket(
    tmp_path: Path, version: bytes, kind: bytes
) -> None:
    async def script(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % kind)
        for one in (b'{"content":"%b"}' % CANARY, b"{}"):
            data = b"data: %b\n\n" % one if kind == EVENTS else one + b"\n"
            peer.send(b"Transfer-Encoding: chunked\r\n\r\n" if one != b"{}" else b"")
            peer.send(b"%x\r\n%b\r\n" % (len(data), data))
        peer.send(b"0\r\n\r\n")

    path = str(tmp_path / "socket")
    async with (
        running(Origin(script)) as origin,
        proxied(
            local(origin.port),
            listen=UnixAddress(Path(path)),
            rule_table=BOOK,
            keys=a_world().sessions,
        ) as ours,
        connected(path=path) as client,
    ):
        client.send(b"GET /seal HTTP/%b\r\nHost: h\r\n\r\n" % version)
        raw = await client.rest()
        await eventually(lambda: ours.ear.heard)

    refused = version == b"1.0" and kind == LINES
    assert raw.startswith(b"HTTP/1.1 502 " if refused else b"HTTP/1.1 200 ")
    assert not raw.endswith(b"0\r\n\r\n")
    assert CANARY not in raw
    assert (raw.count(b"eyJ0eXAi") == 1) is not refused
    assert ours.ear.last["reason"] == ("cut-cannot-be-shown" if refused else "missing-value")


async def test_b15_events_that_only_their_connection_ends_are_events() -> None:
    async with live(b"/open", framing=b"") as stream:
        stream.peer.send(b'data: {"content":"%b"}\n\ndata: cut' % await stream.token())
        assert await stream.chunk() == b'data: {"content":"%b"}\n\n' % CANARY
        stream.peer.writer.close()

        assert await stream.chunk() == b"data: cut"
        assert await stream.client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_b4_lines_that_only_their_connection_ends_may_be_cut() -> None:
    async def bare(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n\r\n{}\n" % LINES)

    async with (
        running(Origin(bare)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(get(b"/seal"))

        assert (await client.response()).status == 502


async def test_b16_a_stream_ends_behind_an_event_when_the_process_does() -> None:
    world = a_world()
    begun: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer, _: Origin) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n" % EVENTS)
        peer.send(b"Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n1\r\n\n\r\n6\r\ndata: \r\n")
        begun.set_result(peer)
        await peer.reader.read()

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=world.sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(b"GET /open HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.until(b"data: 1\n\n\r\n")
        await begun
        await ours.server.drain(5.0)

        assert await client.rest() == b"0\r\n\r\n"


def _post(*chunks: bytes, more: bytes = b"") -> bytes:
    head = b"POST /send HTTP/1.1\r\nHost: h\r\nContent-Type: %b\r\n" % LINES
    body = b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + more


async def test_e15_the_records_of_a_request_are_sealed_as_they_come() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer, _: Origin) -> None:
        await peer.head()
        async for chunk in peer.chunks():
            arrived.put_nowait(chunk)
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
        connected(ours.port) as client,
    ):
        client.send(_post(b'{"content":"%b"}\n{"conte' % CANARY))
        first = await asyncio.wait_for(arrived.get(), PATIENCE)
        client.send(b'f\r\nnt":"%b\r\n0\r\n\r\n' % b'x"}\n123456')
        client.close()

    assert json.loads(first)["content"].startswith("eyJ0eXAiOiJzeTEi")
    assert CANARY not in first


async def test_e15_a_record_of_a_request_that_fails_is_a_400_and_the_upload_is_cut() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(peer: Peer, _: Origin) -> None:
        await peer.head()
        try:
            async for chunk in peer.chunks():
                arrived.put_nowait(chunk)
            arrived.put_nowait(b"whole")
        except (asyncio.IncompleteReadError, ConnectionError):
            arrived.put_nowait(b"cut")
            raise

    fine, wrong = b'{"content":"%b"}\n' % CANARY, b'{"other":"%b"}\n' % CANARY
    async with (
        running(Origin(script)) as origin,
        proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
    ):
        for chunks in ((fine, wrong), (wrong,), ()):
            async with connected(ours.port) as client:
                client.send(_post(*chunks[:-1]))
                if chunks[:-1]:
                    assert CANARY not in await asyncio.wait_for(arrived.get(), PATIENCE)
                client.send(b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks[-1:]))
                client.send(b"0\r\n\r\n")
                response = await client.response()
                assert response.status == 400
                assert CANARY not in response.raw
        assert await asyncio.wait_for(arrived.get(), PATIENCE) == b"cut"

    assert arrived.empty()
    assert origin.connections == 1


@dataclass
class Body:
    """A body that comes in one piece."""

    data: bytes
    arrived: int = 0

    def take(self) -> None:
        return None

    async def read(self, limit: int, hold: Hold) -> bytes:
        raise NotImplementedError

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data


async def test_a_stream_that_has_failed_never_ends_well() -> None:
    exchange = Exchange(
        BOOK.decide("GET", canonical("/seal")), RequestHead("GET", "/seal", None, ())
    )
    head = ResponseHead(200, b"OK", ((b"Content-Type", LINES),))
    compiled = choose_response(exchange, head)
    assert compiled is not None
    message = begin_stream(exchange, compiled, head, "ndjson", 1000)

    async def fail(_: Plan | Unplanned) -> Forwardable:
        raise KeyUnavailable("store")

    hold = Hold(ByteBudget(), "")
    body = StreamedBody(Body(b'{"content":1}\n').chunks(), message, fail, hold)
    with pytest.raises(KeyUnavailable):
        await body.prime()
    with pytest.raises(ConnectionError):
        _ = [piece async for piece in body.chunks()]
    with pytest.raises(TypeError):
        await body.read(1, hold)


def test_a_message_without_records_is_not_streamed() -> None:
    head = RequestHead("GET", "/free", None, ())
    passing = pass_request(Exchange(BOOK.decide("GET", canonical("/free")), head))

    with pytest.raises(TypeError):
        StreamedBody(None, passing, None, None)  # type: ignore[arg-type]  # nothing is looked at


HALF = b'{"content":"' + b"x" * 200_000


async def test_a_record_of_an_answer_is_counted_until_it_is_whole() -> None:
    budget = ByteBudget(1_000_000)
    async with live(b"/seal", LINES, budget=budget) as at:
        assert budget.used == RECORDS_BYTES
        at.send(HALF)
        await eventually(lambda: budget.used >= WORK_TIMES * len(HALF))  # and it is not refused
        at.send(b'"}\n')
        assert len(await at.chunk()) > len(HALF)
        at.send(b'{"content":"short"}\n')
        await at.chunk()
        assert budget.used == RECORDS_BYTES


@pytest.mark.parametrize("total", [1_000_000, 1 << 30])
async def test_a_record_of_a_request_is_counted_and_refused_where_there_is_no_room(
    total: int,
) -> None:
    budget = ByteBudget(total)
    async with (
        running(Origin()) as origin,
        proxied(
            local(origin.port), rule_table=BOOK, keys=a_world().sessions, budget=budget
        ) as ours,
        connected(ours.port) as client,
    ):
        client.send(_post(b'{"content":"short"}\n'))
        await eventually(lambda: budget.used == STREAM_BYTES)
        client.send(b"%x\r\n%b\r\n" % (len(HALF), HALF))
        if total > 1_000_000:
            await eventually(lambda: budget.used >= WORK_TIMES * len(HALF))
            client.send(b'3\r\n"}\n\r\n0\r\n\r\n')
        response = await client.response()
        assert response.status == (200 if total > 1_000_000 else 503)
    await eventually(lambda: budget.used == 0)

"""Messages of WebSockets through a rule, over real sockets: sealed, opened, refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.config.limits import Timeouts, TrafficLimits
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.errors import KeyUnavailable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.planning.exchange import Messages
from proxy.core.planning.plan import Plan
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.transform import plan_message
from proxy.core.values.key_needs import Keys, Needs
from proxy.traffic import byte_budget
from proxy.traffic.byte_budget import ByteBudget, Hold
from proxy.traffic.policy import LONG_BYTES
from proxy.traffic.slices import Slices
from proxy.traffic.websocket.frames import CLOSE, PING, TEXT, frame
from proxy.traffic.websocket.reader import Arrived, MessageReader
from tests.keys.builders import World, a_world
from tests.servers import serving
from tests.traffic.ours import HASTY, Ours, local, proxied
from tests.traffic.wire import Client, Origin, Peer, connected, eventually, get, running, talk

CANARY = "canary-7c41d0"
NAMES = Names(tenant=parse_source("const:t"), conversation=parse_source("$.cid"))
PARTS: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
CONTENT = Item(parse_selector("$.content"), "content", PARTS, optional=True)
WHOLE = Item(parse_selector("body"), "message", frozenset({"tenant", "field"}))
OPENS = Block(decrypt=(replace(CONTENT, optional=False),), names=NAMES)
RULES = (
    Rule(
        "chat",
        (parse_pattern("WS /chat"),),
        NAMES,
        request=(Block(encrypt=(CONTENT,)),),
        response=(OPENS,),
    ),
    Rule(
        "stored",
        (parse_pattern("WS /stored"),),
        NAMES,
        request=(Block(encrypt=(CONTENT,)),),
    ),
    Rule(
        "closed",
        (parse_pattern("WS /closed"),),
        NAMES,
        request=(Block(encrypt=(CONTENT,), others="refuse"),),
    ),
    Rule("opened", (parse_pattern("WS /opened"),), NAMES, response=(OPENS,)),
    Rule(
        "kept",
        (parse_pattern("WS /kept"),),
        NAMES,
        response=(replace(OPENS, keep_unopened=True),),
    ),
    Rule(
        "whole",
        (parse_pattern("WS /whole"),),
        replace(NAMES, conversation=None),
        request=(Block(encrypt=(WHOLE,)),),
        response=(Block(decrypt=(WHOLE,)),),
    ),
    Rule(
        "guarded",
        (parse_pattern("WS /guarded"),),
        NAMES,
        request=(Block(encrypt=(CONTENT,), query=frozenset()),),
    ),
)
Answer = Callable[[web.Request], Awaitable[web.WebSocketResponse]]
BOOK = RuleTable(RULES, pass_unmatched=True)


@dataclass
class Backend:
    """A backend that remembers what it got, and echoes."""

    port: int = 0
    got: list[str | bytes] = field(default_factory=list)
    codes: list[int | None] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    protocols: tuple[str, ...] = ()


@contextlib.asynccontextmanager
async def backend(*, compress: bool = True, answer: Answer | None = None) -> AsyncIterator[Backend]:
    one = Backend()

    async def echo(request: web.Request) -> web.WebSocketResponse:
        one.headers.append(dict(request.headers))
        socket = web.WebSocketResponse(protocols=("v2", "v1"), compress=compress, autoping=True)
        await socket.prepare(request)
        one.sockets.append(socket)
        async for message in socket:
            one.got.append(message.data)
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            else:
                await socket.send_bytes(message.data)
        one.codes.append(socket.close_code)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", answer or echo)
    async with serving(app, shutdown=0.1) as one.port:
        yield one


@dataclass
class Scene:
    ours: Ours
    origin: Backend
    world: World
    session: aiohttp.ClientSession

    def connect(
        self,
        path: str,
        **options: Any,  # noqa: ANN401 - what aiohttp takes
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        url = f"http://127.0.0.1:{self.ours.port}{path}"
        return self.session.ws_connect(url, **options)

    @property
    def lines(self) -> str:
        return repr(self.ours.ear.heard)


@contextlib.asynccontextmanager
async def scene(
    *,
    keys: Callable[[World], object] | None = None,
    limits: TrafficLimits | None = None,
    timeouts: Timeouts | None = None,
    compress: bool = True,
    answer: Answer | None = None,
    budget: ByteBudget | None = None,
) -> AsyncIterator[Scene]:
    world = a_world()
    source = world.sessions if keys is None else keys(world)
    async with (
        backend(compress=compress, answer=answer) as origin,
        proxied(
            local(origin.port),
            rule_table=BOOK,
            keys=source,  # type: ignore[arg-type]  # stands in for sessions
            limits=limits,
            timeouts=timeouts or HASTY,
            budget=budget,
        ) as ours,
        aiohttp.ClientSession() as session,
    ):
        yield Scene(ours, origin, world, session)


def message(text: str = CANARY, cid: str = "c1") -> str:
    return json.dumps({"cid": cid, "content": text})


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Return the code and reason that the client is told."""
    told = await asyncio.wait_for(socket.receive(), 5)
    assert told.type is aiohttp.WSMsgType.CLOSE, told
    return told.data, told.extra or ""


@pytest.mark.parametrize("compress", [0, 15])
async def test_messages_are_sealed_on_the_way_up_and_opened_on_the_way_down(compress: int) -> None:
    async with scene() as at, at.connect("/chat", compress=compress) as socket:
        for cid in ("c1", "c2", "c1"):
            await socket.send_str(message(cid=cid))
            assert json.loads((await socket.receive()).data)["content"] == CANARY
        await socket.send_bytes(message().encode())
        assert json.loads((await socket.receive()).data)["content"] == CANARY
        await socket.close(code=4000, message=b"done")
        await eventually(lambda: at.origin.codes == [4000])

    assert len(at.origin.got) == 4
    assert CANARY not in repr(at.origin.got) + at.lines
    assert all("eyJ" in repr(one) for one in at.origin.got)
    name, fields = at.ours.ear.heard[-1]
    assert (name, fields["rule"], fields["sealed"], fields["opened"]) == (
        "message.handled",
        "chat",
        4,
        4,
    )


@pytest.mark.parametrize("compress", [0, 15])
async def test_long_messages_are_sealed_in_slices_and_stay_in_their_order(compress: int) -> None:
    sizes = (LONG_BYTES, 1, LONG_BYTES + 1000, 2)
    texts = [CANARY + secrets.token_hex(size)[:size] for size in sizes]
    async with scene() as at, at.connect("/chat", compress=compress) as socket:
        for text in texts:
            await socket.send_str(message(text))
        back = [json.loads((await socket.receive()).data)["content"] for _ in texts]

    assert back == texts
    assert len(at.origin.got) == len(texts)
    assert CANARY not in repr(at.origin.got) + at.lines


@pytest.mark.parametrize(
    ("text", "long"),
    [
        (secrets.token_hex(40_000), True),  # much to inflate and to compress again
        ("a" * 80_000, True),  # much to compress again
        (secrets.token_hex(4_000), False),
    ],
    ids=["dense", "sparse", "small"],
)
@pytest.mark.parametrize("compress", [0, 15])
async def test_what_is_compressed_is_worked_at_in_slices_from_fewer_bytes_on(
    monkeypatch: pytest.MonkeyPatch,
    compress: int,
    text: str,
    long: bool,  # noqa: FBT001 - what is expected
) -> None:
    turn, found = Slices.turn, list[bool]()

    def noted(slices: Slices, *, long: bool, answer: bool = False) -> object:
        found.append(long)
        return turn(slices, long=long, answer=answer)

    monkeypatch.setattr(Slices, "turn", noted)
    async with scene() as at, at.connect("/chat", compress=compress) as socket:
        await socket.send_str(message("first"))  # brings the keys
        await socket.receive()
        found.clear()
        await socket.send_str(message(text))
        back = json.loads((await socket.receive()).data)["content"]

    assert back == text
    assert found == ([True, True] if long and compress else [])


async def test_what_inflates_beyond_the_limit_in_slices_closes_with_too_big() -> None:
    text = "".join(f"{number:08d}" for number in range(50_000))
    async with (
        scene(limits=TrafficLimits(body=200_000)) as at,
        at.connect("/chat", compress=15) as socket,
    ):
        await socket.send_str(message(CANARY + text))
        await socket.send_str(message())
        assert (await closed(socket))[0] == 1009
    assert at.origin.got == []
    assert "websocket-decompressed-size" in at.lines
    assert CANARY not in at.lines


async def test_what_came_in_front_of_a_refusal_is_sent_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = MessageReader.put
    reads: dict[int, int] = {}

    def noted(reader: MessageReader, data: bytes) -> None:
        reads[id(reader)] = reads.get(id(reader), 0) + 1
        put(reader, data)

    monkeypatch.setattr(MessageReader, "put", noted)
    cids = [f"c{number % 3}-{number}" for number in range(300)]
    sent = asyncio.Event()

    def late(world: World) -> object:
        resolve = world.sessions.resolve

        async def once_sent(needs: Needs) -> Keys:
            await sent.wait()
            return await resolve(needs)

        monkeypatch.setattr(world.sessions, "resolve", once_sent)
        return world.sessions

    async with scene(keys=late) as at, at.connect("/stored") as socket:
        await asyncio.gather(*(socket.send_str(message(cid=cid)) for cid in cids))
        await socket.send_str(message()[:-1])
        sent.set()
        async for _ in socket:
            pass  # what came back before
        assert socket.close_code == 1008
        await eventually(lambda: len(at.origin.codes) == 1)

    assert min(reads.values()) < len(cids)  # several of the client's came at once
    assert [json.loads(one)["cid"] for one in at.origin.got] == cids
    assert CANARY not in repr(at.origin.got) + at.lines


async def test_a_long_message_that_cannot_be_sealed_lets_no_other_pass() -> None:
    async with scene() as at, at.connect("/chat") as socket:
        await socket.send_str(message("x" * 2 * LONG_BYTES)[:-1])
        await socket.send_str(message())
        assert await closed(socket) == (1008, "invalid-body")
        await eventually(lambda: len(at.origin.codes) == 1)
    assert at.origin.got == []
    assert CANARY not in at.lines


async def test_whole_messages_keep_being_text_or_binary() -> None:
    async with scene() as at, at.connect("/whole") as socket:
        await socket.send_str(CANARY)
        assert (await socket.receive()).data == CANARY
        await socket.send_bytes(b"\xff" + CANARY.encode())
        assert (await socket.receive()).data == b"\xff" + CANARY.encode()
    assert [type(one) for one in at.origin.got] == [str, bytes]
    assert CANARY not in repr(at.origin.got)


@pytest.mark.parametrize(
    "sent", ["no json", '{"content":"x"}', '{"cid":"c","Content":"x"}', '{"cid":"c","content":"x"']
)
async def test_what_cannot_be_sealed_closes_both_legs_and_passes_nothing(sent: str) -> None:
    async with scene() as at, at.connect("/stored") as socket:
        await socket.send_str(message())
        await socket.receive()
        await socket.send_str(sent)
        await socket.send_str(message())
        code, reason = await closed(socket)
        await eventually(lambda: bool(at.origin.codes))
    assert code == 1008
    assert reason in {"invalid-body", "missing-value", "forbidden-value"}
    assert len(at.origin.got) == 1
    assert at.origin.codes == [1008]
    name, fields = at.ours.ear.heard[-1]
    assert (name, fields["error"], fields["direction"]) == ("message.refused", reason, "request")


async def test_a_message_with_an_unlisted_name_closes_both_legs_and_passes_nothing() -> None:
    async with scene() as at, at.connect("/closed") as socket:
        await socket.send_str(message())
        await socket.receive()
        await socket.send_str(json.dumps({"cid": "c1", "content": "a", CANARY: CANARY}))
        await socket.send_str(message())
        assert await closed(socket) == (1008, "unlisted-name")
        await eventually(lambda: at.origin.codes == [1008])
    assert len(at.origin.got) == 1
    assert CANARY not in repr(at.origin.got) + at.lines
    assert at.ours.ear.last["reason"] == "unlisted-name"


async def test_what_does_not_open_closes_both_legs_and_passes_nothing() -> None:
    async with scene() as at, at.connect("/opened") as socket:
        await socket.send_str(message())
        assert await closed(socket) == (1008, "open-failed")
        await eventually(lambda: at.origin.codes == [1008])
    assert at.ours.ear.last["direction"] == "response"


async def test_what_does_not_open_stays_where_the_rule_says_so() -> None:
    async with scene() as at, at.connect("/kept") as socket:
        await socket.send_str(message("plain"))
        assert json.loads((await socket.receive()).data)["content"] == "plain"
        await socket.close()
        await eventually(lambda: bool(at.ours.ear.heard))
    assert at.ours.ear.last["kept"] == 1


async def test_a_message_above_the_limit_closes_with_too_big() -> None:
    async with scene(limits=TrafficLimits(body=1000)) as at, at.connect("/stored") as socket:
        await socket.send_str(message("x" * 2000))
        assert (await closed(socket))[0] == 1009
        await eventually(lambda: bool(at.origin.codes))
    assert at.origin.got == []


class Cold:
    """Keys that come after a while, or never."""

    shut: frozenset[tuple[str, str]] = frozenset()

    def __init__(self, world: World, *, fails: BaseException | None = None) -> None:
        self.sessions = world.sessions
        self.go = asyncio.Event()
        self.fails = fails
        self.waiting = 0

    def resolve_warm(self, _: Needs) -> Keys | None:
        return None

    async def resolve(self, needs: Needs) -> Keys:
        self.waiting += 1
        await self.go.wait()
        if self.fails is not None:
            raise self.fails
        return await self.sessions.resolve(needs)

    def remember(self, _: object) -> None:
        return None


async def test_messages_wait_for_keys_in_their_order() -> None:
    made: list[Cold] = []

    def cold(world: World) -> Cold:
        made.append(Cold(world))
        return made[-1]

    async with scene(keys=cold) as at, at.connect("/stored") as socket:
        for at_once in range(5):
            await socket.send_str(message(str(at_once), cid=f"c{at_once}"))
        await socket.ping(b"behind them")
        await eventually(lambda: made[0].waiting == 1)
        assert at.origin.got == []
        made[0].go.set()
        for number in range(5):
            assert json.loads((await socket.receive()).data)["cid"] == f"c{number}"


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (KeyUnavailable("store"), (1013, "key-unavailable")),
        (RuntimeError(CANARY), (1011, "internal-error")),
        (MemoryError(CANARY), (1011, "internal-error")),
        (TimeoutError(CANARY), (1011, "internal-error")),
        (ConnectionResetError(CANARY), (1011, "internal-error")),
        (asyncio.CancelledError(CANARY), (1011, "internal-error")),
    ],
)
async def test_a_key_that_is_not_to_be_had_closes_both_legs(
    fails: BaseException, told: tuple[int, str]
) -> None:
    made: list[Cold] = []

    def cold(world: World) -> Cold:
        made.append(Cold(world, fails=fails))
        made[-1].go.set()
        return made[-1]

    async with scene(keys=cold) as at, at.connect("/stored") as socket:
        await socket.send_str(message())
        assert await closed(socket) == told
        await eventually(lambda: at.origin.codes == [told[0]])
    assert at.origin.got == []
    assert CANARY not in at.lines


async def test_a_client_that_leaves_while_keys_are_waited_for_sends_nothing() -> None:
    made: list[Cold] = []

    def cold(world: World) -> Cold:
        made.append(Cold(world))
        return made[-1]

    async with scene(keys=cold) as at:
        async with at.connect("/stored") as socket:
            await socket.send_str(message())
            await eventually(lambda: made[0].waiting == 1)
            connection = socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
        await eventually(lambda: bool(at.ours.ear.heard))
        assert at.origin.got == []


async def test_the_handshake_is_agreed_with_each_leg() -> None:
    async with scene() as at:
        async with at.connect("/chat", compress=15, protocols=("v1", "v2")) as socket:
            assert socket.protocol == "v1"
            assert socket.compress == 15
            await socket.send_str(message())
            assert json.loads((await socket.receive()).data)["content"] == CANARY
        async with at.connect("/chat") as socket:
            assert socket.compress == 0
    offers = [one.get("Sec-WebSocket-Extensions") for one in at.origin.headers]
    ours = "permessage-deflate; client_no_context_takeover; server_no_context_takeover;"
    assert offers == [f"{ours} client_max_window_bits", None]


async def test_a_backend_without_compression_gets_none() -> None:
    async with scene(compress=False) as at, at.connect("/chat", compress=15) as socket:
        await socket.send_str(message())
        assert json.loads((await socket.receive()).data)["content"] == CANARY


async def test_what_a_rule_forbids_in_the_handshake_is_refused_before_the_backend() -> None:
    async with scene() as at:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            async with at.connect("/guarded?token=x"):
                pass
        assert caught.value.status == 400
    assert at.origin.headers == []


async def test_a_route_with_a_rule_for_websockets_passes_other_requests() -> None:
    async with scene() as at:
        response = await talk(at.ours.port, get(b"/nothing"))
        assert response.status in {400, 426}


async def test_a_drain_says_going_away_on_both_legs() -> None:
    async with scene() as at, at.connect("/chat") as socket:
        await socket.send_str(message())
        await socket.receive()
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(at.ours.server.drain(5))
            assert (await closed(socket))[0] == 1001
            await eventually(lambda: at.origin.codes == [1001])
        assert drain.result()


@pytest.mark.parametrize("path", ["/chat", "/tunnel"])
async def test_b16_a_websocket_that_begins_with_the_drain_is_told(path: str) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def late(request: web.Request) -> web.WebSocketResponse:
        asked.set()
        await go.wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    async with scene(answer=late) as at:
        loop = asyncio.get_running_loop()
        connecting = loop.create_task(
            at.session.ws_connect(f"http://127.0.0.1:{at.ours.port}{path}")
        )
        await asked.wait()
        drain = loop.create_task(at.ours.server.drain(5))
        await eventually(lambda: at.ours.listener._clients._all_gone)  # all have been told
        go.set()
        socket = await connecting
        assert (await closed(socket))[0] == 1001
        await socket.close()
        assert await drain


SHAKE = (
    b"GET %b HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_b16_a_drain_reaches_everyone_where_a_backend_has_ended_a_websocket() -> None:
    async def cutting(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        if request.path == "/stored":
            assert request.transport is not None
            request.transport.close()  # and says nothing
        return socket

    timeouts = replace(HASTY, linger=2.0)
    async with (
        scene(answer=cutting, timeouts=timeouts) as at,
        connected(at.ours.port) as first,
        at.connect("/chat") as second,
    ):
        first.send(SHAKE % b"/stored")
        await first.until(b"\r\n\r\n")
        first.send(frame(TEXT, message().encode(), masked=True))
        assert await first.rest() == b""
        drain = asyncio.get_running_loop().create_task(at.ours.server.drain(5))
        assert (await closed(second))[0] == 1001
        await second.close()
        assert await drain


async def test_b13_what_came_before_the_end_of_a_client_goes_before_it() -> None:
    """All of it before the upstream has agreed, as a client may send that is in a hurry."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    got = bytearray()

    async def switching(peer: Peer, _: Origin) -> None:
        await peer.request()
        await asyncio.sleep(0.1)
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
        )
        got.extend(await peer.reader.read())

    for path in (b"/chat", b"/tunnel"):
        origin = Origin(switching)
        async with (
            running(origin),
            proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
            connected(ours.port) as client,
        ):
            client.send(SHAKE % path + frame(PING, b"early", masked=True))
            client.writer.write_eof()
            await client.rest()
        reader = MessageReader(masked=True, limit=100, deflate=False)
        reader.put(bytes(got))
        arrived = reader.next()
        assert arrived is not None
        assert arrived.opcode == PING  # what it carries need not go on
        got.clear()
    assert unhandled == []


async def test_many_frames_of_a_message_leave_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames, most = 0, 0
    read_payload = MessageReader._read_payload

    def counted(reader: MessageReader) -> bool:
        nonlocal frames, most
        frames += 1
        most = max(most, frames)
        return read_payload(reader)

    async def turns() -> None:
        nonlocal frames
        while True:
            frames = 0
            await asyncio.sleep(0)

    monkeypatch.setattr(MessageReader, "_read_payload", counted)
    text = message().encode()
    parts = [frame(0, text[at : at + 1], masked=True) for at in range(1, len(text))]
    parts = [frame(TEXT, text[:1], masked=True), *[frame(0, b"", masked=True)] * 5000, *parts]
    raw = b"".join(bytes((one[0] & 0x7F,)) + one[1:] for one in parts[:-1]) + parts[-1]
    async with scene() as at, at.connect("/stored") as socket, asyncio.TaskGroup() as group:
        connection = socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        others = group.create_task(turns())
        connection.transport.write(raw)
        await eventually(lambda: len(at.origin.got) == 1)
        others.cancel()

    assert CANARY not in repr(at.origin.got) + at.lines
    assert most <= 4 * 64


@pytest.mark.parametrize("path", ["/stored", "/whole"])
async def test_many_messages_that_come_together_leave_others_their_turn(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    turn = 0
    taken: Counter[tuple[int, int]] = Counter()
    take = MessageReader.next

    def counted(reader: MessageReader) -> Arrived | None:
        arrived = take(reader)
        taken[id(reader), turn] += arrived is not None
        return arrived

    async def turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(MessageReader, "next", counted)
    many = 1000
    texts = (message(f"{CANARY} {number}").encode() for number in range(many))
    frames = [frame(TEXT, one, masked=True) for one in texts]
    async with scene() as at, at.connect(path) as socket, asyncio.TaskGroup() as group:
        await socket.send_str(message("warm"))
        await socket.receive()
        connection = socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        others = group.create_task(turns())
        connection.transport.write(b"".join([*frames, frame(CLOSE, b"\x0f\xa0", masked=True)]))
        await eventually(lambda: at.origin.codes == [4000])
        others.cancel()

    assert len(at.origin.got) == 1 + many
    assert CANARY not in repr(at.origin.got) + at.lines
    assert max(taken.values()) <= 4 * 64  # between two turns of the other, it is read up to thrice
    assert at.ours.ear.all("message.handled")[-1]["sealed"] == 1 + many


async def test_many_messages_pass_in_their_order_before_the_end_of_their_client() -> None:
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    got = bytearray()

    async def switching(peer: Peer, _: Origin) -> None:
        await peer.request()
        await asyncio.sleep(0.1 if early else 0)
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
        )
        got.extend(await peer.reader.read())

    many = [json.dumps({"cid": "c1", "n": number}).encode() for number in range(300)]
    sent = b"".join(frame(TEXT, one, masked=True) for one in many)
    for early in (True, False):
        async with (
            running(Origin(switching)) as origin,
            proxied(local(origin.port), rule_table=BOOK, keys=a_world().sessions) as ours,
            connected(ours.port) as client,
        ):
            client.send(SHAKE % b"/stored" + (sent if early else b""))
            if not early:
                await client.until(b"\r\n\r\n")
                client.send(sent)
            client.writer.write_eof()
            await client.rest()
            await eventually(lambda: bool(ours.ear.heard))
        reader = MessageReader(masked=True, limit=100, deflate=False)
        reader.put(bytes(got))
        assert [one.payload for one in iter(reader.next, None)] == many
        got.clear()
    assert unhandled == []


async def test_a_drain_ends_many_messages_that_come_together() -> None:
    async with scene() as at, at.connect("/stored") as socket:
        await socket.send_str(message("warm"))
        await socket.receive()
        connection = socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        one = frame(TEXT, message().encode(), masked=True)
        connection.transport.write(one * 2000)
        await eventually(lambda: len(at.origin.got) > 1)
        await at.ours.server.drain(5.0)
        await eventually(lambda: at.origin.codes == [1001])

    assert CANARY not in repr(at.origin.got) + at.lines


async def test_a_silent_websocket_ends_in_time() -> None:
    timeouts = replace(HASTY, tunnel=0.3)
    async with scene(timeouts=timeouts) as at, at.connect("/chat") as socket:
        assert await closed(socket) == (1001, "")
        await eventually(lambda: at.origin.codes == [1001])


async def test_a_backend_that_closes_is_heard() -> None:
    async with scene() as at, at.connect("/chat") as socket:
        await socket.send_str(message())
        await socket.receive()
        await at.origin.sockets[0].close(code=3001, message=b"enough")
        assert await closed(socket) == (3001, "enough")


async def test_pings_pass_both_ways() -> None:
    async with scene() as at, at.connect("/chat", autoping=False) as socket:
        await socket.ping(b"are you there")
        told = await asyncio.wait_for(socket.receive(), 5)
        assert (told.type, bytes(told.data)) == (aiohttp.WSMsgType.PONG, b"are you there")
        await at.origin.sockets[0].ping(b"and you")
        told = await asyncio.wait_for(socket.receive(), 5)
        assert (told.type, bytes(told.data)) == (aiohttp.WSMsgType.PING, b"and you")


@pytest.mark.parametrize("watched", [False, True])
async def test_warm_messages_go_a_way_without_a_plan_unless_somebody_watches(
    monkeypatch: pytest.MonkeyPatch, *, watched: bool
) -> None:
    planned = []

    def counted(messages: Messages, payload: bytes, *, binary: bool) -> Plan:
        planned.append(messages.direction)
        return plan_message(messages, payload, binary=binary)

    monkeypatch.setattr("proxy.traffic.exchange.steps.plan_message", counted)
    async with scene() as at, at.connect("/chat") as socket:
        if watched:
            at.ours.tap.look()
        for _ in range(5):
            await socket.send_str(message())
            assert json.loads((await socket.receive()).data)["content"] == CANARY

    assert planned == (["request", "response"] * 5 if watched else ["request"])
    assert len({json.loads(one)["content"] for one in at.origin.got}) == 5
    assert CANARY not in repr(at.origin.got) + at.lines
    assert at.ours.ear.all("message.handled")[-1]["sealed"] == 5


async def test_what_a_way_leaves_is_refused_as_ever() -> None:
    async with scene() as at, at.connect("/chat") as socket:
        for _ in range(2):
            await socket.send_str(message())
            assert json.loads((await socket.receive()).data)["content"] == CANARY
        await socket.send_str(message()[:-1] + f', "content": "{CANARY}"}}')

        code, _ = await closed(socket)

    assert code == 1008
    assert len(at.origin.got) == 2
    assert CANARY not in repr(at.origin.got) + at.lines


async def pouring(request: web.Request) -> web.WebSocketResponse:
    """Send a long message once asked, and wait."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.receive()
    with contextlib.suppress(ConnectionError):
        await socket.send_str("x" * 8_000_000)
    await socket.receive()
    return socket


@contextlib.asynccontextmanager
async def unread(at: Scene) -> AsyncIterator[Client]:
    """Yield a client that does not read the long message for which it has asked."""
    async with connected(at.ours.port) as client:
        client.send(SHAKE % b"/stored")
        await client.until(b"\r\n\r\n")
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it reads as well
        client.send(frame(TEXT, message().encode(), masked=True))
        yield client


async def test_what_a_client_does_not_read_is_counted_until_it_does() -> None:
    budget = ByteBudget(1 << 30)
    async with scene(answer=pouring, budget=budget) as at, unread(at) as client:
        await asyncio.sleep(0.5)  # the system has taken what it takes
        assert budget.used > 1_000_000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]  # as above
        assert len(await asyncio.wait_for(client.reader.readexactly(8_000_010), 5)) == 8_000_010
        await eventually(lambda: not (budget.used or budget.watched))


async def test_a_client_that_reads_nothing_is_given_up_while_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(byte_budget, "MEMORY_SECONDS", 0.5)
    monkeypatch.setattr(byte_budget, "LOOK_SECONDS", 0.05)
    budget = ByteBudget(60_000_000)
    async with scene(answer=pouring, budget=budget) as at, unread(at):
        await asyncio.sleep(0.5)
        assert budget.used
        other = Hold(budget, "other")
        await asyncio.wait_for(other.reach(60_000_000, answer=True, passes=True), 10)
        await eventually(lambda: budget.used == 60_000_000)

"""config/examples/socketio.yaml in front of a backend that speaks Engine.IO 4 and Socket.IO 5."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web

from proxy.config.load import load
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.rules.model import Rule, Verdict
from tests.factories import a_block, a_rule
from tests.keys.builders import a_world
from tests.scenarios.rig import ROOT
from tests.servers import serving
from tests.traffic.ours import local, proxied
from tests.traffic.wire import eventually

CANARY = "canary-51e0aa"
EXAMPLE = ROOT / "config" / "examples" / "socketio.yaml"
OPEN = '0{"sid":"s1","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}'


@dataclass
class Room:
    """What the backend was told, and what waits for those who poll."""

    port: int = 0
    chunked: bool = False
    closes: bool = False
    events: list[list[object]] = field(default_factory=list)
    attached: list[bytes] = field(default_factory=list)
    waiting: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def answers(self, packet: str) -> list[str]:
        """Take a packet of Engine.IO; return what it is answered with."""
        if packet == "2probe":
            return ["3probe"]
        if packet.startswith("40"):
            return ['40{"sid":"n1"}']
        if packet.startswith("b"):
            self.attached.append(base64.b64decode(packet[1:]))
        if not packet.startswith(("42", "451-")):
            return []
        head, bracket, rest = packet.partition("[")
        name, message = json.loads(bracket + rest)
        self.events.append([name, message])
        if head.startswith("45"):
            return []
        answers = ["42" + json.dumps([name.replace("send", "new"), message])]
        if number := head.removeprefix("42"):
            answers.append(f'43{number}["stored"]')
        return answers


async def over_websocket(request: web.Request, room: Room) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    if "sid" not in request.query:
        await answer.send_str(OPEN)
    async for message in answer:
        if message.type is aiohttp.WSMsgType.BINARY:
            room.attached.append(message.data)
            continue
        for packet in room.answers(message.data):
            await answer.send_str(packet)
    return answer


@contextlib.asynccontextmanager
async def backend() -> AsyncIterator[Room]:
    room = Room()

    async def poll(request: web.Request) -> web.StreamResponse:
        assert request.query["EIO"] == "4"
        if request.query["transport"] == "websocket":
            return await over_websocket(request, room)
        sid = request.query.get("sid")
        if request.method == "POST":
            for packet in (await request.text()).split("\x1e"):
                room.waiting[sid or ""] += room.answers(packet)
            answer = web.Response(text="ok", content_type="text/html")
        elif sid is None:
            answer = web.Response(text=OPEN)
        else:
            packets, room.waiting[sid] = room.waiting[sid], []
            answer = web.Response(text="\x1e".join(packets or ["6"]))
        if room.chunked:
            answer.enable_chunked_encoding()
        if room.closes:
            answer.force_close()
        return answer

    app = web.Application()
    app.router.add_route("*", "/socket.io/", poll)
    async with serving(app, shutdown=0.1) as room.port:
        yield room


def opened(rule: Rule) -> Rule:
    if isinstance(rule.request, Verdict):
        return rule
    return replace(rule, request=tuple(replace(one, others="pass") for one in rule.request))


@contextlib.asynccontextmanager
async def chat(*, closed: bool = True) -> AsyncIterator[tuple[Room, aiohttp.ClientSession, str]]:
    """Run the example; not `closed`, members that it does not list pass, and their attachments."""
    (listener,) = load(EXAMPLE, {}).settings.listeners
    rules = listener.rules if closed else tuple(map(opened, listener.rules))
    book = RuleTable(rules, pass_unmatched=listener.pass_unmatched)
    async with (
        backend() as room,
        proxied(local(room.port), rule_table=book, keys=a_world().sessions) as ours,
        aiohttp.ClientSession() as session,
    ):
        yield room, session, f"http://127.0.0.1:{ours.port}/socket.io/?EIO=4&transport="
        assert CANARY not in repr(ours.ear.heard)
    assert CANARY not in repr(room.events)


def sending(content: str = CANARY, name: str = "message:send") -> str:
    return json.dumps([name, {"conversationId": "c1", "content": content}])


async def heard(socket: aiohttp.ClientWebSocketResponse) -> str:
    text: str = (await asyncio.wait_for(socket.receive(), 20)).data
    return text


async def test_events_are_sealed_and_opened_over_a_websocket() -> None:
    async with chat() as (room, session, url), session.ws_connect(url + "websocket") as socket:
        assert await heard(socket) == OPEN
        await socket.send_str("40")
        assert await heard(socket) == '40{"sid":"n1"}'
        await socket.send_str("427" + sending())
        assert json.loads((await heard(socket))[2:])[1]["content"] == CANARY
        assert await heard(socket) == '437["stored"]'
        await socket.send_str('42["typing",{"conversationId":"c1"}]')
        assert await heard(socket) == '42["typing", {"conversationId": "c1"}]'
    assert str(room.events[0][1]).count("eyJ0eXAiOiJzeTEi") == 1


async def in_chunks(text: str) -> AsyncIterator[bytes]:
    for at in range(0, len(text), 20):
        yield text[at : at + 20].encode()


@pytest.mark.parametrize("chunked", [False, True])
async def test_events_are_sealed_and_opened_over_polls(
    chunked: bool,  # noqa: FBT001 - a parameter
) -> None:
    async with chat() as (room, session, url):
        room.chunked = chunked
        async with session.get(url + "polling") as opening:
            assert await opening.text() == OPEN
        packets = f"40\x1e42{sending()}\x1e42{sending('two')}"
        async with session.post(
            url + "polling&sid=s1", data=in_chunks(packets) if chunked else packets
        ) as posted:
            assert (posted.status, await posted.text()) == (200, "ok")
        async with session.get(url + "polling&sid=s1") as polled:
            connected, first, second = (await polled.text()).split("\x1e")
    assert connected == '40{"sid":"n1"}'
    assert json.loads(first[2:])[1]["content"] == CANARY
    assert json.loads(second[2:])[1]["content"] == "two"
    assert len(room.events) == 2


async def test_attachments_pass_behind_their_event_and_nowhere_else() -> None:
    async with (
        chat(closed=False) as (room, session, url),
        session.ws_connect(url + "websocket") as socket,
    ):
        await heard(socket)
        place = {"_placeholder": True, "num": 0}
        event = ["message:send", {"conversationId": "c1", "content": CANARY, "file": place}]
        await socket.send_str("451-" + json.dumps(event))
        await socket.send_bytes(b"\x00\x01")
        await eventually(lambda: room.attached == [b"\x00\x01"])
        await socket.send_bytes(b"\x00\x02")
        told = await asyncio.wait_for(socket.receive(), 20)
        assert (told.type, told.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert room.attached == [b"\x00\x01"]


PLACE = {"_placeholder": True, "num": 0}


@pytest.mark.parametrize("closes", [False, True])
async def test_a_packet_settles_once_whether_a_connection_is_idle_or_not(
    closes: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Planned again after it has settled, a packet would stand where its attachment must."""
    async with chat(closed=False) as (room, session, url):
        room.closes = closes
        polling = url + "polling&sid=s1"
        event = ["message:send", {"conversationId": "c1", "content": CANARY, "file": PLACE}]
        packets = [f"42{sending()}"]  # from here on, its key is at hand
        packets += [f"451-{json.dumps(event)}", "bAAE=", f"451-{json.dumps(event)}", "bAAI="]
        for packet in packets:
            async with session.post(polling, data=packet) as posted:
                assert (posted.status, await posted.text()) == (200, "ok")
        async with session.post(polling, data="bAAM=") as posted:
            assert posted.status == 400
    assert room.attached == [b"\x00\x01", b"\x00\x02"]
    assert len(room.events) == 3


@pytest.mark.parametrize("closes", [False, True])
async def test_what_is_answered_settles_once_where_the_request_passes_unread(
    closes: bool,  # noqa: FBT001 - a parameter
) -> None:
    opening = replace(a_block(decrypt=["$[1].content"]), format="socketio", keep_unopened=True)
    book = RuleTable((a_rule("GET /socket.io/", response=opening),), pass_unmatched=True)
    packet = f'451-["sent",{json.dumps({"conversationId": "c1", "file": PLACE})}]'
    async with (
        backend() as room,
        proxied(local(room.port), rule_table=book, keys=a_world().sessions) as ours,
        aiohttp.ClientSession() as session,
    ):
        room.closes = closes
        url = f"http://127.0.0.1:{ours.port}/socket.io/?EIO=4&transport=polling&sid=s1"
        for answer in (packet, "bAAE=", packet, "bAAI="):
            room.waiting["s1"] = [answer]
            async with session.get(url) as polled:
                assert (polled.status, await polled.text()) == (200, answer)
        room.waiting["s1"] = ["bAAM="]
        async with session.get(url) as polled:
            assert polled.status == 502


@pytest.mark.parametrize(
    "packet",
    [
        '42["message:send",{"conversationId":"c1"}]',
        '451-["message:send",{"conversationId":"c1","content":{"_placeholder":true,"num":0}}]',
        f"29:42{sending()}",
        "hello",
    ],
)
async def test_what_cannot_be_sealed_is_refused_on_both_transports(packet: str) -> None:
    async with chat() as (room, session, url):
        async with session.post(url + "polling&sid=s1", data=packet) as posted:
            assert posted.status == 400
        async with session.ws_connect(url + "websocket") as socket:
            await heard(socket)
            await socket.send_str(packet)
            told = await asyncio.wait_for(socket.receive(), 20)
            assert (told.type, told.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert room.events == []

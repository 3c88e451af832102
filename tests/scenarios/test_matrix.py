"""config/examples/matrix.yaml and matrix-room-bound.yaml before a home server in small."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from proxy.core.crypto import sealed_stream
from tests.scenarios.examples import Scene, example

V3 = "/_matrix/client/v3"
ROOM, OTHER = "!meeting:home.example", "!lobby:home.example"


@dataclass
class HomeServer:
    """Keeps events by room and media by id, and answers in the envelopes of its API."""

    rooms: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    media: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    typing: list[bytes] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def routes(self) -> list[web.RouteDef]:
        room = V3 + "/rooms/{room}"
        media = "/media/download/{server}/{id}"
        return [
            web.put(room + "/send/{type}/{txn}", self.send),
            web.get(room + "/messages", self.messages),
            web.get(room + "/context/{event}", self.context),
            web.put(room + "/typing/{user}", self.types),
            web.get(V3 + "/sync", self.sync),
            web.post("/_matrix/media/v3/upload", self.upload),
            web.get("/_matrix/client/v1" + media, self.download),
            web.get("/_matrix/media/v3/download/{server}/{id}", self.download),
        ]

    async def send(self, request: web.Request) -> web.Response:
        at = request.match_info
        number = next(self.numbers)
        event = {
            "type": at["type"],
            "room_id": at["room"],
            "sender": "@ada:home.example",
            "event_id": f"$event{number}",
            "origin_server_ts": 1_790_000_000_000 + number,
            "content": await request.json(),
            "unsigned": {"transaction_id": at["txn"]},
        }
        self.rooms.setdefault(at["room"], []).append(event)
        return web.json_response({"event_id": event["event_id"]})

    async def messages(self, request: web.Request) -> web.Response:
        events = self.rooms.get(request.match_info["room"], [])
        return web.json_response({"start": "t9", "end": "t0", "chunk": events[::-1], "state": []})

    async def context(self, request: web.Request) -> web.Response:
        events = self.rooms[request.match_info["room"]]
        at = [one["event_id"] for one in events].index(request.match_info["event"])
        around = {"events_before": events[:at][::-1], "events_after": events[at + 1 :]}
        return web.json_response({"event": events[at], "start": "t0", "end": "t9", **around})

    async def sync(self, _: web.Request) -> web.Response:
        joined = {
            room: {
                "timeline": {"events": events, "limited": False, "prev_batch": "t0"},
                "ephemeral": {"events": [{"type": "m.typing", "content": {"user_ids": []}}]},
            }
            for room, events in self.rooms.items()
        }
        return web.json_response({"next_batch": "s9", "rooms": {"join": joined, "invite": {}}})

    async def types(self, request: web.Request) -> web.Response:
        self.typing.append(await request.read())
        return web.json_response({})

    async def upload(self, request: web.Request) -> web.Response:
        name = f"media{next(self.numbers)}"
        self.media[name] = request.headers["Content-Type"], await request.read()
        return web.json_response({"content_uri": f"mxc://home.example/{name}"})

    async def download(self, request: web.Request) -> web.Response:
        kind, body = self.media[request.match_info["id"]]
        return web.Response(body=body, headers={"Content-Type": kind})


@dataclass
class Chat:
    scene: Scene
    home: HomeServer

    async def send(self, content: object, room: str = ROOM, txn: str = "m1") -> str:
        path = f"{V3}/rooms/{quote(room, safe='')}/send/m.room.message/{txn}"
        event: str = (await self.scene.ask("PUT", path, content))["event_id"]
        return event

    async def messages(self, room: str = ROOM) -> Any:  # noqa: ANN401 - JSON
        answer = await self.scene.ask("GET", f"{V3}/rooms/{room}/messages?dir=b")
        assert answer.keys() == {"start", "end", "chunk", "state"}
        return [event["content"] for event in answer["chunk"]]

    async def synced(self) -> dict[str, list[Any]]:
        answer = await self.scene.ask("GET", f"{V3}/sync?since=s0&timeout=0")
        assert answer["next_batch"] == "s9"
        return {
            room: [event["content"] for event in joined["timeline"]["events"]]
            for room, joined in answer["rooms"]["join"].items()
        }


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    home = HomeServer()
    async with example(tmp_path, "matrix.yaml", home.routes()) as scene:
        yield Chat(scene, home)


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Chat]:
    home = HomeServer()
    async with example(tmp_path, "matrix-room-bound.yaml", home.routes()) as scene:
        yield Chat(scene, home)


def text(body: str) -> dict[str, object]:
    return {"msgtype": "m.text", "body": body}


async def test_a_message_is_held_sealed_and_read_in_every_envelope(chat: Chat) -> None:
    canary = chat.scene.canary
    content = {**text(canary), "format": "org.matrix.custom.html", "formatted_body": canary}
    sent = json.dumps(content, indent=3).encode()

    event = await chat.send(sent)

    assert chat.scene.opened() == sent
    assert chat.scene.kept.bodies[-1].count(b"eyJ0eXAiOiJzeTEi") == 2
    assert await chat.messages() == [content]
    assert await chat.synced() == {ROOM: [content]}
    context = await chat.scene.ask("GET", f"{V3}/rooms/{quote(ROOM)}/context/{quote(event)}")
    assert context["event"]["content"] == content


async def test_an_edit_is_sealed_as_its_fallback_is(chat: Chat) -> None:
    canary = chat.scene.canary
    first = await chat.send(text(canary))
    edit = {
        **text(f"* {canary}"),
        "m.new_content": {**text(canary), "formatted_body": canary},
        "m.relates_to": {"rel_type": "m.replace", "event_id": first},
    }

    await chat.send(edit, txn="m2")

    assert chat.home.rooms[ROOM][1]["content"]["m.relates_to"] == edit["m.relates_to"]
    assert await chat.messages() == [edit, text(canary)]


async def test_a_reaction_is_sealed_and_what_holds_no_message_passes(chat: Chat) -> None:
    key = chat.scene.canary
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$e", "key": key}}
    path = f"{V3}/rooms/{quote(ROOM)}"
    await chat.scene.ask("PUT", f"{path}/send/m.reaction/r1", reaction)
    assert await chat.messages() == [reaction]

    typing = b'{ "typing":true,  "timeout": 30000}'
    await chat.scene.ask("PUT", f"{path}/typing/@ada:home.example", typing)
    assert chat.home.typing == [typing]


@pytest.mark.parametrize("content", [b'{"msgtype":"m.text"}', b"[]", b"{"])
async def test_a_message_without_a_text_is_refused(chat: Chat, content: bytes) -> None:
    path = f"{V3}/rooms/{quote(ROOM)}/send/m.room.message/m1"
    headers = {"Content-Type": "application/json"}
    assert await chat.scene.status("PUT", path, data=content, headers=headers) == (400, 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{V3}/rooms/!a:b/send/clinic.note/m1"),
        ("PUT", f"{V3}/rooms/!a:b/state/clinic.note"),
        ("PUT", f"{V3}/user/@ada:home.example/account_data/clinic.note"),
        ("POST", "/_synapse/admin/v1/send_server_notice"),
        ("PUT", "/_matrix/client/api/v1/rooms/!a:b/state/m.room.topic"),
    ],
)
async def test_what_no_rule_names_is_refused(chat: Chat, method: str, path: str) -> None:
    assert await chat.scene.status(method, path, json={"body": chat.scene.canary}) == (403, 0)


@pytest.mark.parametrize(
    ("size", "kind"), [(0, "application/jose"), (200_000, sealed_stream.MEDIA_TYPE)]
)
async def test_media_are_sealed_in_the_store_and_themselves_for_clients(
    chat: Chat, size: int, kind: str
) -> None:
    picture = chat.scene.canary.encode() + bytes(size)
    upload = "/_matrix/media/v3/upload"
    headers = {"Content-Type": "image/png"}

    answer = await chat.scene.ask("POST", upload, None, data=picture, headers=headers)

    name = answer["content_uri"].removeprefix("mxc://home.example/")
    assert chat.home.media[name][0] == kind
    assert len(chat.home.media[name][1]) > len(picture)
    for place in ("/_matrix/client/v1/media/download", "/_matrix/media/v3/download"):
        async with chat.scene.client.get(f"{place}/home.example/{name}") as response:
            assert (response.status, await response.read()) == (200, picture)
            assert response.content_type == "image/png"


async def test_names_of_files_are_sealed_and_thumbnails_of_ciphertext_refused(chat: Chat) -> None:
    upload = f"/_matrix/media/v3/upload?filename={chat.scene.canary}.png"
    assert await chat.scene.status("POST", upload, data=b"picture") == (200, 1)
    thumbnail = "/_matrix/client/v1/media/thumbnail/home.example/media1?width=9&height=9"
    assert await chat.scene.status("GET", thumbnail) == (403, 0)


async def test_a_room_is_one_however_its_name_is_written(strict: Chat) -> None:
    content = text(strict.scene.canary)
    await strict.send(content)

    for spelling in (ROOM, quote(ROOM, safe=""), ROOM.replace("!", "%21")):
        assert await strict.messages(spelling) == [content]
    assert await strict.synced() == {ROOM: [content]}


async def test_what_is_sealed_in_one_room_opens_in_no_other(strict: Chat) -> None:
    await strict.send(text(strict.scene.canary))
    await strict.send(text(strict.scene.canary + " too"), OTHER, "m2")
    (there,) = strict.home.rooms[ROOM]
    strict.home.rooms[OTHER].append(there)

    own = text(strict.scene.canary + " too")
    assert await strict.synced() == {
        ROOM: [text(strict.scene.canary)],
        OTHER: [own, there["content"]],
    }
    assert await strict.messages(OTHER) == [there["content"], own]
    assert strict.scene.canary not in str(there["content"])

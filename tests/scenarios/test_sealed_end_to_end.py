"""config/examples/end-to-end.yaml: what a message is sealed for, its recipients alone open."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.scenarios.end_to_end import a_jwt
from tests.scenarios.examples import SEALED, Scene, example
from tests.scenarios.rig import TOKEN

API = "/api/v1/enhanced-messages"


@dataclass
class Messages:
    """Keeps the messages of groups, and answers with a page of a conversation."""

    kept: list[dict[str, Any]] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{API}/group", self.send),
            web.get(f"{API}/history", self.history),
            web.post(f"{API}/seen", self.seen),
        ]

    async def send(self, request: web.Request) -> web.Response:
        self.kept.append({"id": f"m{len(self.kept)}", **await request.json()})
        return web.json_response({"success": True, "data": {"id": self.kept[-1]["id"]}}, status=201)

    async def history(self, request: web.Request) -> web.Response:
        wanted = request.query["conversationId"]
        found = [one for one in self.kept if one["conversationId"] == wanted]
        page = {"messages": found, "pagination": {"page": 1, "total": len(found)}}
        return web.json_response({"success": True, "data": page})

    async def seen(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})


@dataclass
class Group:
    scene: Scene
    messages: Messages

    async def enrol(self, **uses: str) -> None:
        """Have the admin API make keys for participants whom this Sealyard stands beside."""
        base = f"http://127.0.0.1:{self.scene.ours.admin}/v1/participants"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for who, use in ((who, use) for who, several in uses.items() for use in several.split()):
            body = {"use": use, "under": "keyring"}
            url = f"{base}/{who}/keys"
            async with self.scene.client.post(url, json=body, headers=headers) as response:
                assert response.status == 201, await response.text()

    def message(self, *recipients: str, conversation: str = "c1") -> dict[str, object]:
        return {
            "conversationId": conversation,
            "recipients": [{"id": one} for one in recipients],
            "content": self.scene.canary,
            "priority": "high",
        }

    async def send(self, who: str, message: object) -> None:
        sent = json.dumps(message, indent=2).encode()
        answer = await self.scene.ask("POST", f"{API}/group", sent, headers=bearer(who))
        assert answer["success"] is True
        assert self.scene.opened() == sent

    async def contents(self, who: str, conversation: str = "c1") -> list[str]:
        path = f"{API}/history?conversationId={conversation}"
        answer = await self.scene.ask("GET", path, headers=bearer(who))
        return [one["content"] for one in answer["data"]["messages"]]


def bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {a_jwt(who)}"}


@pytest.fixture
async def group(tmp_path: Path) -> AsyncIterator[Group]:
    messages = Messages()
    async with example(tmp_path, "end-to-end.yaml", messages.routes()) as scene:
        yield Group(scene, messages)


async def test_recipients_read_and_others_see_the_token(group: Group) -> None:
    await group.enrol(alice="sig enc", bob="enc", eve="enc")
    await group.send("alice", group.message("alice", "bob"))

    assert await group.contents("bob") == [group.scene.canary]
    assert await group.contents("alice") == [group.scene.canary]
    (token,) = await group.contents("eve")
    assert SEALED.fullmatch(token.encode())


async def test_a_message_that_was_put_into_another_conversation_stays_sealed(group: Group) -> None:
    await group.enrol(alice="sig", bob="enc")
    await group.send("alice", group.message("bob"))
    group.messages.kept.append({**group.messages.kept[0], "conversationId": "c2"})

    (token,) = await group.contents("bob", "c2")
    assert SEALED.fullmatch(token.encode())


@pytest.mark.parametrize(
    ("who", "recipients", "status"),
    [("alice", ("nobody",), 503), ("stranger", ("bob",), 503), ("alice", (), 400)],
)
async def test_nothing_goes_out_for_or_from_who_has_no_keys(
    group: Group, who: str, recipients: tuple[str, ...], status: int
) -> None:
    await group.enrol(alice="sig", bob="enc")
    answer = await group.scene.status(
        "POST", f"{API}/group", json=group.message(*recipients), headers=bearer(who)
    )
    assert answer == (status, 0)


async def test_without_a_token_nobody_sends(group: Group) -> None:
    status = await group.scene.status("POST", f"{API}/group", json=group.message("bob"))
    assert status == (400, 0)


async def test_what_holds_no_message_passes_as_it_is(group: Group) -> None:
    seen = b'{ "id" : "m0",  "content": "as it is" }'
    await group.scene.ask("POST", f"{API}/seen", seen)
    assert group.scene.kept.bodies[-1] == seen

"""config/examples/clinic.yaml before a message API that copies its values about."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from werkzeug.formparser import parse_form_data

from proxy.core.crypto import base64url, sealed_stream
from tests.scenarios.examples import SEALED, Scene, example

OLD, API = "/api/v1/messages", "/api/v1/enhanced-messages"


def bearer(who: str, org: str = "north") -> dict[str, str]:
    claims = base64url.encode(json.dumps({"sub": who, "org": org}).encode()).decode()
    return {"Authorization": f"Bearer e30.{claims}.c2ln"}


@dataclass
class Messages:
    """Keeps messages, copies subjects into replies and whole messages into jobs, and lists all."""

    kept: list[dict[str, Any]] = field(default_factory=list)
    files: list[tuple[str, str, bytes]] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(OLD, self.send),
            web.post(OLD + "/{id}/reply", self.reply),
            web.get(OLD + "/inbox", self.page),
            web.post(API + "/direct", self.send),
            web.post(API + "/group", self.send),
            web.post(API + "/upload", self.upload),
            web.get(API + "/history", self.page),
            web.get(API + "/jobs/failed", self.jobs),
            web.put(API + "/{id}", self.edit),
            web.post(API + "/{id}/read", self.read),
        ]

    def _keep(self, message: dict[str, Any]) -> web.Response:
        self.kept.append({"id": f"m{len(self.kept)}", **message})
        return web.json_response({"success": True, "data": self.kept[-1]}, status=201)

    async def send(self, request: web.Request) -> web.Response:
        return self._keep(await request.json())

    async def reply(self, request: web.Request) -> web.Response:
        (first,) = (one for one in self.kept if one["id"] == request.match_info["id"])
        subject = f"Re: {first['subject']}"
        assert len(subject) <= 255
        answered = f"{first['content']}\n> {(await request.json())['content']}"
        return self._keep({"subject": subject, "content": answered, "parentId": first["id"]})

    async def edit(self, request: web.Request) -> web.Response:
        (found,) = (one for one in self.kept if one["id"] == request.match_info["id"])
        found.update(await request.json())
        return web.json_response({"success": True, "data": found})

    async def page(self, _: web.Request) -> web.Response:
        pagination = {"page": 1, "limit": 50, "total": len(self.kept)}
        data = {"messages": self.kept[::-1], "pagination": pagination}
        return web.json_response({"success": True, "data": data})

    async def jobs(self, _: web.Request) -> web.Response:
        jobs = [{"name": "deliver", "data": json.dumps(one), "attempts": 3} for one in self.kept]
        return web.json_response({"success": True, "data": jobs})

    async def upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        of = {"CONTENT_TYPE": request.headers["Content-Type"], "CONTENT_LENGTH": str(len(body))}
        _, form, files = parse_form_data({"wsgi.input": io.BytesIO(body), **of})
        for one in files.getlist("files"):
            self.files.append((one.filename or "", one.content_type or "", one.read()))
            one.close()
        told = [{"fileName": name, "size": len(data)} for name, _, data in self.files]
        return self._keep({**form.to_dict(), "attachments": told})

    async def read(self, _: web.Request) -> web.Response:
        return web.json_response({"success": True})


@dataclass
class Clinic:
    scene: Scene
    messages: Messages

    async def send(self, path: str, who: str = "ada", method: str = "POST", **more: object) -> Any:  # noqa: ANN401 - JSON
        """Send a message; only the canary in it may be sealed."""
        sent = json.dumps(more, indent=2).encode()
        answer = await self.scene.ask(method, path, sent, headers=bearer(who))
        assert self.scene.opened() == sent
        return answer["data"]

    async def read(self, path: str, org: str = "north") -> Any:  # noqa: ANN401 - JSON
        return (await self.scene.ask("GET", path, headers=bearer("bob", org)))["data"]


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[Clinic]:
    messages = Messages()
    async with example(tmp_path, "clinic.yaml", messages.routes()) as scene:
        yield Clinic(scene, messages)


async def test_each_way_to_send_is_sealed_and_every_list_opened(clinic: Clinic) -> None:
    canary = clinic.scene.canary
    first = await clinic.send(OLD, content=canary, subject=canary, receiverId="bob")
    await clinic.send(f"{API}/direct", content=canary, recipientId="bob")
    await clinic.send(f"{API}/group", content=canary, conversationId="c1")
    edited = await clinic.send(f"{API}/m2", method="PUT", content=canary, pinned=True)

    assert first == {"id": "m0", "content": canary, "subject": canary, "receiverId": "bob"}
    assert edited["pinned"] is True
    assert clinic.messages.kept[0]["subject"].startswith("sy1.")
    for path in (f"{OLD}/inbox", f"{API}/history"):
        page = await clinic.read(path)
        assert [one["content"] for one in page["messages"]] == [canary] * 3
        assert page["pagination"]["total"] == 3
    jobs = await clinic.read(f"{API}/jobs/failed")
    assert json.loads(jobs[0]["data"]) == first


async def test_what_the_backend_copies_about_opens_where_it_stands(clinic: Clinic) -> None:
    canary = clinic.scene.canary
    await clinic.send(OLD, content=canary, subject=canary)

    reply = await clinic.send(f"{OLD}/m0/reply", who="bob", content=canary)

    assert reply["subject"] == f"Re: {canary}"
    assert reply["content"] == f"{canary}\n> {canary}"


async def test_another_organisation_reads_tokens(clinic: Clinic) -> None:
    await clinic.send(f"{API}/group", content=clinic.scene.canary, conversationId="c1")

    (one,) = (await clinic.read(f"{API}/history", org="south"))["messages"]
    assert SEALED.fullmatch(one["content"].encode())


async def test_uploads_are_sealed_with_the_names_of_their_files(clinic: Clinic) -> None:
    canary = clinic.scene.canary
    form = aiohttp.FormData({"category": "scan"})
    for name, size in (("small", 0), ("large", 200_000)):
        data = canary.encode() + bytes(size)
        kind = "image/png"
        form.add_field("files", data, filename=f"{name}-{canary}.png", content_type=kind)

    answer = await clinic.scene.ask("POST", f"{API}/upload", None, data=form, headers=bearer("ada"))

    assert answer["data"]["category"] == "scan"
    names = [one["fileName"] for one in answer["data"]["attachments"]]
    assert names == [f"small-{canary}.png", f"large-{canary}.png"]
    assert [kind for _, kind, _ in clinic.messages.files] == [
        "application/jose",
        sealed_stream.MEDIA_TYPE,
    ]
    assert all(SEALED.fullmatch(name.encode()) for name, _, _ in clinic.messages.files)


async def test_messages_come_in_no_other_way(clinic: Clinic) -> None:
    body = {"conversationId": "c1", "content": clinic.scene.canary}
    for method, path in (
        ("POST", f"{API}/forward"),
        ("PATCH", f"{API}/m0"),
        ("PUT", f"{API}/m0/x"),
    ):
        answer = await clinic.scene.status(method, path, json=body, headers=bearer("ada"))
        assert answer == (403, 0), path


async def test_what_holds_no_message_passes_as_it_is(clinic: Clinic) -> None:
    seen = b'{ "at" : 1790000000,   "content":"as it is" }'
    await clinic.scene.ask("POST", f"{API}/m0/read", seen, headers=bearer("ada"))
    assert clinic.scene.kept.bodies[-1] == seen


async def test_searches_and_messages_that_cannot_be_sealed_are_refused(clinic: Clinic) -> None:
    canary, who = clinic.scene.canary, bearer("ada")
    search = f"{API}/search?q={canary}"
    assert await clinic.scene.status("GET", search, headers=who) == (403, 0)
    group = f"{API}/group"
    for content, expected in (({}, 400), ({"content": canary + "x" * 10_000}, 422)):
        body = {**content, "conversationId": "c1"}
        answer = await clinic.scene.status("POST", group, json=body, headers=who)
        assert answer == (expected, 0)
    body = {"content": canary, "conversationId": "c1"}
    assert await clinic.scene.status("POST", group, json=body) == (400, 0)

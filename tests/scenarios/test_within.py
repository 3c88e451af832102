"""JSON within texts, and base64 that a backend decodes, through a real `sealyard serve`.

The store is a file, and so it is searched for what was sealed, as are log, metrics and backend.
"""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from proxy.demo.screen import search
from tests.scenarios.pool import shared
from tests.scenarios.rig import Served, backend

RULES = """\
      - name: jobs
        match: "POST /jobs/{id}"
        request:
          conversation: "$.data json:$.room"
          encrypt: {select: "$.data json:$.meta json:$.note"}
        response:
          conversation: "$.data json:$.room"
          decrypt: "optional $.data json:$.meta json:$.note"
      - name: hooks
        match: POST /hooks/{id}
        conversation: {from: path:id, unrelated: ["form:id", "form:payload $.id"]}
        request:
          encrypt: "form:payload $.note"
          plain: ["form:id", "form:payload $.id"]
          others: refuse
        response: {decrypt: "form:payload $.note"}
      - name: uploads
        match: POST /uploads/{id}
        request:
          conversation: "part:operations $.room"
          encrypt: ["part:operations $.text", "part:0 as file"]
          plain: "part:map $['0'].*"
          others: refuse
        response:
          conversation: "part:operations $.room"
          decrypt: ["part:operations $.text", "part:0 as file"]
      - name: documents
        match: "GET,PUT /documents/{id}"
        bind: [tenant, conversation]
        conversation: path:id
        request:
          encrypt: {select: "$.files.*.data", form: base64, optional: true}
          nothing: pass
        response: {decrypt: "optional $.files.*.data"}
      - name: file
        match: GET /documents/{id}/{file}
        bind: [tenant, conversation]
        conversation: path:id
        response: {decrypt: body as data, type: ['*/*']}
      - name: search
        match: GET /search/{id}
        bind: [tenant, conversation]
        conversation: path:id
        response: {decrypt: tokens}
"""
DESK = "token-of-a-service-of-the-tests-0123456789"
SQLITE = "  store: sqlite:store.db\n"


@dataclass
class Documents:
    """Decodes what documents hold, and serves it as the bytes."""

    kept: dict[str, bytes] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.kept[request.path] = body
        self.heads.append(repr(request.raw_headers).encode())
        for name, one in json.loads(body)["files"].items():
            self.kept[f"{request.path}/{name}"] = b64decode(one["data"], validate=True)
        return web.Response(body=body, content_type="application/json")

    async def give(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/search/"):
            stored = self.kept[f"/documents/{request.match_info['id']}/scan.png"]
            text = b64encode(stored).decode()
            found = {"hits": [f"scan: data:image/png;base64,{text}, that is all"], "raw": text}
            spelled = json.dumps(found).replace("/", "\\/").replace("+", "\\u002B")
            return web.Response(body=spelled.encode(), content_type="application/json")
        body = self.kept[request.path]
        kind = "image/png" if request.path.endswith(".png") else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind, "ETag": '"1"'})
        if request.query_string != "chunked":
            response.content_length = len(body)
        await response.prepare(request)
        for at in range(0, len(body), 65_536):
            await response.write(body[at : at + 65_536])
        return response

    async def echo(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.kept[request.path] = body
        return web.Response(body=body, headers={"Content-Type": request.headers["Content-Type"]})

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/hooks/{id}", self.echo),
            web.post("/uploads/{id}", self.echo),
            web.put("/documents/{id}", self.take),
            web.get("/documents/{id}", self.give),
            web.get("/documents/{id}/{file}", self.give),
            web.get("/search/{id}", self.give),
        ]


@dataclass
class Scene:
    """Sealyard, what is behind it, and a text that stands nowhere else."""

    ours: Served
    folder: Path
    documents: Documents
    bodies: list[bytes]
    client: aiohttp.ClientSession
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> Any:  # noqa: ANN401 - status, headers, body
        headers = {"Content-Type": kind} if kind else {}
        async with self.client.request(
            method, path, data=io.BytesIO(body) if body else None, headers=headers
        ) as got:
            return got.status, got.headers, await got.read()

    async def search(self) -> None:
        """Look for the canary in the backend, the folders of Sealyard, and its metrics."""
        metrics = (await self.ours.metrics()).encode()
        held = [*self.bodies, *self.documents.kept.values(), *self.documents.heads]
        folders = (self.folder, self.ours.folder)
        files = {
            str(one): one.read_bytes()
            for folder in folders
            for one in folder.iterdir()
            if one.is_file()
        }
        assert str(self.ours.folder / "store.db") in files
        places = {"backend": b"\n".join(held), "metrics": metrics, **files}
        assert search(self.canary, places) == []


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    documents = Documents()
    async with backend(*documents.routes()) as behind:
        token = tmp_path / "desk.token"
        token.write_text(DESK)
        token.chmod(0o600)
        desk = "tokens: [{name: desk, token: {file: desk.token}, scopes: [seal, open]}]"
        async with shared(
            tmp_path, behind.port, rules=RULES, keys_more=SQLITE, admin_more=desk
        ) as ours:
            base = f"http://127.0.0.1:{ours.port}"
            async with aiohttp.ClientSession(base) as client:
                yield Scene(ours, tmp_path, documents, behind.bodies, client)


def a_job(canary: str) -> bytes:
    meta = json.dumps({"note": f'{canary} "é" \\', "n": 1e2}, ensure_ascii=False)
    data = '{ "room":"r\\u0031", "meta":' + json.dumps(meta) + ' ,"e":"\\ud83d\\ude00"}'
    return b'{"id" : 7.10, "data":' + json.dumps(data).encode() + b"}\n"


def innermost(body: bytes) -> Any:  # noqa: ANN401 - JSON
    outer = json.loads(body)
    data = json.loads(outer["data"])
    return {**outer, "data": {**data, "meta": json.loads(data["meta"])}}


async def test_a_text_of_a_text_is_sealed_in_place_and_opened_to_the_same_bytes(
    scene: Scene,
) -> None:
    body = a_job(scene.canary)
    status, _, opened = await scene.ask("POST", "/jobs/1", body, "application/json")

    assert (status, innermost(opened)) == (200, innermost(body))
    (stored,) = scene.bodies
    before, behind = body.split(b"note", 1)[0], body.partition(b', \\\\\\"n')[2]
    assert behind
    for one in (stored, opened):
        assert one.startswith(before)
        assert one.endswith(behind)
    await scene.search()


SMUGGLED = (
    '{"room":"r1","meta":"{\\"note\\":\\"CANARY\\"} x"}',
    '{"room":"r1","meta":"{\\"note\\":\\"a\\",\\"note\\":\\"CANARY\\"}"}',
    '{"room":"r1","meta":"{\\"note\\":NaN,\\"a\\":\\"CANARY\\"}"}',
    '{"room":"r1","meta":"// c\\n{\\"note\\":\\"CANARY\\"}"}',
    '{"room":"r1","meta":{"note":"CANARY"}}',
    '{"room":"r1","meta":"{\\"Note\\":\\"CANARY\\",\\"note\\":1}"}',
    '\ufeff{"room":"r1","meta":"{\\"note\\":\\"CANARY\\"}"}',
    '{"room":"r1","meta":"{\\"note\\":\\"a\\"}"}{"meta":"CANARY"}',
    '{"room":"r1","meta":"{\\"note\\":\\"a\\"}","meta":"CANARY"}',
    '{"room":"r1","room":"CANARY","meta":"{\\"note\\":\\"a\\"}"}',
)


async def test_no_second_reading_of_a_text_gets_to_the_backend(scene: Scene) -> None:
    for text in SMUGGLED:
        body = json.dumps({"data": text.replace("CANARY", scene.canary)}).encode()
        status, headers, _ = await scene.ask("POST", "/jobs/1", body, "application/json")
        assert (status, "Sealyard-Error" in headers) == (400, True), text
    assert scene.bodies == []
    await scene.search()


async def test_a_field_and_a_part_are_sealed_and_come_back(scene: Scene) -> None:
    pairs = aiohttp.FormData({"id": "1", "payload": json.dumps({"note": scene.canary})})
    async with scene.client.post("/hooks/1", data=pairs) as got:
        assert (got.status, await got.read()) == (200, pairs()._value)
    parts = aiohttp.FormData(quote_fields=False)
    parts.add_field("operations", json.dumps({"room": "r1", "text": scene.canary}))
    parts.add_field("map", '{"0":["variables.file"]}')
    parts.add_field("0", scene.canary.encode(), filename="a.bin", content_type="image/png")
    async with scene.client.post("/uploads/1", data=parts) as got:
        told = await got.read()
        assert (got.status, told.count(scene.canary.encode())) == (200, 2)
    assert scene.documents.kept.keys() == {"/hooks/1", "/uploads/1"}
    await scene.search()


async def test_attachments_come_back_as_text_and_as_bytes(scene: Scene) -> None:
    for size in (0, 1, 100, 400_000):
        await comes_back(scene, size)
    await scene.search()


async def comes_back(scene: Scene, size: int) -> None:
    content = (scene.canary.encode() + bytes(range(256)))[:size] * (1 + size // 300)
    document = {"files": {"scan.png": {"type": "image/png", "data": b64encode(content).decode()}}}
    body = json.dumps(document, indent=1).encode()
    status, _, opened = await scene.ask("PUT", "/documents/d1", body, "application/json")
    assert (status, opened) == (200, body)
    assert (await scene.ask("GET", "/documents/d1"))[2] == body
    stored = scene.documents.kept["/documents/d1/scan.png"]
    assert stored.startswith(b"\x89SY1B64\r\n")
    for query in ("", "?chunked"):
        status, headers, served_as = await scene.ask("GET", f"/documents/d1/scan.png{query}")
        assert (status, headers["Content-Type"], served_as) == (200, "image/png", content)
        assert headers["ETag"] == 'W/"1"'
    found = json.loads((await scene.ask("GET", "/search/d1"))[2])
    text = b64encode(content).decode()
    assert found == {"hits": [f"scan: data:image/png;base64,{text}, that is all"], "raw": text}


async def test_an_attachment_that_was_changed_or_moved_does_not_open(scene: Scene) -> None:
    text = b64encode(scene.canary.encode()).decode()
    body = json.dumps({"files": {"scan.png": {"data": text}}}).encode()
    assert (await scene.ask("PUT", "/documents/d1", body, "application/json"))[0] == 200
    kept = scene.documents.kept
    stored = kept["/documents/d1/scan.png"]
    kept["/documents/d2/scan.png"] = stored
    assert (await scene.ask("GET", "/documents/d2/scan.png"))[0] == 502
    for broken in (stored[:-1], stored + b"\0", stored[:60], scene.canary.encode(), b"\x89PNG"):
        kept["/documents/d1/scan.png"] = broken
        status, _, answer = await scene.ask("GET", "/documents/d1/scan.png")
        assert (status, scene.canary.encode() in answer) == (502, False)


async def test_the_admin_api_and_the_proxy_open_the_tokens_of_each_other(scene: Scene) -> None:
    text = b64encode(scene.canary.encode()).decode()
    bound = {"tenant": "alpha", "conversation": "d1"}
    body = json.dumps({"files": {"scan.png": {"data": text}}}).encode()
    await scene.ask("PUT", "/documents/d1", body, "application/json")
    stored = b64encode(scene.documents.kept["/documents/d1/scan.png"]).decode()
    headers = {"Authorization": f"Bearer {DESK}"}
    base = f"http://127.0.0.1:{scene.ours.admin}"
    async with aiohttp.ClientSession(base, headers=headers) as admin:
        asked = {"tokens": [{**bound, "token": stored}]}
        async with admin.post("/v1/open", json=asked) as got:
            assert await got.json() == {"values": [{"value": text, "json": False}]}
        sealing = {"values": [{**bound, "value": text, "form": "base64"}]}
        async with admin.post("/v1/seal", json=sealing) as got:
            (made,) = (await got.json())["tokens"]
    scene.documents.kept["/documents/d1/scan.png"] = b64decode(made, validate=True)
    assert (await scene.ask("GET", "/documents/d1/scan.png"))[2] == scene.canary.encode()
    await scene.search()


async def test_values_come_back_while_many_are_sealed_at_once(scene: Scene) -> None:
    async def one(number: int) -> None:
        body = a_job(f"{scene.canary}-{number}")
        status, _, opened = await scene.ask("POST", f"/jobs/{number}", body, "application/json")
        assert (status, innermost(opened)) == (200, innermost(body))

    await asyncio.gather(*(one(number) for number in range(40)))
    await scene.search()

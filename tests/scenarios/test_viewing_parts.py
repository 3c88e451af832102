"""The tap before a real `sealyard serve`: WebSockets, frames, forms and streams, by shape alone."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend
from tests.scenarios.test_viewing import watching
from tests.servers import sends_back

RULES = """\
      - name: talk
        match: WS /live
        conversation: const:c
        request: {encrypt: $.content}
        response: {decrypt: $.content}
      - name: store
        match: POST /frames/{id}
        conversation: path:id
        request: {encrypt: body}
        response: {decrypt: body}
      - name: upload
        match: POST /forms
        conversation: const:c
        request: {encrypt: "part:file"}
      - name: lines
        match: POST /lines
        conversation: const:c
        request: {encrypt: $.content}
        response: {type: application/x-ndjson, decrypt: $.content}
"""
TAP = "tap: true"
FORM = """\
--between-parts\r
Content-Disposition: form-data; name="note"\r
\r
@\r
--between-parts\r
Content-Disposition: form-data; name="file"; filename="@.txt"\r
Content-Type: text/plain\r
\r
@\r
--between-parts--\r
"""


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(body=body, headers={"Content-Type": request.headers["Content-Type"]})


async def echo_by_line(request: web.Request) -> web.StreamResponse:
    """Send every line back as it comes."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    async for line in request.content:
        await response.write(line)
    return response


async def by_line(body: str) -> AsyncIterator[bytes]:
    """Give a body of which nobody knows how long it will be."""
    for line in body.splitlines(keepends=True):
        yield line.encode()
        await asyncio.sleep(0.05)


def kinds(rows: list[list[Any]]) -> list[tuple[str | None, str]]:
    """Return name and kind of each row."""
    return [(row[1], row[2]) for row in rows]


async def test_each_message_of_a_websocket_is_seen_as_it_passes(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with (
        backend(web.get("/live", sends_back)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES, admin_more=TAP) as ours,
        watching(ours) as watched,
    ):
        async with session.ws_connect(f"http://127.0.0.1:{ours.port}/live") as socket:
            for _ in range(2):
                await socket.send_json({"content": canary, canary: canary})
                assert (await socket.receive_json())["content"] == canary
            # The connection is still open: nothing waits for its end.
            seen = await watched.until(4)
        last = (await watched.until(5))[-1]

    assert [(one["part"], one["direction"]) for one in seen] == [
        ("message", "request"),
        ("message", "response"),
    ] * 2
    up, down = seen[:2]
    assert kinds(up["client"]) == [("content", "text"), ("·", "text")]
    assert kinds(up["backend"]) == kinds(down["answer"]) == [("content", "sealed"), ("·", "text")]
    assert down["reader"] == up["client"]
    assert (up["rule"], up["outcomes"], down["outcomes"]) == ("talk", {"sealed": 1}, {"opened": 1})
    assert (last["status"], last["outcomes"]) == (101, {"sealed": 2, "opened": 2})
    assert "client" not in last
    assert canary not in watched.text


async def test_a_frame_is_seen_as_what_it_becomes(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    text = (canary * 10_000).encode()
    async with (
        backend(web.post("/frames/{id}", echo)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES, admin_more=TAP) as ours,
        watching(ours) as watched,
    ):
        url = f"http://127.0.0.1:{ours.port}/frames/{canary}"
        headers = {"Content-Type": "text/plain"}
        async with session.post(url, data=text, headers=headers) as answer:
            assert await answer.read() == text
        (seen,) = await watched.until(1)

    assert seen["client"] == seen["reader"] == [[0, None, "body", None]]
    assert seen["backend"] == seen["answer"] == [[0, None, "stream", None]]
    assert (seen["sent"], seen["got"]) == (len(text), len(text))
    assert seen["outcomes"] == {"sealed": 1, "opened": 1}
    assert canary not in watched.text


async def test_a_form_that_is_sealed_while_it_passes_shows_nothing_of_its_parts(
    tmp_path: Path,
) -> None:
    canary = secrets.token_hex(16)
    async with (
        backend(web.post("/forms", echo)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES, admin_more=TAP) as ours,
        watching(ours) as watched,
    ):
        url = f"http://127.0.0.1:{ours.port}/forms"
        headers = {"Content-Type": "multipart/form-data; boundary=between-parts"}
        data = by_line(FORM.replace("@", canary))
        async with session.post(url, data=data, headers=headers) as answer:
            assert answer.status == 200
        form, *pieces = await watched.over()

    assert form["client"] == form["backend"] == [[0, None, "form", None]]
    end = pieces.pop()
    assert {one["part"] for one in pieces} == {"piece"}
    assert sum(one["outcomes"].get("sealed", 0) for one in pieces) == 1
    assert {row[2] for one in pieces for row in one["client"] + one["backend"]} == {"body"}
    assert (end["status"], end["outcomes"]) == (200, {"sealed": 1})
    assert canary not in watched.text


async def test_records_of_a_stream_are_seen_one_by_one(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    body = "".join(json.dumps({"content": f"{canary}{number}"}) + "\n" for number in range(3))
    async with (
        backend(web.post("/lines", echo_by_line)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES, admin_more=TAP) as ours,
        watching(ours) as watched,
    ):
        url = f"http://127.0.0.1:{ours.port}/lines"
        headers = {"Content-Type": "application/x-ndjson"}
        async with session.post(url, data=by_line(body), headers=headers) as answer:
            assert await answer.text() == body
        seen = await watched.over()

    end = next(one for one in seen if one.get("part") is None)
    parts = [one for one in seen if one is not end]
    assert {one["part"] for one in parts} == {"piece"}
    assert sum(one["outcomes"].get("sealed", 0) for one in parts) == 3
    assert sum(one["outcomes"].get("opened", 0) for one in parts) == 3
    assert (end["status"], end["outcomes"]) == (200, {"sealed": 3, "opened": 3})
    assert canary not in watched.text

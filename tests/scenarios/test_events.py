"""Server-sent events through a real `sealyard serve`: a browser, a reload, a late answer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.browser.chromium import MISSING, PROGRAM, chromium
from tests.scenarios.pool import shared
from tests.scenarios.rig import Backend, backend

RULES = """\
      - name: say
        match: POST /api/rooms/{room}
        conversation: path:room
        bind: [tenant, conversation]
        request: {encrypt: $.content}
      - name: listen
        match: GET /api/rooms/{room}/events
        conversation: path:room
        bind: [tenant, conversation]
        response: {decrypt: tokens, on_error: keep}
      - name: late
        match: GET /late
        bind: [tenant]
        response: {decrypt: tokens, on_error: keep}
"""
JWE = "eyJ0eXAiOiJzeTEi"
PAGE = """<!doctype html><title>room</title><script>
window.heard = [];
const source = new EventSource('/api/rooms/r1/events');
source.addEventListener(
  'said', (one) => heard.push([one.lastEventId, JSON.parse(one.data).content]));
source.onerror = () => heard.push(['error', source.readyState]);
source.onopen = () => heard.push(['open', '']);
</script>"""


@dataclass
class Room:
    """Sends each message that is posted to whoever listens, as a chat server does."""

    said: list[bytes] = field(default_factory=list)
    listeners: list[web.StreamResponse] = field(default_factory=list)
    resumed: list[str | None] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def say(self, request: web.Request) -> web.Response:
        self.said.append(await request.read())
        for one in self.listeners:
            event = b"id: %d\nevent: said\ndata: %b\n\n" % (len(self.said), self.said[-1])
            await one.write(event)
        return web.Response(status=204)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        self.resumed.append(request.headers.get("Last-Event-ID"))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"retry: 100\n: hello\n\n")
        self.listeners.append(response)
        self.came.set()
        try:
            while response in self.listeners:  # noqa: ASYNC110 - dropped by the test, or cancelled
                await asyncio.sleep(0.05)
        finally:
            if response in self.listeners:
                self.listeners.remove(response)
        return response


@asynccontextmanager
async def room() -> AsyncIterator[tuple[Room, Backend]]:
    made = Room()
    routes = [
        web.get("/page", made.page),
        web.post("/api/rooms/{room}", made.say),
        web.get("/api/rooms/{room}/events", made.listen),
    ]
    async with backend(*routes) as behind:
        yield made, behind
        made.listeners.clear()


async def say(session: aiohttp.ClientSession, port: int, content: str) -> None:
    url = f"http://127.0.0.1:{port}/api/rooms/r1"
    async with session.post(url, json={"content": content}) as answer:
        assert answer.status == 204


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
async def test_a_browser_hears_each_event_and_asks_again_from_the_last(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with room() as (made, behind), aiohttp.ClientSession() as session:
        async with (
            shared(tmp_path, behind.port, rules=RULES) as ours,
            chromium() as page,
        ):
            await page.open(f"http://127.0.0.1:{ours.port}/page")
            await page.until("heard.length === 1")
            for number in (1, 2):
                await say(session, ours.port, f"{canary} {number}")
                await page.until(f"heard.length === {number + 1}")
            made.listeners.clear()  # the backend ends the stream: the browser comes again
            await page.until("heard.length === 5")
            await say(session, ours.port, f"{canary} 3")
            await page.until("heard.length === 6")
            heard = await page.value("heard")
        log = ours.log.read_text()

    assert heard == [
        ["open", ""],
        ["1", f"{canary} 1"],
        ["2", f"{canary} 2"],
        ["error", 0],
        ["open", ""],
        ["3", f"{canary} 3"],
    ]
    assert made.resumed == [None, "2"]
    assert all(json.loads(one)["content"].startswith(JWE) for one in made.said)
    assert canary not in b"".join(made.said).decode() + log


async def test_a_stream_keeps_the_rules_that_it_began_with(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with room() as (made, behind), aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            url = f"http://127.0.0.1:{ours.port}/api/rooms/r1/events"
            async with asyncio.timeout(20), session.get(url) as stream:
                assert await stream.content.readuntil(b"\n\n") == b"retry: 100\n: hello\n\n"
                configuration = ours.folder / "sealyard.yaml"
                text = configuration.read_text()
                configuration.write_text(
                    text.replace("response: {decrypt: tokens, on_error: keep}", "response: pass")
                )
                await ours.reload()
                await say(session, ours.port, canary)
                event = await stream.content.readuntil(b"\n\n")
            made.listeners.clear()
            async with asyncio.timeout(20), session.get(url) as stream:
                await stream.content.readuntil(b"\n\n")
                await say(session, ours.port, canary)
                after = await stream.content.readuntil(b"\n\n")
        log = ours.log.read_text()

    assert canary.encode() in event
    assert canary.encode() not in after
    assert canary not in log


async def ask(session: aiohttp.ClientSession, url: str) -> tuple[float, object]:
    """Return when an answer came, and what it was."""
    async with session.get(url) as response:
        told = await response.json()
        return time.monotonic(), told


async def test_an_answer_that_comes_late_is_not_held_up(tmp_path: Path) -> None:
    asked = asyncio.Event()
    answer = asyncio.Event()
    sent: list[float] = []

    async def late(_: web.Request) -> web.Response:
        asked.set()
        await answer.wait()
        sent.append(time.monotonic())
        return web.json_response({"n": 1})

    async with (
        backend(web.get("/late", late)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        url = f"http://127.0.0.1:{ours.port}/late"
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            asking = group.create_task(ask(session, url))
            await asked.wait()
            await asyncio.sleep(3)
            assert not asking.done()
            answer.set()
        came, told = asking.result()
        delay = came - sent[0]

    assert told == {"n": 1}
    assert delay < 1

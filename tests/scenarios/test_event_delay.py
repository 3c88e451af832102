"""How much later an event comes through Sealyard, which opens it, than from its backend."""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.scenarios.rig import backend, served

RULES = """\
      - name: say
        match: POST /api/messages
        conversation: const:room
        bind: [tenant, conversation]
        request: {encrypt: $.content}
      - name: listen
        match: GET /events
        conversation: const:room
        bind: [tenant, conversation]
        response: {decrypt: tokens}
"""
A_SECOND = 20
TARGET_SECONDS = 0.005


async def arrivals(url: str, canary: str, count: int, begun: asyncio.Event) -> list[float]:
    """Read so many events and return how long after its sending each of them came."""
    delays = []
    async with aiohttp.ClientSession() as session, session.get(url) as stream:
        await stream.content.readuntil(b"\n\n")
        begun.set()
        for _ in range(count):
            event = await stream.content.readuntil(b"\n\n")
            came = time.monotonic()
            told = json.loads(event.partition(b"data: ")[2])
            assert told["content"] == canary
            delays.append(came - told["sent"])
    return delays


@pytest.mark.timing
@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
async def test_an_event_comes_hardly_later_through_sealyard(
    tmp_path: Path, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    canary = secrets.token_hex(500)
    content = {"direct": canary, "through": canary}
    listeners: dict[str, web.StreamResponse] = {}
    done = asyncio.Event()

    async def listen(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        listeners["direct" if "direct" in request.query else "through"] = response
        await done.wait()
        return response

    async with backend(web.get("/events", listen)) as behind, aiohttp.ClientSession() as session:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
            url = f"http://127.0.0.1:{ours.port}/api/messages"
            async with session.post(url, json={"content": canary}) as answer:
                assert answer.status == 200
            content["through"] = json.loads(behind.bodies[0])["content"]
            count = seconds * A_SECOND
            begun = {name: asyncio.Event() for name in content}
            readers = {
                "direct": f"http://127.0.0.1:{behind.port}/events?direct",
                "through": f"http://127.0.0.1:{ours.port}/events",
            }
            async with asyncio.TaskGroup() as group:
                reading = {
                    name: group.create_task(arrivals(url, canary, count, begun[name]))
                    for name, url in readers.items()
                }
                for one in begun.values():
                    await asyncio.wait_for(one.wait(), 10)
                names = list(content)
                for _ in range(count):
                    names.reverse()  # neither is always the first
                    for name in names:
                        event = json.dumps({"sent": time.monotonic(), "content": content[name]})
                        await listeners[name].write(f"data: {event}\n\n".encode())
                    await asyncio.sleep(1 / A_SECOND)
            done.set()

    assert content["through"] != canary
    direct, through = (sorted(reading[name].result()) for name in ("direct", "through"))
    at = int(count * 0.99)
    added = through[at] - direct[at]
    middle = statistics.median(through) - statistics.median(direct)
    record_property("added", f"p99 {added * 1000:.2f} ms, median {middle * 1000:.2f} ms")
    record_property("direct", f"p99 {direct[at] * 1000:.2f} ms of {count:,} at {A_SECOND} a second")
    assert middle <= TARGET_SECONDS
    if seconds > 10:
        assert added <= TARGET_SECONDS

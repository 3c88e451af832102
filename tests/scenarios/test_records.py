"""NDJSON through a real `sealyard serve`: each line sealed and opened, streams not held up."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend

RULES = """\
      - name: lines
        match: POST /api/messages
        bind: [tenant, conversation]
        request: {conversation: $.conversationId, encrypt: $.content}
        response: {type: application/x-ndjson, conversation: $.conversationId, decrypt: $.content}
      - name: stream
        match: GET /stream
        bind: [tenant]
        response: {decrypt: tokens, on_error: keep}
"""
NDJSON = {"Content-Type": "application/x-ndjson"}


async def test_lines_are_sealed_on_their_way_in_and_opened_on_their_way_out(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    body = "".join(
        f'{{"conversationId":"c{number % 2}","content":"{canary}{number}","n":1.10}}\n'
        for number in range(5)
    )
    async with backend() as behind, aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            url = f"http://127.0.0.1:{ours.port}/api/messages"
            async with session.post(url, data=body, headers=NDJSON) as response:
                assert (response.status, await response.text()) == (200, body)
            for bad in (
                f'{{"content":"{canary}"}}',
                f'{{"conversationId":"c","Content":"{canary}"}}',
            ):
                async with session.post(url, data=body + bad, headers=NDJSON) as response:
                    assert response.status == 400
                    assert canary not in await response.text()
        log = ours.log.read_text()

    assert len(behind.bodies) == 1
    lines = behind.bodies[0].decode().splitlines()
    assert [json.loads(line)["conversationId"] for line in lines] == ["c0", "c1", "c0", "c1", "c0"]
    assert all(json.loads(line)["content"].startswith("eyJ0eXAiOiJzeTEi") for line in lines)
    assert canary not in "".join(lines) + log


async def test_a_stream_of_lines_that_no_rule_names_is_not_held_up(tmp_path: Path) -> None:
    read = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=NDJSON)
        await response.prepare(request)
        await response.write(b'{"n":1}\n')
        await read.wait()
        await response.write(b'{"n":2}\n')
        return response

    async with (
        backend(web.get("/stream", stream)) as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        url = f"http://127.0.0.1:{ours.port}/stream"
        async with asyncio.timeout(10), session.get(url) as response:
            first = await response.content.readline()
            read.set()
            second = await response.content.readline()

    assert (first, second) == (b'{"n":1}\n', b'{"n":2}\n')

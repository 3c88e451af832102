"""Values that must not pass as they are, through a real `sealyard serve`: refused or counted."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.core.crypto.token import decode

from .pool import shared
from .rig import Backend, Served, backend

CANARY = f"CANARY{secrets.token_hex(8)}"
RULES = """\
      - name: strings
        match: POST /strings
        conversation: const:c
        request: {encrypt: [{select: $.content, min_chars: 3}]}
      - name: blanks
        match: POST /blanks
        conversation: const:c
        request: {encrypt: [{select: $.content, not_blank: true}]}
      - name: trimmed
        match: POST /trimmed
        conversation: const:c
        request: {encrypt: [{select: $.content, trim: true, min_chars: 2}]}
      - name: renamed
        match: POST /renamed
        conversation: const:c
        request: {encrypt: [optional $.content, "optional $.items.*.content"], nothing: refuse}
      - name: closed
        match: POST /closed
        conversation: const:c
        request: {encrypt: $.content, plain: $.id, others: refuse}
      - name: events
        match: POST /events
        conversation: const:c
        request:
          format: sse
          encrypt: optional $.content
          nothing: refuse
          plain: $.id
          others: refuse
      - name: counted
        match: POST /counted
        conversation: const:c
        request: {encrypt: optional $.content, nothing: pass}
      - name: ending
        match: POST /ending
        conversation: const:c
        expires: 1h
        request: {encrypt: $.content}
        response: {decrypt: $.content}
      - name: answers
        match: GET /answers
        conversation: const:c
        response: {encrypt: optional $.content, nothing: refuse}
"""
LINES = "application/x-ndjson"
EVENTS = "text/event-stream"
JSON = "application/json"
GOOD = '{"content":"fine"}'
RENAMED = f'{{"contnt":"{CANARY}"}}'
LISTED = f'["{CANARY}"]'  # a list around what the rule has
REFUSED = [
    ("/strings", JSON, f'{{"content":["{CANARY}"]}}', 422),
    ("/strings", JSON, f'{{"content":{{"a":"{CANARY}"}}}}', 422),
    ("/strings", JSON, '{"content":"ab"}', 422),
    ("/strings", JSON, '{"content":12345}', 422),
    ("/strings", LINES, f'{GOOD}\n{{"content":["{CANARY}"]}}\n', 422),
    ("/blanks", JSON, '{"content":""}', 422),
    ("/blanks", JSON, '{"content":" \\t\\r\\n\\u00a0\\u2003\\u3000\\ufeff"}', 422),
    ("/blanks", JSON, '{"content":7}', 422),
    ("/trimmed", JSON, '{"content":"  a \\n"}', 422),
    ("/trimmed", JSON, '{"content":["ab"]}', 422),
    ("/closed", JSON, f'{{"content":"fine","id":1,"contnt":"{CANARY}"}}', 400),
    ("/closed", LINES, f'{GOOD}\n{{"content":"fine","{CANARY}":1}}\n', 400),
    ("/events", EVENTS, f"data: {GOOD}\n\ndata: {RENAMED}\n\n", 400),
    ("/renamed", JSON, RENAMED, 400),
    ("/renamed", JSON, LISTED, 400),
    ("/renamed", JSON, f'"{CANARY}"', 400),
    ("/renamed", LINES, f"{GOOD}\n{RENAMED}\n", 400),
    ("/renamed", JSON, f'{{"items":[{GOOD},{RENAMED}]}}', 400),
]
CODES = {
    "strings": "unfit-value",
    "blanks": "unfit-value",
    "trimmed": "unfit-value",
    "renamed": "nothing-sealed",
    "closed": "unlisted-name",
    "events": "unlisted-name",
}


async def sent(
    process: Served, path: str, media: str, body: str, *, chunks: bool
) -> tuple[int, str]:
    async def pieces() -> AsyncIterator[bytes]:
        yield body.encode()

    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{process.port}{path}",
            data=pieces() if chunks else body.encode(),
            headers={"Content-Type": media},
        ) as answer,
    ):
        text = await answer.text()
        # The client alone is told a name, which is its own.
        assert CANARY not in text or f'"{CANARY}":' in body
        return answer.status, answer.headers.get("Sealyard-Error", "")


def clean(process: Served, remembers: Backend, metrics: str) -> None:
    """Nothing of a refused message is anywhere; its log is here once the sidecar is given back."""
    assert CANARY.encode() not in b"".join(remembers.bodies)
    assert CANARY not in metrics
    assert any(one["event"] == "message.refused" for one in process.events)
    for path in (*process.folder.rglob("*"), process.log):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("chunks", [False, True])
async def test_what_the_rule_does_not_take_reaches_nobody(tmp_path: Path, *, chunks: bool) -> None:
    async with (
        backend() as remembers,
        shared(tmp_path, remembers.port, rules=RULES) as process,
    ):
        for path, media, body, status in REFUSED:
            told = await sent(process, path, media, body, chunks=chunks)
            streamed = chunks and media != JSON
            if not streamed:  # a stream has begun, and is cut
                code = "forbidden-value" if body == LISTED else CODES[path[1:]]
                assert told == (status, code), (path, media, body)
        metrics = await process.metrics()
    clean(process, remembers, metrics)


async def test_what_passes_with_nothing_sealed_is_counted(tmp_path: Path) -> None:
    async with (
        backend() as remembers,
        shared(tmp_path, remembers.port, rules=RULES) as process,
    ):
        before = unsealed(await process.metrics())
        for media, body in ((JSON, '{"a":1}'), (LINES, f'{{"a":1}}\n{GOOD}\n{{"b":2}}\n')):
            status, _ = await sent(process, "/counted", media, body, chunks=False)
            assert status == 200
        assert (await process.event("message.handled", 2))["unsealed"] == 2
        assert unsealed(await process.metrics()) - before == 3


def unsealed(metrics: str) -> int:
    """Return how many values of the rule `counted` went on unsealed."""
    sample = r'^sealyard_values_total\{.*outcome="unsealed".*rule="counted"\} (\d+)'
    return sum(map(int, re.findall(sample, metrics, re.MULTILINE)))


async def test_an_answer_with_nothing_to_seal_is_not_given(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"contnt": CANARY})

    async with (
        backend(web.get("/answers", answer)) as remembers,
        shared(tmp_path, remembers.port, rules=RULES) as process,
    ):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{process.port}/answers") as told,
        ):
            body = json.loads(await told.text())
            assert (told.status, told.headers["Sealyard-Error"]) == (502, "nothing-sealed")
        assert CANARY not in json.dumps(body)
        metrics = await process.metrics()
    clean(process, remembers, metrics)


async def test_what_is_sealed_for_an_hour_says_so_and_opens(tmp_path: Path) -> None:
    async with (
        backend() as remembers,
        shared(tmp_path, remembers.port, rules=RULES) as process,
    ):
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"http://127.0.0.1:{process.port}/ending", json={"content": CANARY}
            ) as told,
        ):
            assert (told.status, await told.json()) == (200, {"content": CANARY})
        (body,) = remembers.bodies
        end = decode(json.loads(body)["content"].encode()).exp
        assert end is not None
        assert 3590 < end - time.time() < 3640

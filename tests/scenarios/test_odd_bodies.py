"""Odd bodies of every kind through a real `sealyard serve`: sealed or refused, and never 500.

Each comes with its length and in chunks, since these take different ways.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from .pool import shared
from .rig import Served, backend

RULES = """\
      - name: json
        match: POST /json
        conversation: const:c
        request: {encrypt: [$.content]}
      - name: events
        match: POST /events
        conversation: const:c
        request: {format: sse, encrypt: [$.content]}
      - name: form
        match: POST /form
        conversation: const:c
        request: {encrypt: ["form:content"]}
      - name: parts
        match: POST /parts
        conversation: const:c
        request: {encrypt: ["part:content"]}
      - name: text
        match: POST /text
        conversation: const:c
        request: {encrypt: [text]}
      - name: packets
        match: POST /packets
        conversation: const:c
        request: {format: socketio, encrypt: ["$[1].content"]}
      - name: tokens
        match: GET /tokens
        conversation: const:c
        response: {decrypt: tokens, bind: [tenant]}
      - name: members
        match: GET /members
        conversation: const:c
        response: {decrypt: [$.content, $..other]}
      - name: polls
        match: GET /polls
        conversation: const:c
        response: {format: socketio, decrypt: "$[1].content"}
      - name: whole
        match: GET /whole
        conversation: const:c
        response: {decrypt: body}
      - name: sealing
        match: GET /sealing
        conversation: const:c
        response: {encrypt: [$.content]}
"""
CANARY = f"CANARY{secrets.token_hex(8)}"
JSON = f'{{"content":"{CANARY}"}}'
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=of-parts"
LINES = "application/x-ndjson"
SSE = "text/event-stream"
SEQUENCE = "application/json-seq"
PART = f'Content-Disposition: form-data; name="content"\r\n\r\n{CANARY}'


def a_form(*parts: str) -> str:
    return "".join(f"--of-parts\r\n{one}\r\n" for one in parts) + "--of-parts--\r\n"


def with_line(line: str) -> str:
    return PART.replace("\r\n\r\n", f"\r\n{line}\r\n\r\n")


REQUESTS: list[tuple[str, str, str | bytes]] = [
    ("/json", "application/json", JSON),
    ("/json", "application/json; charset=utf-16", JSON.encode("utf-16")),
    ("/json", "application/json", JSON.encode("utf-16")),
    ("/json", "application/json", JSON.encode("utf-16-le")),
    ("/json", "application/json", JSON.encode("utf-32")),
    ("/json", "application/json", f"\ufeff{JSON}"),
    ("/json", "application/json; charset=utf-7", JSON),
    ("/json", "application/json; charset*=utf-8''utf-7", JSON),
    ("/json", "text/plain", JSON),
    ("/json", "application/json, text/plain", JSON),
    ("/json", FORM, JSON),
    ("/json", "application/json", JSON + JSON),
    ("/json", "application/json", f'{{"content":"x","content":"{CANARY}"}}'),
    ("/json", "application/json", f'{{"content":"x","c\\u006fntent":"{CANARY}"}}'),
    ("/json", "application/json", f'{{"content":"x","content\\u0000":"{CANARY}"}}'),
    ("/json", "application/json", f'{{"content":"x","CONTENT":"{CANARY}"}}'),
    ("/json", "application/json", f"//\n{JSON}"),
    ("/json", "application/json", f"{{'content':'{CANARY}'}}"),
    ("/json", "application/json", "[" * 200_000),
    ("/json", "application/json", '{"content":"\\ud800"}'),
    ("/json", "application/json", ""),
    ("/json", LINES, f'{{"content":"x"}}\r{JSON}\n'),
    ("/json", LINES, f'{{"content":"x"}}\x0b{JSON}\n'),
    ("/json", LINES, f'{{"content":"x"}}\n\ufeff{JSON}\n'),
    ("/json", f"{LINES}; charset=utf-16", JSON.encode("utf-16")),
    ("/json", SSE, f"data: {JSON}\r\rid: 1\rdata:{JSON}"),
    ("/json", SSE, JSON),
    ("/events", SSE, JSON),
    ("/events", SSE, f"data: {JSON}\r\rid: 1\rdata:{JSON}"),
    ("/events", SSE, f'data: {{"content":"x"}}\rdata\0: {JSON}\r\r'),
    ("/events", SSE, f"DATA: {JSON}\r\r"),
    ("/events", SSE, f"data: x{JSON}\n\n"),
    ("/json", SEQUENCE, f"\x1e{JSON}"),
    ("/json", SEQUENCE, f"{JSON}\n\x1e{JSON}\n"),
    ("/form", FORM, f"?content={CANARY}&content=1"),
    ("/form", FORM, f"content=1&x=;content={CANARY}"),
    ("/form", FORM, f"content=1&content[]={CANARY}"),
    ("/form", FORM, f"content=1&content%5b0]={CANARY}"),
    ("/form", FORM, f"content=1&content={CANARY}"),
    ("/form", FORM, f"content=1&%63ontent={CANARY}"),
    ("/form", FORM, f"content=1&%2563ontent={CANARY}"),
    ("/form", FORM, f"content=1&+content={CANARY}"),
    ("/form", FORM, f"content=1&content%00={CANARY}"),
    ("/form", FORM, f"content=%zz{CANARY}"),
    ("/form", f"{FORM}; charset=utf-16", f"content={CANARY}".encode("utf-16")),
    ("/form", PARTS, a_form(PART)),
    ("/parts", PARTS, a_form(PART)),
    ("/parts", "multipart/form-data; boundary=others; boundary=of-parts", a_form(PART)),
    ("/parts", "multipart/form-data; boundary=of-parts; boundary=others", a_form(PART)),
    ("/parts", "multipart/mixed; boundary=of-parts", a_form(PART)),
    ("/parts", "multipart/form-data; boundary*=utf-8''of-parts", a_form(PART)),
    ("/parts", "multipart/form-data", a_form(PART)),
    ("/parts", PARTS, "preamble\r\n" + a_form(PART)),
    ("/parts", PARTS, a_form(PART) + f"--of-parts\r\n{PART}\r\n--of-parts--"),
    ("/parts", PARTS, a_form(PART) + PART),
    ("/parts", PARTS, a_form(with_line("Content-Transfer-Encoding: base64"))),
    ("/parts", PARTS, a_form(with_line("Content-Type: text/plain; charset=utf-16"))),
    ("/parts", PARTS, a_form(with_line("Content-Length: 3"))),
    ("/parts", PARTS, a_form('Content-Disposition: form-data; name="_charset_"\r\n\r\nx', PART)),
    ("/parts", PARTS, a_form(PART.replace('"content"', "\"content\"; filename*=utf-8''x"))),
    ("/parts", PARTS, a_form(PART, PART.replace('"content"', '"Content"'))),
    ("/parts", PARTS, a_form(PART, PART.replace('"content"', '"content[]"'))),
    ("/parts", PARTS, a_form(f"Content-Type: multipart/mixed; boundary=Z\r\n{PART}")),
    ("/parts", PARTS, a_form(PART).replace("\r\n", "\n")),
    ("/parts", PARTS, ""),
    ("/text", "text/plain; charset=utf-16", CANARY.encode("utf-16")),
    ("/text", "text/plain", b"\xff" + CANARY.encode()),
    ("/packets", "text/plain", f'42["e",{JSON}]'),
    ("/packets", "text/plain", f'96:42["e",{JSON}]'),
    ("/packets", FORM, f'd=42["e",{JSON}]'),
    ("/packets", "text/plain", f'42["e",{JSON}]\x1e 42["e",{JSON}]'),
    ("/packets", "text/plain", f'42/a,1[["e",{JSON}]]'),
    ("/packets", "text/plain", f'4\n2["e",{JSON}]'),
]
RESPONSES: list[tuple[str, str | bytes]] = [
    ("application/json", "{"),
    ("application/json", '{"content":1,"content":2}'),
    ("application/json", '{"content":"eyJ0eXAiOiJzeTEi"}'),
    ("application/json", '"sy1.AAAAAAAAAAAAAAAA'),
    ("application/json", '["\\ud800 sy1.AAAB..."]'),
    ("application/json; charset=utf-16", '{"content":"sy1.x"}'.encode("utf-16")),
    ("application/json, a/b", "{}"),
    (LINES, '{"content":1}\n{'),
    (SSE, "data: sy1.\n\ndata: {"),
    (SEQUENCE, "\x1e{}\n{}"),
    (FORM, "a=sy1.%zz&content=%FF"),
    (PARTS, a_form(PART) + "sy1."),
    (PARTS, "sy1."),
    ("text/plain", '42["e",{"content":"sy1."}]'),
    ("text/plain", "no packet"),
    ("application/jose", "no token"),
    ("application/vnd.sealyard.stream", "SYST\x01\xff\xff"),
    ("application/vnd.sealyard.stream", ""),
]


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    step = max(1, len(body) // 3)
    for at in range(0, len(body), step):
        yield body[at : at + step]


def as_bytes(body: str | bytes) -> bytes:
    return body if isinstance(body, bytes) else body.encode()


def holds_canary(body: bytes) -> bool:
    return any(CANARY.encode(one) in body for one in ("utf-8", "utf-16-le", "utf-32-le"))


async def test_odd_requests_are_sealed_or_refused(tmp_path: Path) -> None:
    wrong: list[tuple[object, ...]] = []
    sealed = 0
    async with (
        backend() as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        for path, media, written in REQUESTS:
            for chunked in (False, True):
                body, before = as_bytes(written), len(behind.bodies)
                async with session.post(
                    f"http://127.0.0.1:{ours.port}{path}",
                    data=in_chunks(body) if chunked else body,
                    headers={"Content-Type": media},
                ) as answer:
                    status = answer.status
                sealed += status == 200
                leaks = any(map(holds_canary, behind.bodies[before:]))
                if leaks or status not in {200, 400, 415}:
                    wrong.append((status, leaks, path, media, written[:60], chunked))
        log = ours.log.read_text()

    assert wrong == []
    assert sealed == 8
    assert CANARY not in log
    assert "internal-error" not in log


async def test_odd_responses_pass_or_are_refused(tmp_path: Path) -> None:
    async def give(request: web.Request) -> web.StreamResponse:
        media, body = RESPONSES[int(request.query["n"])]
        answer = web.StreamResponse(headers={"Content-Type": media})
        if request.query["chunked"] == "True":
            answer.enable_chunked_encoding()
        else:
            answer.content_length = len(as_bytes(body))
        await answer.prepare(request)
        await answer.write(as_bytes(body))
        await answer.write_eof()
        return answer

    paths = ("tokens", "members", "polls", "whole", "sealing")
    statuses: set[int] = set()
    async with (
        backend(*(web.get(f"/{one}", give) for one in paths)) as behind,
        shared(tmp_path, behind.port, rules=RULES) as ours,
    ):
        for path in paths:
            statuses |= {
                await status_of(ours, f"{path}?n={number}&chunked={chunked}")
                for number in range(len(RESPONSES))
                for chunked in (False, True)
            }
        log = ours.log.read_text()

    assert statuses <= {0, 200, 502}
    assert '"internal-error"' not in log


async def status_of(ours: Served, path: str) -> int:
    """Return the status of an answer; 0 where it broke off."""
    async with aiohttp.ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{ours.port}/{path}") as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientPayloadError, aiohttp.ClientOSError):
            await asyncio.sleep(0)
            return 0

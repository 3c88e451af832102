"""Rules in mode `observe`: every byte passes as without a rule, and what they would do is told."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.servers import sends_back

from .rig import ROOT, Served, backend, environment, served

_OBSERVING = """\
      - name: send
        match: POST /api/messages
        mode: observe
        conversation: $.conversationId
        request: {encrypt: [$.content]}
        response: {decrypt: [$.content]}
      - name: short
        match: POST /api/short
        mode: observe
        conversation: $.conversationId
        request: {encrypt: [{select: $.content, field: brief, max_chars: 300}]}
      - name: closed
        match: POST /api/closed
        mode: observe
        request: reject
      - name: never
        match: GET /never
        mode: observe
        conversation: const:c
        response: {decrypt: tokens, bind: [tenant, conversation]}
      - name: chat
        match: WS /api/chat
        mode: observe
        conversation: $.conversationId
        request: {encrypt: [$.content]}
        response: {decrypt: [$.content], on_error: keep, conversation: $.conversationId}
      - name: sealed
        match: POST /api/sealed
        conversation: const:c
        request: {encrypt: [$.content]}
"""
PATIENT = "471100815004"
_PASSING = """\
      - name: elsewhere
        match: POST /elsewhere
        request: pass
"""


class Raw:
    """A backend that keeps whole requests, heads included."""

    def __init__(self) -> None:
        self.heads: list[list[tuple[bytes, bytes]]] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.heads.append([(name, value) for name, value in request.raw_headers])
        body = await request.read()
        return web.Response(body=body, headers={"ETag": '"x"', "Content-Type": "application/json"})


def _observed(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-P", "-m", "proxy", "status", "--leaks", "--config"]
    return subprocess.run(  # noqa: S603 - Sealyard itself
        [*line, str(folder / "sealyard.yaml"), *options],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


async def _send(port: int, path: str, body: dict[str, object]) -> tuple[int, bytes, list[str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}{path}", json=body) as answer,
    ):
        names = [f"{name}: {value}" for name, value in answer.headers.items() if name != "Date"]
        return answer.status, await answer.read(), names


async def test_messages_pass_as_without_a_rule_and_the_report_tells(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    message: dict[str, object] = {"conversationId": "c1", "content": canary}
    raw = Raw()
    routes = [web.post(path, raw.answer) for path in ("/api/messages", "/api/short")]
    for name in ("observing", "passing"):
        (tmp_path / name).mkdir()
    async with backend(*routes) as behind:
        with served(tmp_path / "passing", behind.port, rules=_PASSING) as passing:
            await passing.event("server.ready")
            bare = await _send(passing.port, "/api/messages", message)
        with served(tmp_path / "observing", behind.port, rules=_OBSERVING) as running:
            await running.event("server.ready")
            await _observe_all(running, message, bare, tmp_path / "observing", canary)
    assert behind.bodies[-1].count(canary.encode()) == 0
    here, there = (
        [pair for pair in head if not _own(pair)] for head in (raw.heads[0], raw.heads[1])
    )
    assert here == there


async def test_messages_of_websockets_are_told_while_they_last(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    routes = [web.get("/api/chat", sends_back), web.get("/api/rooms/{id}", sends_back)]
    async with backend(*routes) as behind, aiohttp.ClientSession() as session:
        with served(tmp_path, behind.port, rules=_OBSERVING) as running:
            await running.event("server.ready")
            base = f"http://127.0.0.1:{running.port}/api"
            async with (
                session.ws_connect(f"{base}/chat", compress=15) as socket,
                session.ws_connect(f"{base}/rooms/4711") as other,
            ):
                for text in (json.dumps({"conversationId": "c1", "content": canary}), "{}"):
                    await socket.send_str(text)
                    assert (await socket.receive()).data == text
                await other.send_str(canary)
                assert (await other.receive()).data == canary
                told = await asyncio.to_thread(_observed, tmp_path)
            log = running.log.read_text()

    assert "api / chat" in told.stdout
    assert "requests:  1 refused: missing-value, 1 changed, 1 values sealed" in told.stdout
    assert "WS /api/rooms/*  (websocket -> websocket, api)" in told.stdout
    assert canary not in told.stdout + log


def _own(pair: tuple[bytes, bytes]) -> bool:
    """Tell whether a header differs from one server to the next."""
    return pair[0].lower() in {b"host", b"via", b"x-forwarded-host", b"x-request-id"}


async def _observe_all(
    running: Served,
    message: dict[str, object],
    bare: tuple[int, bytes, list[str]],
    folder: Path,
    canary: str,
) -> None:
    port = running.port
    assert await _send(port, "/api/messages", message) == bare
    assert (await _send(port, "/api/messages", {"conversationId": "c1"}))[0] == 200
    assert (await _send(port, "/api/short", {**message, "content": canary * 9}))[0] == 200
    assert (await _send(port, "/api/closed", message))[0] == 200
    assert (await _send(port, f"/api/users/{PATIENT}/notes", message))[0] == 200
    assert (await _send(port, "/api/sealed", message))[0] == 200
    await running.event("message.handled", 6)
    lines = [one for one in running.events if one["event"] == "message.handled"]
    assert lines[0]["would_be_sealed"] == 1
    assert "sealed" not in lines[0]

    told = await asyncio.to_thread(_observed, folder)
    assert told.returncode == 1
    assert "api / send" in told.stdout
    assert "1 changed" in told.stdout
    assert "1 refused: missing-value" in told.stdout
    assert "1 refused: value-too-long" in told.stdout
    assert "refused: rule-rejects" in told.stdout
    assert "1 values sealed" in told.stdout
    assert "POST /api/users/*/notes  (json -> json, api)" in told.stdout
    document = json.loads((await asyncio.to_thread(_observed, folder, "--json")).stdout)
    (uncovered,) = document["uncovered"]
    assert uncovered["number"] == 1
    for text in (running.log.read_text(), told.stdout, json.dumps(document)):
        assert canary not in text
        assert PATIENT not in text


_GRAPHQL = """\
      - name: graphql
        match: POST /graphql
        mode: observe
        request:
          - format: graphql
            when: {$.field: send}
            encrypt: $.fields.send.text
            bind: [tenant]
"""


async def test_operations_of_graphql_are_named_and_their_values_are_not(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    document = "mutation OfAdaLovelace($t: String!) {%s(text: $t) {id}}"
    async with backend(web.post("/graphql", Raw().answer)) as behind:
        with served(tmp_path, behind.port, rules=_GRAPHQL) as running:
            await running.event("server.ready")
            for field in ("send", "note"):
                asked: dict[str, object] = {
                    "query": document % field,
                    "variables": {"t": canary},
                }
                assert (await _send(running.port, "/graphql", asked))[0] == 200
            await running.event("message.handled", 2)
            lines = [one for one in running.events if one["event"] == "message.handled"]
            log = running.log.read_text()

    assert [one["operations"] for one in lines] == ["mutation send", "mutation note"]
    assert [one.get("would_fail") for one in lines] == [None, "message-fits-no-block"]
    assert canary not in log
    assert "OfAdaLovelace" not in log

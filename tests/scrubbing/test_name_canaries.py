"""Names of clients can be data: none that the configuration lacks is told, wherever it stands."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import aiohttp
import pytest
from aiohttp import web

from tests.scenarios.rig import PATIENCE_SECONDS, TOKEN, Served, backend, served
from tests.servers import await_log, sends_back

from .canaries import Canary, make
from .carriers import request
from .rig import ask, send_all
from .test_ladder_canaries import FORM, JSON, told_on_a_terminal

_RULE = """\
      - name: {name}
        match: POST /{name}
        conversation: const:c1
        others: refuse
        {mode}
        request:
          - {{type: application/json, encrypt: [$.content], plain: [$.meta.kind]}}
          - {{type: application/x-www-form-urlencoded, encrypt: [form:content]}}
          - {{type: multipart/form-data, encrypt: [part:content]}}
      - name: {name}-live
        match: WS /{name}/live
        conversation: const:c1
        others: refuse
        {mode}
        request: {{encrypt: [$.content]}}
"""
MODES = {
    "closed": "mode: enforce",
    "lenient": "mode: permissive until 2999-01-01",
    "seen": "mode: observe",
}
RULES = "".join(_RULE.format(name=name, mode=mode) for name, mode in MODES.items())
AUDIT = "audit: {file: log/audit.log, on_failure: block}\n"
SEEN = ("/metrics", "/v1/status", "/v1/status/steps", "/v1/status/leaks", "/v1/config")
PLACE = re.compile(r"(\$(\.meta)?\.|\?)\*#[0-9a-f]{6}")


def messages(canaries: tuple[Canary, ...]) -> Iterator[bytes]:
    """Yield requests under each rule that have each canary as a name."""
    for canary in canaries:
        text = canary.text
        part = quote(text, safe="").replace("%", "_")
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nx\r\n'
            for name in ("content", part)
        )
        bodies = (
            (JSON, json.dumps({"content": "x", text: 1}), b""),
            (JSON, json.dumps({"content": "x", "meta": {text: {text: 1}}}), b""),
            (FORM, urlencode({"content": "x", text: 1}), b""),
            (JSON, json.dumps({"content": "x"}), b"?%b=1" % quote(text, safe="").encode()),
            (b"multipart/form-data; boundary=b", f"{parts}--b--\r\n", b""),
        )
        for name in MODES:
            for kind, body, query in bodies:
                lines = b"Content-Type: %b\r\n" % kind
                target = b"/%b%b" % (name.encode(), query)
                yield request(target, method=b"POST", lines=lines, body=body.encode("latin-1"))


async def _say(running: Served, canaries: tuple[Canary, ...]) -> None:
    async with aiohttp.ClientSession() as session:
        for name in MODES:
            for canary in canaries:
                async with await _connected(session, running, f"/{name}/live") as socket:
                    await socket.send_str(json.dumps({"content": "x", canary.text: 1}))
                    await socket.receive(timeout=10)


async def _connected(
    session: aiohttp.ClientSession, running: Served, path: str
) -> aiohttp.ClientWebSocketResponse:
    """Return a WebSocket; a sidecar without processor time refuses some (503)."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await session.ws_connect(f"http://127.0.0.1:{running.port}{path}")
        except aiohttp.WSServerHandshakeError as error:
            if error.status != 503 or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "log_format",
    ["json", *(pytest.param(one, marks=pytest.mark.slow) for one in ("console", "ecs"))],
)
async def test_no_name_of_a_client_is_told(tmp_path: Path, log_format: str) -> None:
    canaries = make(12)
    folder = tmp_path / "kept"
    (folder / "log").mkdir(parents=True)
    options = ("--log-format", log_format, "--log-level", "debug")
    live = [web.get(f"/{name}/live", sends_back) for name in MODES]
    async with backend(*live) as behind:
        with served(
            folder,
            behind.port,
            *options,
            rules=RULES,
            admin_more="ladder_file: ladder.json",
            keys_more=AUDIT,
        ) as running:
            await asyncio.to_thread(await_log, running.process, running.log, "server.ready")
            await send_all(running.port, messages(canaries), clients=4)
            await _say(running, canaries)
            told = {path: await ask(running.admin, path, TOKEN) for path in SEEN}
            told["--steps"] = await asyncio.to_thread(told_on_a_terminal, folder, "--steps")

    told |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {"ladder.json", "audit.log"} <= {Path(one).name for one in told}
    assert b"unlisted-name" in told["--steps"]
    assert b"had a name that is not listed: $.*#" in told["--steps"]
    assert b'"place": "$.meta.*#' in told[str(folder / "ladder.json")]
    if log_format == "json":
        places = {one["place"] for one in running.events if "place" in one}
        assert all(map(PLACE.fullmatch, places)), places
        assert {one.partition("#")[0] for one in places} == {"$.*", "$.meta.*", "?*"}
    needles = {needle for one in canaries for needle in one.needles}
    for place, text in told.items():
        assert not [needle for needle in needles if needle in text], place

"""Values of the head through a real `sealyard serve`: sealed in place, and opened again."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web

from tests.scenarios.rig import backend, served

RULES = """\
      - name: push
        match: /push/{id}
        conversation: path:id
        bind: [tenant, conversation]
        request: {encrypt: ["query:q", "optional header:title"]}
      - name: pull
        match: /pull/{id}
        conversation: path:id
        bind: [tenant, conversation]
        request: {decrypt: ["query:q", "optional header:title"]}
"""


async def test_values_of_the_head_are_sealed_and_opened_again(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    seen: list[tuple[str, str | None]] = []

    async def remember(request: web.Request) -> web.Response:
        seen.append((request.raw_path, request.headers.get("Title")))
        return web.Response(text="ok")

    async with backend(web.route("*", "/{kind}/{id}", remember)) as behind:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
            base = f"http://127.0.0.1:{ours.port}"
            async with aiohttp.ClientSession(requote_redirect_url=False) as session:

                async def status(target: str, title: str | None = None) -> int:
                    headers = {} if title is None else {"Title": title}
                    async with session.get(f"{base}{target}", headers=headers) as response:
                        assert canary not in await response.text()
                        return response.status

                query = f"a=1&q={canary}%20%26&b="
                assert await status(f"/push/c1?{query}", f"T {canary}") == 200
                path, title = seen[0]
                assert await status(path.replace("push", "pull"), title) == 200
                assert await status(path.replace("/push/c1", "/pull/c2"), title) == 400
                assert await status(f"/push/c1?q={quote('a: 1')}") == 200
                assert await status("/push/c1?q=a%0D%0AX-Admin%3A%201") == 200
                harmless, harmful = (one.partition("q=")[2] for one, _ in seen[-2:])
                assert await status(path.replace("push", "pull"), harmless) == 200
                assert await status(path.replace("push", "pull"), harmful) == 400
                for spelled in ("q=1&q=", "q=1&Q=", "q=1&q%5B%5D=", "q=1;q=", "a="):
                    assert await status(f"/push/c1?{spelled}{canary}") == 400
        log = ours.log.read_text()

    assert path.startswith("/push/c1?a=1&q=eyJ0eXAiOiJzeTEi")
    assert path.endswith("&b=")
    assert title is not None
    assert title.startswith("eyJ0eXAiOiJzeTEi")
    assert canary not in f"{path}{title}{log}"
    assert seen[1] == (f"/pull/c1?{query}", f"T {canary}")
    assert [one for _, one in seen[2:]] == [None, None, "a: 1"]

"""Values of the head through a real `sealyard serve`: sealed in place, and opened again."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend

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
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
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


REPLIES = """\
      - name: reply
        match: /reply/{id}
        conversation: path:id
        response: {encrypt: "header:title"}
      - name: deliver
        match: /deliver/{id}
        conversation: path:id
        response: {decrypt: "header:title"}
"""


async def test_headers_of_responses_are_sealed_and_opened_also_where_there_is_no_body(
    tmp_path: Path,
) -> None:
    canary = secrets.token_hex(16)

    async def answer(request: web.Request) -> web.Response:
        status = int(request.query.get("status", "200"))
        text = "ok" if status == 200 else None
        title = request.headers.get("Echo", f"T {canary}")
        return web.Response(text=text, status=status, headers={"Title": title, "Other": canary})

    async with backend(web.route("*", "/{kind}/{id}", answer)) as behind:
        async with shared(tmp_path, behind.port, rules=REPLIES) as ours:
            base = f"http://127.0.0.1:{ours.port}"
            async with aiohttp.ClientSession() as session:

                async def title(method: str, target: str, echo: str | None = None) -> str | int:
                    headers = {} if echo is None else {"Echo": echo}
                    async with session.request(method, base + target, headers=headers) as response:
                        text = await response.text()
                        if "Sealyard-Error" in response.headers:
                            assert canary not in text
                            return response.status
                        return response.headers["Title"]

                for method, query in (
                    ("GET", ""),
                    ("HEAD", ""),
                    ("GET", "?status=204"),
                    ("GET", "?status=304"),
                    ("POST", "?status=201"),
                ):
                    sealed = await title(method, f"/reply/c1{query}")
                    assert isinstance(sealed, str)
                    assert sealed.startswith("eyJ0eXAiOiJzeTEi")
                    assert await title(method, f"/deliver/c1{query}", sealed) == f"T {canary}"
                    assert await title(method, f"/deliver/c2{query}", sealed) == 502
                    # Outside 2xx, what is no token passes.
                    unsealed = "plain" if query == "?status=304" else 502
                    assert await title(method, f"/deliver/c1{query}", "plain") == unsealed
        log = ours.log.read_text()
    assert canary not in log

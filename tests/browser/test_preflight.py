"""CORS through closed rules, as a real browser asks: preflights pass for what a rule takes."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from proxy.core.compiled.rule_table import RuleTable
from tests.browser.chromium import MISSING, PROGRAM, chromium
from tests.config.builders import loaded, with_rules
from tests.keys.builders import a_world
from tests.servers import serving
from tests.traffic.ours import local, proxied

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

CANARY = "canary-preflight"
RULES = """
      - name: send
        match: PUT /api/messages/{id}
        tenant: const:clinic
        conversation: path:id
        request: {encrypt: $.content}
        response: {decrypt: tokens}
"""
SEND = """fetch('http://127.0.0.1:%d/api/messages/7%s', {
    method: '%s', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(%s)
}).then((answer) => answer.json()).catch((error) => String(error))"""


async def test_a_page_of_another_origin_sends_through_closed_rules_and_only_what_they_take() -> (
    None
):
    seen: list[tuple[str, str]] = []

    async def backend(request: web.Request) -> web.Response:
        seen.append((request.method, await request.text()))
        allowed = {
            "Access-Control-Allow-Origin": request.headers["Origin"],
            "Access-Control-Allow-Methods": "PUT, DELETE",
            "Access-Control-Allow-Headers": "content-type",
        }
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=allowed)
        return web.json_response(json.loads(seen[-1][1]), headers=allowed)

    async def page_of_another_origin(_: web.Request) -> web.Response:
        return web.Response(text="<title>another origin</title>", content_type="text/html")

    behind, page_app = web.Application(), web.Application()
    behind.router.add_route("*", "/{path:.*}", backend)
    page_app.router.add_get("/", page_of_another_origin)
    (listener,) = loaded(with_rules(RULES)).settings.listeners
    async with (
        serving(behind) as port,
        serving(page_app) as other,
        proxied(
            local(port),
            rule_table=RuleTable(listener.rules, pass_unmatched=False),
            keys=a_world().sessions,
        ) as ours,
        chromium() as page,
    ):
        await page.open(f"http://127.0.0.1:{other}/")
        body = {"content": CANARY}
        sent = await page.value(SEND % (ours.port, "", "PUT", json.dumps(body)))
        told = [method for method, _ in seen]
        more = {"content": CANARY, "unlisted": CANARY}
        refused = [
            await page.value(SEND % (ours.port, *rest))
            for rest in (
                ("", "DELETE", json.dumps(body)),
                ("", "PUT", json.dumps(more)),
                ("?content=x", "PUT", json.dumps(body)),
            )
        ]

    assert sent == body
    assert told == ["OPTIONS", "PUT"]
    assert refused == ["TypeError: Failed to fetch"] * 3
    assert not any(method == "DELETE" for method, _ in seen)
    assert not any(CANARY in text for _, text in seen)

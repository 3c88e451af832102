"""The status page in a real browser."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.demo.stage import stage
from tests.browser.chromium import MISSING, PROGRAM, Page, chromium
from tests.browser.screenshot import shown
from tests.browser.test_demo_page import AXE, PHONE, VIOLATIONS
from tests.scenarios.rig import TOKEN, Served, backend, served
from tests.scenarios.test_viewing_parts import RULES as PARTS
from tests.scenarios.test_viewing_parts import echo
from tests.servers import sends_back

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

_RATIO = """(() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).slice(0, 3).map((n) => n / 255)
      .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const color = getComputedStyle(one).backgroundColor;
      if (!color.endsWith(', 0)') && color !== 'transparent') return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const low = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !one.checkVisibility() || one.closest('option, noscript')) continue;
    const a = light(getComputedStyle(one).color), b = light(behind(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(one.className + ': ' + one.textContent.slice(0, 30));
  }
  return low;
})()"""


async def post(ours: Served, body: Mapping[str, object]) -> int:
    url = f"http://127.0.0.1:{ours.port}/api/messages"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return answer.status


async def test_a_newcomer_sees_who_gets_what(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage") as scene, chromium() as page:
        await page.open(f"http://127.0.0.1:{scene.page}/")
        await shown(page, scene)
        columns = await page.value(
            "[...document.querySelectorAll('#messages li:last-child .cell')].map(c => c.innerText)"
        )
        refused = await page.value("document.querySelector('.message.refusal').innerText")

        assert "Penicillin" in columns[0]
        assert "Penicillin" not in columns[1]
        assert "eyJ0eXAiOiJzeTEi" in columns[1]
        assert "Penicillin" in columns[2]
        assert "nothing: it was refused" in refused
        assert page.complaints == []


async def test_the_ladder_is_shown(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage") as scene, chromium() as page:
        await page.open(f"http://127.0.0.1:{scene.page}/")
        await page.until("document.querySelector('#ladder tr')")
        told = await page.value("document.getElementById('ladder').innerText")
        note = await page.value("document.getElementById('ladder-note').innerText")

        assert "enforce" in told
        assert "the start of the process" in note
        assert page.complaints == []


LADDER = {
    "at": 9 * 86400,
    "counted_since": 0,
    "kept": True,
    "rules": [
        {
            "listener": "api",
            "rule": "list",
            "mode": "permissive",
            "until": 5e9,
            "since": 0,
            "seen": True,
            "messages": 8800,
            "refused": 0,
            "plain": 45,
            "would_refuse": [
                {
                    "direction": "response",
                    "reason": "not-a-token",
                    "client_name": "ios",
                    "messages": 40,
                }
            ],
        }
    ],
}
UNRULED = [
    {
        "listener": "api",
        "rule": "",
        "method": "POST",
        "shape": "/visits/*",
        "direction": "request",
        "member": "$.email",
        "kind": "name: contact",
        "number": 17,
    }
]


async def test_the_ladder_says_what_would_break_and_for_whom(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage") as scene, chromium() as page:
        await page.open(f"http://127.0.0.1:{scene.page}/")
        await page.until("document.querySelector('#ladder tr')")
        await page.value(f"ladder({json.dumps(LADDER)})")
        await page.value(f"unruled({json.dumps(UNRULED)})")
        row = await page.value("document.getElementById('ladder').innerText")
        unruled = await page.value("document.getElementById('unruled').innerText")

    assert "45 plain values" in row
    assert "40 response not-a-token from ios" in row
    assert "$.email looks sensitive (name: contact)" in " ".join(unruled.split())
    assert "POST /visits/*, 17 requests" in unruled


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_contrast(tmp_path: Path, scheme: str) -> None:
    async with stage(tmp_path / "stage") as scene, chromium() as page:
        await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        await page.open(f"http://127.0.0.1:{scene.page}/")
        await shown(page, scene)

        assert await page.value(_RATIO) == []


async def test_the_token_is_asked_for_kept_out_of_addresses_and_no_value_shows(
    tmp_path: Path,
) -> None:
    canary = secrets.token_hex(12)
    async with backend() as behind:
        with served(tmp_path, behind.port, admin_more="status_page: true, tap: true") as ours:
            await ours.event("server.ready")
            async with chromium() as page:
                address = f"http://127.0.0.1:{ours.admin}"
                await page.open(f"{address}/")
                await page.until("!document.getElementById('gate').hidden")
                assert await page.value("document.activeElement.id") == "token"
                await submit(page, "wrong-token-of-the-tests")
                await page.until("document.getElementById('gate-error').textContent")
                await submit(page, TOKEN)
                await page.until("document.querySelector('#link.live')")
                body = {"conversationId": "c1", "content": canary, "note": canary, canary: canary}
                assert await post(ours, body) == 200
                await page.until("document.querySelectorAll('#messages li').length === 1")
                await page.until("document.getElementById('n-sealed').textContent === '2'")
                text = await page.value("document.documentElement.outerHTML")
                row = await page.value("document.querySelector('#rules tr').innerText")

    assert canary not in text
    assert TOKEN not in text
    assert TOKEN not in json.dumps(page.requests)
    assert all(url.startswith(address) for _, url in page.requests)
    assert row.split()[0] == "alpha"
    # The two answers of 401, which a browser tells of, and nothing else.
    assert all("401" in one for one in page.complaints)


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core here: `./dev test tests/browser`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_on_the_page_after_init(
    tmp_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    async with backend() as behind:
        with served(tmp_path, behind.port, admin_more="status_page: true, tap: true") as ours:
            await ours.event("server.ready")
            async with chromium() as page:
                await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
                await page.open(f"http://127.0.0.1:{ours.admin}/", width=size[0], height=size[1])
                await page.until("!document.getElementById('gate').hidden")
                await page.value(AXE.read_text() + "\n;undefined")
                at_the_gate = await page.value(VIOLATIONS)
                await submit(page, TOKEN)
                await page.until("document.querySelector('#link.live')")
                for body in ({"conversationId": "c1", "content": "x"}, {"content": "refused"}):
                    await post(ours, body)
                await page.until("document.querySelectorAll('#messages li').length === 2")
                await page.value(f"ladder({json.dumps(LADDER)}), unruled({json.dumps(UNRULED)})")
                inside = await page.value(VIOLATIONS)

    assert at_the_gate == []
    assert inside == []


async def test_markup_in_names_is_text(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    rules = f"""\
      - name: "{evil}"
        match: POST /api/messages
        conversation: const:c
        request: {{encrypt: [$.content, "$['{evil}']"]}}
"""
    async with backend() as behind:
        more = "status_page: true, tap: true"
        with served(tmp_path, behind.port, rules=rules, admin_more=more) as ours:
            await ours.event("server.ready")
            async with chromium() as page:
                await page.open(f"http://127.0.0.1:{ours.admin}/")
                await page.until("!document.getElementById('gate').hidden")
                await submit(page, TOKEN)
                await page.until("document.querySelectorAll('#rules tr').length === 2")
                assert await post(ours, {"content": "x", evil: "y"}) == 200
                await page.until("document.querySelectorAll('#messages li').length === 1")

                assert evil in await page.value("document.querySelector('#rules').innerText")
                assert evil in await page.value("document.querySelector('#messages').innerText")
                assert await page.value("document.images.length") == 0


async def submit(page: Page, token: str) -> None:
    await page.value(f"document.getElementById('token').value = {json.dumps(token)}")
    await page.value("document.querySelector('#gate button').click()")


async def test_messages_of_a_websocket_and_sealed_streams_show_as_they_pass(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend(web.get("/live", sends_back), web.post("/frames/{id}", echo)) as behind:
        with served(
            tmp_path, behind.port, rules=PARTS, admin_more="status_page: true, tap: true"
        ) as ours:
            await ours.event("server.ready")
            async with chromium() as page, aiohttp.ClientSession() as session:
                await page.open(f"http://127.0.0.1:{ours.admin}/")
                await page.until("!document.getElementById('gate').hidden")
                await submit(page, TOKEN)
                await page.until("document.querySelector('#link.live')")
                address = f"http://127.0.0.1:{ours.port}"
                async with session.ws_connect(f"{address}/live") as socket:
                    await socket.send_json({"content": canary})
                    await socket.receive_json()
                    await page.until("document.querySelectorAll('#messages li').length === 2")
                    shown = await page.value("document.getElementById('messages').innerText")
                async with session.post(f"{address}/frames/a", data=canary.encode() * 5000) as sent:
                    assert sent.status == 200
                await page.until("document.querySelectorAll('#messages li').length === 4")
                streamed = await page.value("document.querySelector('#messages li').innerText")
                complaints = page.complaints
                text = await page.value("document.documentElement.outerHTML")

    assert "message to the backend" in shown
    assert "message to the reader" in shown
    assert "stream" in streamed.split()
    assert "streamed" in streamed.split()
    assert canary not in text
    assert all("401" in one for one in complaints)

"""Names in a second place or spelling, through a real `sealyard serve`: the canary goes nowhere."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import aiohttp
from yarl import URL

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend

RULES = """\
      - name: pay
        match: POST /api/pay
        conversation: const:c1
        request: {encrypt: $.card}
      - name: view
        match: POST /api/view
        conversation: const:c1
        request: {encrypt: {select: $.card, elsewhere: allow}}
"""


async def test_a_selected_name_in_a_second_place_never_reaches_the_backend(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind, aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            url = f"http://127.0.0.1:{ours.port}/api/pay"
            statuses = []
            for query in ("card", "card[]", "card[n]", "%63ard", "%2563ard", "+Card", "x=1;card"):
                target = f"{url}?{query}={canary}"
                async with session.post(
                    URL(target, encoded=True), json={"card": "decoy"}
                ) as response:
                    statuses.append((response.status, (await response.json())["status"]))
            for members in ({"Card": canary}, {"ca_rd": canary}, {"__proto__": {"card": canary}}):
                async with session.post(url, json={"card": "decoy", **members}) as response:
                    statuses.append((response.status, (await response.json())["status"]))

            seen = len(behind.bodies)
            async with session.post(
                f"http://127.0.0.1:{ours.port}/api/view?card=full", json={"card": "decoy"}
            ) as response:
                assert response.status == 200
            async with session.get(f"http://127.0.0.1:{ours.health}/metrics") as response:
                metrics = await response.text()
        log = ours.log.read_text()

    assert set(statuses) == {(400, 400)}
    assert seen == 0
    assert b"decoy" not in behind.bodies[0]
    assert canary not in log
    assert canary not in metrics


STOLEN = """\
      - name: store
        match: POST /store
        conversation: $.conversationId
        request: {encrypt: $.content}
      - name: by body
        match: POST /body
        others: pass
        conversation: $.conversationId
        request: {decrypt: $.content}
      - name: by query
        match: POST /query
        conversation: query:conversationId
        request: {decrypt: $.content}
      - name: by header
        match: POST /header
        conversation: header:x-room
        request: {decrypt: $.content}
"""


async def test_a_stolen_token_opens_under_no_second_name(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind, aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=STOLEN) as ours:
            base = f"http://127.0.0.1:{ours.port}"
            his = {"conversationId": "victim", "content": canary}
            async with session.post(f"{base}/store", json=his) as response:
                assert response.status == 200
            token = json.loads(behind.bodies[0])["content"]

            async def status(target: str, body: str, headers: dict[str, str] | None = None) -> int:
                told = {"Content-Type": "application/json", **(headers or {})}
                url = URL(base + target, encoded=True)
                async with session.post(url, data=body, headers=told) as response:
                    return response.status

            stolen = json.dumps({"conversationId": "victim", "content": token})
            seen = []
            for name in ("ConversationId", "conversation_id", "conversationId", "__proto__"):
                value = '{"conversationId":"mine"}' if name == "__proto__" else '"mine"'
                seen.append(await status("/body", f'{{"{name}":{value},{stolen[1:]}'))
            seen.append(await status("/body?conversationId=mine", stolen))
            bare = json.dumps({"content": token})
            two = ("&+conversationId=mine", "&conversationId%00=mine", "&conversation.id=m")
            seen += [await status(f"/query?conversationId=victim{more}", bare) for more in two]
            mine = json.dumps({"content": token, "conversationId": "mine"})
            seen.append(await status("/query?conversationId=victim", mine))
            room = {"X-Room": "victim"}
            seen.append(await status("/header", bare, room | {"Connection": "x-room"}))
            seen.append(await status("/header", bare, room | {"X.Room": "mine"}))
            assert len(behind.bodies) == 1
            honest = [await status("/body?conversationId=victim", stolen)]
            honest.append(await status("/header", bare, room))
            honest.append(await status("/body", stolen, {"Cookie": "conversationId=mine"}))
        log = ours.log.read_text()

    assert seen == [400] * 11
    assert honest == [200, 200, 200]
    assert canary in behind.bodies[1].decode()
    assert canary not in log


OBSERVING = """\
      - name: watched
        match: POST /watched
        mode: observe
        conversation: query:room
        request: {encrypt: $.card}
      - name: read
        match: GET /read
        mode: observe
        conversation: query:room
        response: {decrypt: $.card}
      - name: pay
        match: POST /api/pay
        conversation: const:c1
        request: {encrypt: $.card}
"""


async def test_what_would_be_refused_is_told_and_no_header_leads_around_a_rule(
    tmp_path: Path,
) -> None:
    async with (
        backend() as behind,
        aiohttp.ClientSession() as session,
        shared(tmp_path, behind.port, rules=OBSERVING) as ours,
    ):
        base = f"http://127.0.0.1:{ours.port}"
        told: dict[str, str | None] = {}
        for method, target in (
            ("POST", "/watched?room=a&card=1"),
            ("POST", "/watched?room=a&Room=b"),
            ("POST", "/watched?room="),
            ("GET", "/read?room=a&room[]=b"),
        ):
            url = URL(base + target, encoded=True)
            async with session.request(method, url, json={"card": "x"}) as response:
                assert response.status == 200
            events = await ours.event("message.handled", len(told) + 1)
            told[target] = events.get("would_fail")
        statuses = []
        for name in ("X-Original-URL", "x-rewrite-url", "X.Original.URL"):
            for path, value in (("/public", "/api/pay"), ("/api/pay", "/public")):
                async with session.post(
                    base + path, json={"card": "CANARY"}, headers={name: value}
                ) as response:
                    statuses.append(response.status)
        async with session.post(
            f"{base}/api/pay", json={"card": "x"}, headers={"X-Original-URL": "/api/pay"}
        ) as response:
            assert response.status == 200

    assert list(told.values()) == ["name-in-query", "name-variant", "empty-name", "name-variant"]
    assert statuses == [400] * 6
    assert not any(b"CANARY" in body for body in behind.bodies)

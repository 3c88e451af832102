"""Who got what, and what the audit log says of it: a doctor, a billing clerk, a stranger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.scenarios.rig import Served, Wanted, backend, served
from tests.scenarios.test_audit import lines, sealyard, until
from tests.traffic.callers.issuers import AUDIENCE, EVERY, ISSUER, claims, public, signed

CANARY = "canary-note-5d21"
CARD = "4111-canary-1111"
JWT = f"issuer: {ISSUER}, audience: {AUDIENCE}, jwks: {{file: jwks.json}}, algorithms: [ES256]"
CALLERS = f"""    callers:
      - name: doctor
        jwt: {{{JWT}, claims: {{roles: doctor}}}}
        opens_per_minute: 6
      - {{name: billing, jwt: {{{JWT}, claims: {{roles: billing}}}}}}
"""
RULES = """      - name: history
        match: POST /api/messages
        conversation: $.conversationId
        request: {encrypt: [$.content, $.card]}
        response:
          decrypt:
            - {select: $.content, for: {doctor: value, billing: absent}, otherwise: refuse}
            - {select: $.card, for: {billing: value}, otherwise: {mask: pan}}
"""
OPENS = "audit: {file: log/audit.log, on_failure: block, opens: all}\n"
DESK = "desk-token-0123456789abcdef0123456789"
ADMIN = "tokens: [{name: desk, token: {file: desk.token}, scopes: [seal, open]}]"
MASKS = "masks: {pan: {keep: {last: 4}}}\n"


async def posted(ours: Served, role: str | None, conversation: str) -> tuple[int, dict[str, Any]]:
    headers = {}
    if role is not None:
        headers["Authorization"] = f"Bearer {signed(claims(roles=[role], sub=f'{role}-canary'))}"
    body = {"conversationId": conversation, "content": CANARY, "card": CARD}
    url = f"http://127.0.0.1:{ours.port}/api/messages"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url, json=body) as response,
    ):
        return response.status, await response.json(content_type=None)


async def asked(
    ours: Served, what: str, one: dict[str, Any], role: str | None, subject: str = "desk"
) -> tuple[int, dict[str, Any]]:
    """Open or seal a value by the admin API, for a caller of this role."""
    body: dict[str, Any] = {"tokens" if what == "open" else "values": [one]}
    if role is not None:
        body["caller"] = signed(claims(roles=[role], sub=f"{subject}-canary"))
    url = f"http://127.0.0.1:{ours.admin}/v1/{what}"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {DESK}"}) as session,
        session.post(url, json=body) as response,
    ):
        return response.status, await response.json(content_type=None)


async def desk_opens(ours: Served, note: dict[str, Any], card: dict[str, Any]) -> None:
    """Open all that one doctor may in a minute, and nothing for another who has."""
    status, answer = await asked(ours, "open", note, "doctor")
    assert (status, answer["values"][0]["value"]) == (200, CANARY)
    status, answer = await asked(ours, "open", card, "doctor")
    assert (status, answer["values"][0]["value"][-4:]) == (200, "1111")
    assert "canary" not in answer["values"][0]["value"]
    opened = [(await asked(ours, "open", note, "doctor"))[0] for _ in range(5)]
    assert opened == [200, 200, 200, 200, 429]
    status, answer = await asked(ours, "open", note, "doctor", "doctor")
    assert (status, answer["type"].rpartition(":")[2]) == (429, "caller-opens-limited")


def told(folder: Path, *options: str) -> list[dict[str, Any]]:
    shown = sealyard(folder, "audit", "show", "--event", "open.attempted", "--json", *options)
    return [json.loads(line) for line in shown.splitlines()]


async def test_the_log_says_who_got_what_and_a_crawler_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [public(alg) for alg in EVERY]}))
    (tmp_path / "desk.token").write_text(DESK)
    (tmp_path / "desk.token").chmod(0o600)
    wanted = Wanted(keys_more=OPENS + MASKS, rules=RULES + CALLERS, admin_more=ADMIN)
    async with backend() as behind:
        with served(tmp_path, behind.port, **wanted) as ours:
            await ours.event("server.ready")
            status, doctor = await posted(ours, "doctor", "c1")
            assert (status, doctor["content"]) == (200, CANARY)
            assert doctor["card"].endswith("1111")
            assert "canary" not in doctor["card"]
            status, billing = await posted(ours, "billing", "c1")
            assert (status, billing["card"]) == (200, CARD)
            assert "content" not in billing
            bodies = len(behind.bodies)
            status, stranger = await posted(ours, None, "c1")
            assert (status, stranger["type"].rpartition(":")[2]) == (403, "caller-may-not-open")
            assert len(behind.bodies) == bodies
            answers = [await posted(ours, "doctor", "c2") for _ in range(4)]
            assert [one[0] for one in answers] == [200, 200, 429, 429]
            assert answers[-1][1]["type"].endswith(":caller-opens-limited")
            assert (await posted(ours, "billing", "c2"))[0] == 200
            stored = json.loads(behind.bodies[0])
            bound = {"tenant": "alpha", "conversation": "c1"}
            note = {**bound, "field": "content", "token": stored["content"]}
            card = {**bound, "field": "card", "token": stored["card"]}
            await desk_opens(ours, note, card)
            for role in ("billing", None, "stranger"):
                status, answer = await asked(ours, "open", note, role)
                assert (status, "values" in answer) == (403, False)
            value = {**bound, "field": "content", "value": "x"}
            assert (await asked(ours, "seal", value, "doctor"))[0] == 200
            await until(lambda: sum(len(one.get("delivered", ())) for one in lines(tmp_path)) >= 5)
    named = ("--tenant", "alpha", "--conversation")
    by_doctor, by_billing, *by_hand = told(tmp_path, *named, "c1")
    assert [(one["listener"], one["caller"], one["fields"]) for one in by_hand] == [
        ("admin", "doctor", ["content:value:1"]),
        ("admin", "doctor", ["card:mask:1"]),
        *[("admin", "doctor", ["content:value:1"])] * 4,
    ]
    assert (by_doctor["caller"], by_doctor["fields"]) == (
        "doctor",
        ["content:value:1", "card:mask:1"],
    )
    assert (by_billing["caller"], by_billing["fields"]) == (
        "billing",
        ["content:absent:1", "card:value:1"],
    )
    assert {one["delivered"] for one in (by_doctor, by_billing)} == {"whole"}
    assert len(told(tmp_path, "--issuer", ISSUER, "--subject", "doctor-canary")) == 3
    assert len(told(tmp_path, *named, "c2", "--caller", "billing")) == 1
    text = (tmp_path / "log" / "audit.log").read_text()
    assert "canary" not in text
    assert "canary" not in ours.log.read_text()

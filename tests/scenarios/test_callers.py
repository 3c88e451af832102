"""Callers of a running Sealyard, over reloads of the keys that verify them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp

from tests.scenarios import rig
from tests.scenarios.rig import Served, backend, configured, running, served
from tests.servers import free_port
from tests.traffic.callers.issuers import claims, public, signed

CALLERS: Final = """\
    callers:
      - name: doctor
        jwt:
          issuer: https://id.clinic
          audience: messages
          jwks: {file: jwks.json}
          algorithms: [ES256, ES384]
          claims: {roles: doctor}
          tenants: {claim: org, allow: [clinic]}
"""
RULES: Final = """\
      - name: send
        match: POST /api/messages
        tenant: caller:org
        conversation: $.conversationId
        request: {encrypt: [$.content, $.note]}
      - name: live
        match: WS /live
        tenant: caller:org
        conversation: query:c
        request: {encrypt: $.content}
"""
SENT: Final = {"conversationId": "c1", "content": "canary-content", "note": "canary-note"}


def write_keys(folder: Path, *algorithms: str) -> None:
    keys = [public(one) for one in algorithms]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))


async def send(one: Served, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{one.port}/api/messages"
    async with aiohttp.ClientSession() as session:
        answer = await session.post(url, json=SENT, headers=headers)
        return answer.status


async def connect(one: Served, token: str) -> int:
    """Return the status of the answer to the handshake of a WebSocket."""
    handshake = {
        "Authorization": f"Bearer {token}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    url = f"http://127.0.0.1:{one.port}/live?c=1"
    async with aiohttp.ClientSession() as session, session.get(url, headers=handshake) as answer:
        return answer.status


async def test_keys_in_a_file_are_read_again_and_a_removed_one_verifies_nothing(
    tmp_path: Path,
) -> None:
    write_keys(tmp_path, "ES256")
    token, new = signed(), signed(alg="ES384")
    async with backend() as behind:
        with served(tmp_path, behind.port, rules=RULES, listener_more=CALLERS) as one:
            await one.event("server.ready")
            assert [await send(one, each) for each in (token, token, new)] == [200, 200, 401]
            assert await connect(one, signed(claims(exp=1))) == 401
            assert await connect(one, token) == 200  # what a backend without WebSockets answers

            write_keys(tmp_path, "ES384")
            await one.event("config.loaded", 2)
            assert [await send(one, each) for each in (token, new)] == [401, 200]

            (tmp_path / "jwks.json").write_text("{}")
            await one.event("config.refused")
            assert [await send(one, each) for each in (token, new)] == [401, 200]
            metrics = await one.metrics()
            lines = [event for event in one.events if event["event"] == "message.handled"]

    assert {line["caller"] for line in lines} == {"doctor"}
    counted = (("doctor", "verified", 2), ("doctor", "known", 3), ("", "refused", 4))
    for caller, outcome, number in counted:
        labels = f'caller="{caller}",listener="api",outcome="{outcome}"'
        assert f"sealyard_callers_total{{{labels}}} {number}.0" in metrics
    assert not any(b"canary" in body for body in behind.bodies)


def two_listeners(upstream: int, ports: list[int], *callers: tuple[str, str]) -> str:
    """Return a configuration of two listeners: the name and the audience of the caller of each."""
    first, second, admin, health = ports
    wanted: rig.Wanted = {"rules": RULES, "listener_more": CALLERS}
    text = configured(upstream, f"127.0.0.1:{first}", admin, health, wanted)
    head, _, listener = text.partition("listeners:\n")
    made = [
        listener.replace("name: doctor", f"name: {name}").replace(": messages", f": {audience}")
        for name, audience in callers
    ]
    made[1] = made[1].replace("name: api", "name: other").replace(f":{first}", f":{second}")
    return f"{head}listeners:\n{made[0]}{made[1]}"


async def test_a_verdict_of_one_listener_never_counts_at_another(tmp_path: Path) -> None:
    write_keys(tmp_path, "ES256")
    rig.write_keys(tmp_path)
    token, ports = signed(), [free_port() for _ in range(4)]
    port, _, admin, health = ports
    doctor, elsewhere, clerk = ("doctor", "messages"), ("doctor", "billing"), ("clerk", "messages")
    async with backend() as behind:
        text = two_listeners(behind.port, ports, doctor, elsewhere)
        with running(tmp_path, text, port=port, admin=admin, health=health) as api:
            other = replace(api, port=ports[1])
            await api.event("server.ready")
            for callers, statuses in (
                ((doctor, elsewhere), [200, 401]),
                ((elsewhere, doctor), [401, 200]),
                ((doctor, clerk), [200, 200]),
            ):
                text = two_listeners(behind.port, ports, *callers)
                (tmp_path / "sealyard.yaml").write_text(text)
                await api.reload()
                both = [await send(one, token) for one in (api, other, api, other)]
                assert both == statuses * 2
            metrics = await api.metrics()

    lines = [one for one in api.events if one["event"].startswith("message.")]
    assert [(one["listener"], one.get("caller") or one["reason"]) for one in lines] == [
        *[("api", "doctor"), ("other", "other-audience")] * 2,
        *[("api", "other-audience"), ("other", "doctor")] * 2,
        *[("api", "doctor"), ("other", "clerk")] * 2,
    ]
    assert len(behind.bodies) == 8
    assert not any(b"canary" in body for body in behind.bodies)
    assert "canary" not in metrics + api.log.read_text()

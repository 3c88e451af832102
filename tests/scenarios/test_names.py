"""Names in a second place or spelling, through a real `sealyard serve`: the canary goes nowhere."""

from __future__ import annotations

import secrets
from pathlib import Path

import aiohttp
from yarl import URL

from tests.scenarios.rig import backend, served

RULES = """\
      - name: pay
        match: POST /api/pay
        conversation: const:c1
        request: {encrypt: $.card}
      - name: view
        match: POST /api/view
        conversation: const:c1
        request: {encrypt: {select: $.card, query: allow}}
"""


async def test_a_selected_name_in_a_second_place_never_reaches_the_backend(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with backend() as behind, aiohttp.ClientSession() as session:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
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
            async with session.post(
                url, json={"card": "decoy"}, headers={"Cookie": f"card={canary}"}
            ) as response:
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

"""A reader who is told who wrote a message gets it only if that is true."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Final

from tests.scenarios.end_to_end import RULES, World, a_world

READING: Final = """\
      - name: read a page
        match: POST /page/{id}
        conversation: path:id
        reader: jwt-unverified:sub
        response: {decrypt: $.m.*.content, sender: $.m.*.from, on_error: keep}
"""


def audited(folder: Path) -> str:
    return (folder / "keyring.jwe.audit").read_text()


async def page(world: World, *messages: tuple[str, str]) -> list[str]:
    """Return what bob gets of messages that the backend says to be of somebody."""
    body = {"m": [{"from": who, "content": token} for who, token in messages]}
    status, answer = await world.post("/page/c1", "bob", body)
    assert status == 200, answer
    return [one["content"] for one in answer["m"]]


async def test_a_message_that_is_shown_as_somebody_elses_stays_sealed(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with a_world(tmp_path, RULES + READING) as world:
        await world.add("eve", "outsider-sig")
        alices = await world.send(f"a-{canary}", "bob")
        eves = await world.send(f"e-{canary}", "bob", who="eve")
        told = await page(
            world, ("alice", alices), ("eve", eves), ("alice", eves), ("eve", alices), ("", eves)
        )
        assert told == [f"a-{canary}", f"e-{canary}", eves, alices, eves]
        # Without a sender in the block, whoever signed it is believed, as before.
        assert await world.read(eves, "bob") == f"e-{canary}"
        line = await world.ours.event("message.handled", 4)
        assert json.dumps(line).count(canary) == 0
        for _ in range(200):  # the line is written beside the answer
            if '"reason":"package-of-another-sender"' in audited(tmp_path):
                break
            await asyncio.sleep(0.05)
        assert '"reason":"package-of-another-sender"' in audited(tmp_path)

"""The chapters of the demo: each shows one promise of Sealyard."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path
from typing import Final

from ..core.crypto import base64url, token
from ..core.crypto.context import Scope
from ..keys.sessions import session_control
from .screen import Screen, pretty, search
from .stage import Stage, stage

MESSAGE: Final = "Penicillin allergy confirmed. Call 555-0100 before noon, Ada"
_FEW: Final = 8
CONTROL_RULES: Final = "    rules: []\n"


async def play(scene: Stage, screen: Screen) -> None:
    """Play every chapter but the last two on a stage."""
    await send_and_read(scene, screen)
    await tamper(scene, screen)
    await move(scene, screen)
    await rotate(scene, screen)
    await malformed(scene, screen)


async def send_and_read(scene: Stage, screen: Screen, text: str = MESSAGE) -> None:
    """One message from a client over the backend to a reader."""
    scene.begin(
        screen,
        "1. A message",
        "Ada's client sends plaintext to Sealyard. The backend is an ordinary, unchanged chat"
        " server. A reader requests the message from the same backend, through Sealyard.",
    )
    sent = await scene.send("ward-7", text)
    held = scene.backend.rows[-1]
    got = await scene.read("ward-7")
    screen.side_by_side(
        {
            "the client sent": pretty({"conversationId": "ward-7", "content": text}),
            "the backend holds": pretty(held),
            "the reader gets": pretty(got.json),
        }
    )
    screen.claim(
        sent.status == HTTPStatus.CREATED and got.status == HTTPStatus.OK, "both requests succeeded"
    )
    screen.claim(held["content"].startswith(token.JWE_PREFIX.decode()), "the backend has a token")
    # A text of few letters may be in a token by chance.
    plain = len(text) >= _FEW and text in json.dumps(scene.backend.rows)
    screen.claim(not plain, "the backend has no plaintext")
    screen.claim(got.json["messages"][-1]["content"] == text, "the reader gets the exact message")
    screen.claim(sent.json["content"] == text, "the response to the sender is opened as well")


async def tamper(scene: Stage, screen: Screen) -> None:
    """A token in which one character was changed."""
    scene.begin(
        screen, "2. A tampered token", "An attacker changes one character of it in the database."
    )
    row = scene.backend.rows[0]
    original = row["content"]
    at = original.rindex(".") - 3
    row["content"] = original[:at] + ("A" if original[at] != "A" else "B") + original[at + 1 :]
    answer = await scene.read("ward-7")
    row["content"] = original
    screen.refusal(answer.status, answer.body)
    screen.claim((answer.status, answer.code) == (502, "open-failed"), "it is refused, not shown")
    screen.claim(
        MESSAGE.encode() not in answer.body, "the response contains nothing of the message"
    )


async def move(scene: Stage, screen: Screen) -> None:
    """A token that was copied to another conversation."""
    scene.begin(
        screen, "3. A moved token", "An attacker copies it to a conversation that Mallory may read."
    )
    original = scene.backend.rows[0]
    scene.backend.rows.append({**original, "id": 99, "conversationId": "mallory"})
    answer = await scene.read("mallory")
    scene.backend.rows.pop()
    screen.refusal(answer.status, answer.body)
    screen.claim(
        (answer.status, answer.code) == (502, "open-failed"), "it opens in no other conversation"
    )


async def rotate(scene: Stage, screen: Screen) -> None:
    """A new session key. The old message still opens."""
    scene.begin(screen, "4. A rotation", "The conversation gets a new session key.")
    await session_control.rotate(scene.sidecar.keys.sessions, Scope("clinic", "ward-7"))
    await scene.send("ward-7", "Noted, Grace", by="grace")
    answer = await scene.read("ward-7")
    sessions = [_session_of(row["content"]) for row in scene.backend.rows]
    screen.quote(f"session of the first message:  {sessions[0]}")
    screen.quote(f"session of the second message: {sessions[1]}")
    screen.claim(sessions[0] != sessions[1], "the new message has a new session key")
    contents = [message["content"] for message in answer.json["messages"]]
    screen.claim(contents == [MESSAGE, "Noted, Grace"], "the old message still opens")


async def malformed(scene: Stage, screen: Screen) -> None:
    """A message that is not JSON."""
    scene.begin(
        screen, "5. A malformed message", "A client sends something that is not strict JSON."
    )
    before = len(scene.backend.rows)
    answer = await scene.post(b'{"conversationId": "ward-7", "content": NaN}')
    screen.refusal(answer.status, answer.body)
    screen.claim((answer.status, answer.code) == (400, "invalid-body"), "the error is clear")
    screen.claim(len(scene.backend.rows) == before, "the backend did not receive it")


async def control(folder: Path, screen: Screen) -> None:
    """The same without rules: proves that the search can find the message."""
    screen.chapter(
        "6. The control",
        "The same message passes the same sidecar without rules. Then the backend's data, the"
        " log and the store are searched for it, in raw, JSON, hex, base64 and other encodings.",
    )
    async with stage(folder, rules=CONTROL_RULES) as bare:
        await bare.send("ward-7", MESSAGE)
        found = search(MESSAGE, await bare.places())
    for place, spelling in found:
        screen.quote(f"found in {place} ({spelling})")
    screen.claim("the backend's data" in {place for place, _ in found}, "the search finds it")


async def look_for_plaintext(scene: Stage, screen: Screen) -> None:
    """The same search on the stage that had rules."""
    screen.chapter("7. The search", "The same search, after the run with rules.")
    places = await scene.places()
    for place, content in places.items():
        screen.quote(f"{place}: {len(content)} bytes searched")
    found = search(MESSAGE, places)
    for place, spelling in found:
        screen.quote(f"found in {place} ({spelling})")
    screen.claim(not found, "the message is found nowhere")
    screen.claim(all(places.values()), "each place had content to search")


def _session_of(text: str) -> str:
    return base64url.encode(token.decode(text.encode()).key_id.sid).decode()

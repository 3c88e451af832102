"""A conversation by a client that is made for Matrix; prints what it was told as JSON.

Run by the Python of an environment that has it: BASE_URL CANARY
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import sys
from typing import Any, Final

nio: Final[Any] = importlib.import_module("nio")


async def conversed(client: Any, canary: str) -> dict[str, Any]:  # noqa: ANN401 - the client's own type
    """Return what the client was told at each step."""
    found: dict[str, Any] = {"sign in": type(await client.login("password")).__name__}
    made = await client.room_create(name=f"{canary} name", topic=f"{canary} topic")
    room = made.room_id
    text = {"msgtype": "m.text", "body": canary}
    sent = await client.room_send(room, "m.room.message", text)
    found["send"] = type(sent).__name__
    newer = {**text, "body": f"* {canary}", "m.new_content": {**text, "body": f"{canary} new"}}
    newer["m.relates_to"] = {"rel_type": "m.replace", "event_id": sent.event_id}
    found["edit"] = type(await client.room_send(room, "m.room.message", newer)).__name__
    like = {"rel_type": "m.annotation", "event_id": sent.event_id, "key": f"{canary} like"}
    answer = await client.room_send(room, "m.reaction", {"m.relates_to": like})
    found["react"] = type(answer).__name__
    gone = await client.room_send(room, "m.room.message", text)
    answer = await client.room_redact(room, gone.event_id, reason=f"{canary} reason")
    found["redact"] = type(answer).__name__
    file = canary.encode() * 1000
    uploaded, _ = await client.upload(
        lambda *_: io.BytesIO(file), "image/png", f"{canary}.png", filesize=len(file)
    )
    image = {"msgtype": "m.image", "body": f"{canary}.png", "url": uploaded.content_uri}
    found["send a picture"] = type(await client.room_send(room, "m.room.message", image)).__name__
    await client.sync(timeout=0, full_state=True)
    named = client.rooms[room]
    found["name and topic by sync"] = [named.name, named.topic]
    page = await client.room_messages(room, limit=30)
    events = [one.source for one in reversed(page.chunk)]
    found["messages"] = [
        [one["type"], {k: v for k, v in one["content"].items() if k in {"body", "m.new_content"}}]
        for one in events
        if one["type"] == "m.room.message"
    ]
    found["reactions"] = [
        one["content"]["m.relates_to"]["key"] for one in events if one["type"] == "m.reaction"
    ]
    found["reasons"] = [
        one["content"].get("reason") for one in events if one["type"] == "m.room.redaction"
    ]
    got = await client.download(uploaded.content_uri)
    found["download"] = [got.body == file, got.content_type]
    return found


async def main(address: str, canary: str) -> None:
    client = nio.AsyncClient(address, "@bob:matrix.test")
    try:
        found = await conversed(client, canary)
    finally:
        await client.close()
    sys.stdout.write(json.dumps({name: {"told": one} for name, one in found.items()}))


asyncio.run(main(*sys.argv[1:]))

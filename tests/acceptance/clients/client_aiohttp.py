"""The client of aiohttp before the backend; `... URL CANARY TOKEN`. See test_clients.py.

Run by the Python of the tests, which has aiohttp for Sealyard itself.
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

URL, CANARY, TOKEN = sys.argv[1:]
OLD, API = f"{URL}/api/v1/messages", f"{URL}/api/v1/enhanced-messages"
TEXT = f'{CANARY} "q" \\ / < > & ü \U0001f30d'
SCAN = (CANARY.encode() + bytes(range(256))) * 400
TOGETHER = 16


async def tell(name: str, asked: Any) -> str:  # noqa: ANN401 - has no public name
    """Print the answer to a request, and return its text."""
    async with asked as answer:
        body = await answer.read()
    told = base64.b64encode(body).decode()
    sys.stdout.write(f"{name}\t{answer.status}\t{answer.headers['content-type']}\t{told}\n")
    return str(body.decode("latin-1"))


def number(text: str, member: str) -> str:
    """Return a number in the text of an answer."""
    found = re.search(rf'"{member}":(\d+)', text)
    assert found is not None, text
    return found[1]


async def pieces() -> AsyncIterator[bytes]:
    """Yield a body whose length is not known before."""
    yield b'{"content": "'
    yield f'{CANARY} in pieces"'.encode()
    yield b"}"


def form() -> aiohttp.FormData:
    """Return a form with two files."""
    made = aiohttp.FormData({"note": "one"})
    made.add_field("files", SCAN, filename="scan.bin", content_type="application/octet-stream")
    name = f"Röntgen {CANARY}.txt"
    made.add_field("files", TEXT.encode(), filename=name, content_type="text/plain; charset=utf-8")
    return made


async def run() -> None:
    """Carry out all checks."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        text = await tell("create", client.post(OLD, json={"content": TEXT, "subject": CANARY}))
        json_type = {"Content-Type": "application/json"}
        await tell("in pieces", client.post(OLD, headers=json_type, data=pieces()))
        group = {"content": TEXT, "conversationId": "c1"}
        await tell("group", client.post(f"{API}/group", json=group))
        edited = {"content": f"{TEXT} edited"}
        await tell("edit", client.put(f"{API}/{number(text, 'id')}", json=edited))
        await tell("invalid", client.post(OLD, json={"content": TEXT, "priority": "high"}))
        await tell("history", client.get(f"{API}/history"))
        text = await tell("upload", client.post(f"{API}/upload", data=form()))
        await tell("download", client.get(f"{API}/files/{number(text, 'number')}"))
        await tell("events", client.get(f"{OLD}/events"))
        bodies = [{"content": f"{CANARY} {one}"} for one in range(TOGETHER)]
        await asyncio.gather(
            *(
                tell(f"together {index}", client.post(OLD, json=one))
                for index, one in enumerate(bodies)
            )
        )


asyncio.run(run())

"""A client of Python: `LIBRARY URL`, which sends JSON, a form and files, each to its path.

Run by the Python of an environment that has the library.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import sys
import urllib.parse
from typing import Any, Final

TEXT: Final = 'caf\u00e9 "q" \\ / <b> & \U0001f600'
MESSAGE: Final = {
    "conversationId": "c1",
    "content": TEXT,
    "draft": False,
    "n": 1.5,
    "replyTo": None,
}
FORM: Final = {"content": TEXT, "title": "a b"}
FILE: Final = ("gr\u00fc\u00dfe a.txt", b"text", "text/plain")


def by_itself(url: str) -> None:
    """Send with what Python has; it makes no files."""
    kinds = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
    for path, body, kind in (
        ("/api/messages", json.dumps(MESSAGE), kinds["json"]),
        ("/posts", urllib.parse.urlencode(FORM), kinds["form"]),
    ):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        connection.request("POST", path, body.encode(), {"Content-Type": kind})
        connection.getresponse().read()


def at_once(library: Any, url: str) -> None:  # noqa: ANN401 - requests or httpx
    """Send with a library that waits for its answers."""
    library.post(f"{url}/api/messages", json=MESSAGE)
    library.post(f"{url}/posts", data=FORM)
    library.post(f"{url}/upload", data=FORM, files={"file": FILE})


async def by_aiohttp(library: Any, url: str) -> None:  # noqa: ANN401 - aiohttp
    """Send with aiohttp."""
    made = library.FormData(FORM)
    made.add_field("file", FILE[1], filename=FILE[0], content_type=FILE[2])
    async with library.ClientSession() as session:
        for path, what in (
            ("api/messages", {"json": MESSAGE}),
            ("posts", {"data": FORM}),
            ("upload", {"data": made}),
        ):
            async with session.post(f"{url}/{path}", **what):
                pass


def main(name: str, url: str) -> None:
    """Send with the library of that name."""
    if name == "http":
        by_itself(url)
    elif name == "aiohttp":
        asyncio.run(by_aiohttp(importlib.import_module(name), url))
    else:
        at_once(importlib.import_module(name), url)


if __name__ == "__main__":
    main(*sys.argv[1:])

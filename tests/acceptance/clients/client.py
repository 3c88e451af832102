"""A client of Python before the backend; `... LIBRARY URL CANARY TOKEN`. See test_clients.py.

Run by the Python of an environment that has the libraries.
"""

from __future__ import annotations

import base64
import importlib
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

LIBRARY, URL, CANARY, TOKEN = sys.argv[1:]
library: Final[Any] = importlib.import_module(LIBRARY)
OLD, API = f"{URL}/api/v1/messages", f"{URL}/api/v1/enhanced-messages"
TEXT = f'{CANARY} "q" \\ / < > & ü \U0001f30d'
SCAN = (CANARY.encode() + bytes(range(256))) * 400
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def session() -> Any:  # noqa: ANN401 - the library's own type
    """Return what keeps connections open; the two libraries name it differently."""
    made = library.Session() if LIBRARY == "requests" else library.Client(timeout=30)
    made.headers.update(HEADERS)
    return made


def tell(name: str, answer: Any) -> str:  # noqa: ANN401 - the library's own type
    """Print an answer, and return its text."""
    kind = answer.headers["content-type"]
    told = base64.b64encode(answer.content).decode()
    sys.stdout.write(f"{name}\t{answer.status_code}\t{kind}\t{told}\n")
    text: str = answer.content.decode("latin-1")
    return text


def number(text: str, member: str) -> str:
    """Return a number in the text of an answer."""
    found = re.search(rf'"{member}":(\d+)', text)
    assert found is not None, text
    return found[1]


def pieces() -> Iterator[bytes]:
    """Yield a body whose length is not known before."""
    yield b'{"content": "'
    yield f'{CANARY} in pieces"'.encode()
    yield b"}"


def run(open_session: Callable[[], Any]) -> None:
    """Carry out all checks."""
    client = open_session()
    text = tell("create", client.post(OLD, json={"content": TEXT, "subject": CANARY}))
    json_type = {"Content-Type": "application/json"}
    body = pieces()
    sent = {"data": body} if LIBRARY == "requests" else {"content": body}
    tell("in pieces", client.post(OLD, headers=json_type, **sent))
    tell("group", client.post(f"{API}/group", json={"content": TEXT, "conversationId": "c1"}))
    tell("edit", client.put(f"{API}/{number(text, 'id')}", json={"content": f"{TEXT} edited"}))
    tell("invalid", client.post(OLD, json={"content": TEXT, "priority": "high"}))
    tell("history", client.get(f"{API}/history"))
    files = [
        ("files", ("scan.bin", SCAN, "application/octet-stream")),
        ("files", (f"Röntgen {CANARY}.txt", TEXT.encode(), "text/plain; charset=utf-8")),
    ]
    text = tell("upload", client.post(f"{API}/upload", data={"note": "one"}, files=files))
    tell("download", client.get(f"{API}/files/{number(text, 'number')}"))
    tell("events", client.get(f"{OLD}/events"))
    with ThreadPoolExecutor(8) as pool:
        bodies = [{"content": f"{CANARY} {one}"} for one in range(16)]
        for index, answer in enumerate(pool.map(lambda one: client.post(OLD, json=one), bodies)):
            tell(f"together {index}", answer)


run(session)

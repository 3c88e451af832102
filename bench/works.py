"""The kinds of work that Sealyard and its peers are given, and the messages that go with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

CONNECTIONS: Final = 16
"""Where nothing else is said, so many at once."""
ROWS: Final = 50
"""The messages of a list."""
_WORDS: Final = "the patient slept well and asks when the results of the blood test will be known "


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request: how it is sent, and which text the backend must never see.

    `field` is the member of the body that is sealed; without one the whole body is.
    """

    name: str
    title: str
    method: Literal["GET", "POST"]
    path: str
    body: bytes = b""
    secret: str = ""
    field: str = ""


def a_text(size: int) -> str:
    """Return prose of that many characters."""
    return (_WORDS * (size // len(_WORDS) + 1))[:size]


def a_message(size: int, *, conversation: str = "c-1842") -> bytes:
    """Return a chat message of that many bytes as JSON; nearly all of it is `content`."""
    message = {
        "id": "01HZX3",
        "conversationId": conversation,
        "from": "u-17",
        "subject": "Lab result",
        "content": "",
        "priority": 2,
        "read": False,
        "tags": ["lab", "urgent"],
        "meta": {"client": "web", "zone": 3},
    }
    message["content"] = a_text(max(1, size - len(json.dumps(message))))
    return json.dumps(message).encode()


def posting(name: str, title: str, path: str, body: bytes) -> Work:
    """Return the work of posting a message whose `content` is secret."""
    return Work(name, title, "POST", path, body, json.loads(body)["content"], "content")


def works(conversation: str) -> dict[str, Work]:
    """Return every kind of work by its name; lists are those of `conversation`."""
    small, large = a_message(1024), a_message(16 * 1024)
    listed = f"conversations/{conversation}"
    every = (
        Work("pass", "1 KiB passed through", "POST", "/plain/messages", small),
        posting("seal", "1 KiB, one field sealed and opened", "/api/messages", small),
        posting("seal_16k", "16 KiB, one field sealed and opened", "/api/messages", large),
        Work(
            "whole",
            "1 KiB, the whole body sealed and opened",
            "POST",
            "/api/documents",
            small,
            a_text(100),
        ),
        Work("list_pass", f"list of {ROWS} passed through", "GET", f"/plain/{listed}/messages"),
        Work("list", f"list of {ROWS}, each one's field opened", "GET", f"/api/{listed}/messages"),
        Work("tokens", f"list of {ROWS}, searched for tokens", "GET", f"/api/{listed}/timeline"),
    )
    return {work.name: work for work in every}

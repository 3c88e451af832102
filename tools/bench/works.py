"""The kinds of work that Sealyard and its peers are given, and the messages that go with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

CONNECTIONS: Final = 16
"""Where nothing else is said, so many at once."""
ROWS: Final = 50
"""The messages of a list, and the events of a stream."""
LARGE_ROWS: Final = 12_500
LARGE_ROW_BYTES: Final = 900
"""A list of so many messages of that size has 16 MiB where Sealyard has sealed them."""
_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_WORDS: Final = "the patient slept well and asks when the results of the blood test will be known "

Shape = Literal["passed", "sealed", "rows", "events", "websocket"]
"""What is done to a message, and so how it is checked: `rows` and `events` are answers."""


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request: how it is sent, and which text the backend must never see.

    `field` is the member of the body that is sealed; without one the whole body is. `rows` is how
    many messages an answer holds.
    """

    name: str
    title: str
    shape: Shape
    path: str
    body: bytes = b""
    secret: str = ""
    field: str = ""
    rows: int = 0

    @property
    def method(self) -> Literal["GET", "POST"]:
        """The method: what has a body is posted."""
        return "POST" if self.body else "GET"


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
    secret = json.loads(body)["content"]
    return Work(name, title, "sealed", path, body, secret, "content")


def works(conversation: str) -> dict[str, Work]:
    """Return every kind of work by its name; lists and streams are those of `conversation`."""
    small = a_message(_KIB)
    listed, large = f"conversations/{conversation}", f"conversations/{conversation}-large"
    opened = "each one's field opened"
    sizes = (
        ("seal", "1 KiB", _KIB),
        ("seal_16k", "16 KiB", 16 * _KIB),
        ("seal_1m", "1 MiB", _MIB),
        ("seal_8m", "8 MiB", 8 * _MIB),
    )
    every = (
        Work("pass", "1 KiB passed through", "passed", "/plain/messages", small),
        *(
            posting(name, f"{size}, one field sealed and opened", "/api/messages", a_message(most))
            for name, size, most in sizes
        ),
        Work(
            "whole",
            "1 KiB, the whole body sealed and opened",
            "sealed",
            "/api/documents",
            small,
            a_text(100),
        ),
        Work(
            "list_pass",
            f"list of {ROWS} passed through",
            "passed",
            f"/plain/{listed}/messages",
            rows=ROWS,
        ),
        _reading("list", f"list of {ROWS}, {opened}", f"/api/{listed}/messages"),
        _reading("tokens", f"list of {ROWS}, searched for tokens", f"/api/{listed}/timeline"),
        Work(
            "list_16m",
            f"list of {LARGE_ROWS:,}, {opened}",
            "rows",
            f"/api/{large}/messages",
            rows=LARGE_ROWS,
        ),
        Work(
            "events",
            f"event stream of {ROWS}, {opened} as it comes",
            "events",
            f"/api/{listed}/events",
            rows=ROWS,
        ),
        Work(
            "websocket",
            "WebSocket message of 1 KiB, one field sealed and opened",
            "websocket",
            "/api/rooms/c-1842",
            small,
            a_text(100),
            "content",
        ),
    )
    return {work.name: work for work in every}


def _reading(name: str, title: str, path: str) -> Work:
    return Work(name, title, "rows", path, rows=ROWS)

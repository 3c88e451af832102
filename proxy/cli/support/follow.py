"""Live messages in a terminal, by kind and size, never by value."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, Final

import click

from . import console
from .admin_client import AdminListener

_COLUMNS: Final = (
    ("client", "client sent"),
    ("backend", "backend got"),
    ("answer", "backend sent"),
    ("reader", "reader got"),
)
_WAYS: Final = {"request": "to the backend", "response": "to the reader"}
_WIDTH: Final = max(len(title) for _, title in _COLUMNS)
_NO_TAP: Final = "the tap is off: set `admin.tap: true` and restart Sealyard"
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_SEALED: Final = "\x1b[36m"
_REFUSED: Final = "\x1b[31m"
_END: Final = "\x1b[0m"


class _Paint:
    def __init__(self, *, as_json: bool) -> None:
        self._colors = not as_json and sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def __call__(self, color: str, text: str) -> str:
        return f"{color}{text}{_END}" if self._colors and text else text


class _Output:
    """Writes messages up to a number."""

    def __init__(self, *, as_json: bool, left: int | None) -> None:
        self._paint = _Paint(as_json=as_json)
        self._as_json = as_json
        self._left = left

    def take(self, seen: dict[str, Any]) -> bool:
        """Write the messages; return whether more are wanted."""
        for message in seen["messages"]:
            if self._as_json:
                click.echo(json.dumps(message))
            else:
                click.echo("\n".join(_lines(message, self._paint)))
            if self._left is not None:
                self._left -= 1
                if self._left == 0:
                    return False
        if seen["missed"]:
            console.say(f"{seen['missed']} more messages not shown")
        return True


async def follow(admin: AdminListener, *, as_json: bool, count: int | None) -> None:
    """Write messages as they pass, `count` of them, or until the connection ends.

    Raises Failure where the tap is off, and at the end of the connection.
    """
    output = _Output(as_json=as_json, left=count)
    async with admin.get("/v1/status/follow", missing=_NO_TAP) as answer:
        async for line in answer.content:
            if line.strip() and not output.take(json.loads(line)):
                return
    raise console.Failure("the connection ended")


def _lines(message: dict[str, Any], paint: _Paint) -> list[str]:
    at = datetime.fromtimestamp(message["at"], UTC).astimezone().strftime("%H:%M:%S")
    outcomes = [
        f"{number} {outcome.replace('_', ' ')}" for outcome, number in message["outcomes"].items()
    ]
    if message["error"]:
        outcomes.append(paint(_REFUSED, f"refused: {message['error']}"))
    head = f"{message['method'] or '?'} {message['rule'] or 'no rule'}"
    if part := message.get("part"):
        way = _WAYS[message["direction"]]
        ended, result = f"{part} {way}", ", ".join(outcomes) or "passed"
    else:
        ended = f"{message['status']} {message['ms']} ms"
        result = ", ".join(outcomes) or f"{message['sent']} B sent, {message['got']} B received"
    lines = [f"{paint(_DIM, at)} {paint(_BOLD, head)} {ended}  {result}"]
    for side, title in _COLUMNS:
        # A response that a rule leaves unchanged is shown once.
        if message.get(side) and not (side == "answer" and message[side] == message.get("reader")):
            cells = ", ".join(_cell(row, paint) for row in message[side])
            lines.append(f"  {paint(_DIM, title.ljust(_WIDTH))} {cells}")
    return lines


def _cell(row: list[Any], paint: _Paint) -> str:
    _, name, kind, size, *value = row
    if kind == "more":
        return "…"
    words = f"{kind} {size}" if size is not None else kind
    if value:
        words = repr(value[0])
    text = f"{name}: {words}" if name is not None else words
    return paint(_SEALED, text) if kind in {"sealed", "stream"} else text

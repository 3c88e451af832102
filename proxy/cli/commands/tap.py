"""`sealyard tap`: messages as they pass, in a terminal, by kind and size."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from ..support import console
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option

_COLUMNS: Final = (
    ("client", "client sent"),
    ("backend", "backend got"),
    ("answer", "backend answers"),
    ("reader", "reader gets"),
)
_WAYS: Final = {"request": "to the backend", "response": "to the reader"}
_WIDTH: Final = max(len(title) for _, title in _COLUMNS)
_NO_TAP: Final = "it has no tap: set `admin.tap: true` and restart it"
_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_SEALED: Final = "\x1b[36m"
_REFUSED: Final = "\x1b[31m"
_END: Final = "\x1b[0m"


@click.command()
@config_option
@token_file_option
@ca_option
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many messages.")
@console.as_json
def tap(
    *,
    config: Path | None,
    token_file: Path | None,
    ca: Path | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Show messages as they pass a running Sealyard: kinds and sizes, never a value.

    \b
    sealyard tap
    sealyard tap --json --count 100

    Asks the admin listener of the configuration, which must say `tap: true`. Names show only where
    the rules say them. Of more than twenty messages a second, some are shown and the rest counted.
    Ends with Ctrl-C.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    admin = AdminListener(config, token_file, ca)
    paint = _Paint(colors=not as_json and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_show(admin, _Output(paint, as_json=as_json, left=count)))


class _Paint:
    def __init__(self, *, colors: bool) -> None:
        self._colors = colors

    def __call__(self, color: str, text: str) -> str:
        return f"{color}{text}{_END}" if self._colors and text else text


class _Output:
    """Writes messages until enough of them are written."""

    def __init__(self, paint: _Paint, *, as_json: bool, left: int | None) -> None:
        self._paint = paint
        self._as_json = as_json
        self._left = left

    def take(self, seen: dict[str, Any]) -> bool:
        """Write what was seen; return whether more is wanted."""
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
            console.say(f"{seen['missed']} more passed that are not shown")
        return True


async def _show(admin: AdminListener, output: _Output) -> None:
    async with admin.get("/v1/tap", missing=_NO_TAP) as answer:
        async for line in answer.content:
            if line.strip() and not output.take(json.loads(line)):
                return
    raise console.Failure("it has ended", console.NEGATIVE)


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
        ended, told = f"{part} {way}", ", ".join(outcomes) or "passed"
    else:
        ended = f"{message['status']} {message['ms']} ms"
        told = ", ".join(outcomes) or f"{message['sent']} B sent, {message['got']} B got"
    lines = [f"{paint(_DIM, at)} {paint(_BOLD, head)} {ended}  {told}"]
    for side, title in _COLUMNS:
        # What a rule leaves as it was need not be told twice.
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

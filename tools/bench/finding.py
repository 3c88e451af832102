"""`python -m tools.bench.finding`: cost of finding values in JSON, by each form of the Finder.

And by the walk, which takes what they leave, and all in all as a plan asks for it. Each figure is
microseconds of CPU time, the least of nine rounds. A dash is what a form leaves to the walk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Final

from proxy.core import leaves
from proxy.core.expressions.selectors import parse_json_selector
from proxy.core.formats.json import Selection
from proxy.core.leaves import finder
from proxy.core.slices import pause

from .timing import measure

_SECONDS: Final = 0.02
_MESSAGE: Final = ("$.conversationId", "$.text")
_LISTED: Final = ("$.items.*.text",)
_MIB: Final = 1024 * 1024


def main() -> None:
    """Measure, and print the table."""
    sys.stdout.write("| text | bytes | native | Python | walk | all |\n|---|--:|--:|--:|--:|--:|\n")
    for name, chosen, body in _cases():
        selection = Selection(tuple(map(parse_json_selector, chosen)))
        paths = tuple(tuple(one.split(".")[1:]) for one in chosen)
        steps = tuple(tuple(None if one == "*" else one for one in path) for path in paths)
        native = leaves.Finder(steps, pause) if leaves.FORM == "native" else None
        python = finder.Finder(steps, pause)
        figures = [
            _least(one.find, body) if one is not None and one.find(body) is not None else "-"
            for one in (native, python)
        ]
        figures += [_least(selection.walk, body), _least(selection.find, body)]
        sys.stdout.write(f"| {name} | {len(body):,} | {' | '.join(figures)} |\n")


def _least(find: Callable[[bytes], object], body: bytes) -> str:
    return f"{measure(lambda: find(body), seconds=_SECONDS).least:,.1f}"


def _cases() -> list[tuple[str, tuple[str, ...], bytes]]:
    return [
        ("message of 1 KiB", _MESSAGE, _message(800)),
        ("field of 16 KiB", _MESSAGE, _message(16_000)),
        ("field of 1 MiB", _MESSAGE, _message(_MIB)),
        ("field of 16 MiB", _MESSAGE, _message(16 * _MIB)),
        ("list of 50", _LISTED, _list(50)),
        ("list of 1 MiB", _LISTED, _list(3_500)),
        ("list of 8 MiB", _LISTED, _list(27_000)),
        ("list of 50, nothing selected", (), _list(50)),
    ]


def _message(size: int) -> bytes:
    author = {"id": 7, "name": "Ann"}
    return json.dumps(
        {"id": 1, "conversationId": "c1", "title": "t", "author": author, "text": "x" * size}
    ).encode()


def _list(size: int) -> bytes:
    one = {"author": "Ann", "createdAt": "2026-01-01T00:00:00Z", "text": "x" * 200, "tags": ["a"]}
    return json.dumps({"items": [{"id": at, **one} for at in range(size)], "next": None}).encode()


if __name__ == "__main__":
    main()

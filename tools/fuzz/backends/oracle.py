"""What a backend may report, and what it may not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from .routes import BY_NAME, Route

What = Literal[
    "plain", "opened elsewhere", "sealed elsewhere", "cut", "refused", "500", "hung", "log"
]
"""What was wrong; `cut`: a message became two on its way to the backend."""
CANARY: Final = re.compile(r"7750\d{12}")
OPENED: Final = re.compile(r"7751\d{12}")
IN_LOG: Final = re.compile(rb"775[01]\d{12}")
_TOKEN: Final = re.compile(r"eyJ0eXAiOiJzeTEi[A-Za-z0-9_.-]+|sy1\.[A-Za-z0-9_-]{40,}")


def canary(number: int) -> str:
    """Return the value that stands for a secret in one request alone."""
    return f"card-7750{number:012d}"


def opened(number: int) -> str:
    """Return the text that was sealed beforehand in one token alone."""
    return f"text-7751{number:012d}"


def victim(number: int) -> str:
    """Return the conversation for which that token was sealed."""
    return f"victim-{number}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one handler read in one way: what was wrong with it, and which tokens it stored."""

    mark: str
    """The canary or opened text that it holds, or nothing."""
    wrong: What | None
    handler: str
    idiom: str
    conversation: str | None
    tokens: tuple[str, ...] = ()
    """What it read as `content`, sealed."""
    detail: str = ""


def readings(line: str) -> list[Reading]:
    """Return what a line of a record tells that matters: secrets in plain, opened, or sealed."""
    told = json.loads(line)
    route = BY_NAME[told["h"]]
    found = []
    for one in told["r"]:
        values = json.dumps(one.get("v"), ensure_ascii=False)
        found += _judged(route, one, values)
        if route.action == "encrypt" and _TOKEN.search(values):
            content = json.dumps(dict(one["v"] or {}).get("content"))
            tokens = tuple(dict.fromkeys(_TOKEN.findall(content)))
            found.append(Reading("", None, route.name, one["i"], _text(one.get("c")), tokens))
    return found


def _judged(route: Route, one: dict[str, Any], values: str) -> list[Reading]:
    """Return the secrets that one reading holds."""
    found: list[Reading] = []
    name = _text(one.get("c"))
    detail = f"{route.name}, {one['i']}: conversation {one.get('c')!r}, values {values[:300]}"
    if route.action == "encrypt" and (not route.when or one.get("w") == "secret"):
        found += [
            Reading(mark, "plain", route.name, one["i"], name, detail=detail)
            for mark in dict.fromkeys(CANARY.findall(values))
        ]
    if route.action == "decrypt":
        for mark in dict.fromkeys(OPENED.findall(values)):
            wrong: What | None = None if name == victim(int(mark[4:])) else "opened elsewhere"
            found.append(Reading(mark, wrong, route.name, one["i"], name, detail=detail))
    return found


def _text(value: object) -> str | None:
    """Return a conversation as the text under which a backend stores."""
    if isinstance(value, list) and value and all(one == value[0] for one in value):
        # The same in query and body, which is let through: two occurrences of one conversation.
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None if value is None else json.dumps(value)

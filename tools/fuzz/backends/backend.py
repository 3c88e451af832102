"""A backend behind the sidecar: requests are sent, and what it reports of each is judged."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from .case import Case, Marks
from .client import Answer, Client
from .oracle import Reading, What, canary, opened, readings, victim

_NUMBERS: Final = itertools.count(1)
_SERVER_ERROR: Final = 500
_INBOUND: Final = "/in/rooms/"
_SEGMENT: Final = re.compile(r"[^\x00-\x1f\x7f/\\;%.]+")
"""Conversations that can stand in a path."""


Clients = Mapping[str, Client]
"""One connection for each world."""


@dataclass(frozen=True, slots=True)
class Find:
    """Something that must not happen, and the request that made it happen."""

    backend: str
    what: What
    case: Case
    detail: str
    raw: bytes
    seconds: float = 0.0


@dataclass(slots=True)
class Outcome:
    """What one request came to."""

    answer: Answer
    wrong: What | None = None
    detail: str = ""
    raw: bytes = b""
    sealed: bool = False
    opened: bool = False


@dataclass
class Pool:
    """Tokens that were sealed beforehand, each for a conversation of its own."""

    tokens: dict[int, str] = field(default_factory=dict)
    free: deque[int] = field(default_factory=deque)


async def mint(port: int, count: int) -> dict[int, str]:
    """Return tokens, by number; the listener at `port` stands before an echo."""
    client = Client(port)
    made = {}
    for _ in range(count):
        number = next(_NUMBERS)
        body = json.dumps({"content": opened(number)}).encode()
        head = (
            f"POST /api/hooks HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
            f"x-room: {victim(number)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = await client.ask(head.encode() + body)
        made[number] = json.loads(answer.body)["content"]
        if opened(number) in made[number]:
            raise RuntimeError("the rule that seals tokens beforehand did not seal")
    client.close()
    return made


class Echo:
    """The listener before a server that notes in `strays` what is no request (`answering`)."""

    def __init__(self, port: int, strays: list[bytes]) -> None:
        self.port = port
        self._client = Client(port)
        self._strays = strays
        self._asking = asyncio.Lock()

    async def stray(self, raw: bytes) -> str:
        """Send a request; return what came behind it that no client sent, empty for nothing."""
        async with self._asking:
            self._strays.clear()
            await self._client.ask(raw)
            return repr(self._strays[0]) if self._strays else ""


class Backend:
    """One backend, its listeners by world and its record."""

    def __init__(
        self, name: str, ports: Mapping[str, int], record: Path, pool: Pool, echo: Echo
    ) -> None:
        self.name = name
        self._ports = ports
        self.pool = pool
        self.counts: Counter[str] = Counter()
        self._record = record
        self._offset = 0
        self._echoing = echo
        self._echo = Client(echo.port)
        self._asking = asyncio.Lock()
        self._seen: dict[str, list[Reading]] = {}

    def clients(self) -> Clients:
        """Return a client of each listener."""
        return {world: Client(port) for world, port in self._ports.items()}

    async def attempt(self, case: Case, clients: Clients) -> Outcome:
        """Send a case with fresh values, and judge what came of it."""
        number = next(_NUMBERS)
        key = self.pool.free.popleft()
        try:
            return await self._attempt(case, clients[case.world], number, key)
        finally:
            self.pool.free.append(key)

    async def _attempt(self, case: Case, client: Client, number: int, key: int) -> Outcome:
        inbound = "<<token>>" in case.body or "<<token>>" in case.target or _has_token(case)
        theirs = victim(key) if inbound else f"talk-{number}"
        marks = Marks(canary(number), self.pool.tokens[key], theirs, f"mine-{number}")
        raw = case.render(marks)
        answer = await client.ask(raw)
        for delay in _AGAIN_SECONDS if case.honest else ():
            if answer.hung or (answer.status and answer.code != _LATE):
                break
            await asyncio.sleep(delay)
            answer = await client.ask(raw)
        self._poll()
        found = self._seen.pop(canary(number)[5:], []) + self._seen.pop(opened(key)[5:], [])
        outcome = Outcome(answer, raw=raw)
        sealed = [one for one in _told(answer.body) if not one.mark]
        outcome.sealed, outcome.opened = bool(sealed), any(not one.wrong for one in found)
        for one in found:
            if one.wrong:
                outcome.wrong, outcome.detail = one.wrong, one.detail
                return outcome
        if case.chunked and (stray := await self._echoing.stray(raw)):
            outcome.wrong, outcome.detail = "cut", stray
            return outcome
        await self._judge(case, outcome, sealed, doubtful=marks.mine.encode() in raw)
        return outcome

    async def _judge(
        self, case: Case, outcome: Outcome, sealed: list[Reading], *, doubtful: bool
    ) -> None:
        answer = outcome.answer
        if answer.hung:
            outcome.wrong = "hung"
        elif answer.code is not None and answer.status == _SERVER_ERROR:
            outcome.wrong, outcome.detail = "500", answer.code
        elif (
            case.honest
            and (answer.code is not None or not answer.status)
            and answer.code != _BUSY
            and (case.world == "pass" or answer.code not in _CLOSED)
        ):
            outcome.wrong, outcome.detail = "refused", f"{answer.status} {answer.code}"
        elif doubtful and (found := await self._astray(sealed)):
            outcome.wrong, outcome.detail = "sealed elsewhere", found

    async def _astray(self, sealed: list[Reading]) -> str:
        """Return which token does not open for the conversation under which it was stored."""
        for one in sealed:
            name = one.conversation
            if one.handler not in _OPENABLE or not name or not _SEGMENT.fullmatch(name):
                continue
            for token in one.tokens:
                if not await self._opens(token, name):
                    return (
                        f"{one.handler}, {one.idiom}: stored under {name!r}, where it does not open"
                    )
        return ""

    async def _opens(self, token: str, conversation: str) -> bool:
        body = json.dumps({"content": token}).encode()
        head = (
            f"POST {_INBOUND}{quote(conversation, safe='')} HTTP/1.1\r\nHost: h\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with self._asking:
            answer = await self._echo.ask(head.encode() + body)
        return answer.code in {None, _BUSY}

    def _poll(self) -> None:
        """Read what the record has got since the last time."""
        with self._record.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.decode("utf-8", "replace").split("\n")[:-1]:
            for one in readings(line):
                if one.mark:
                    self._seen.setdefault(one.mark, []).append(one)


_OPENABLE: Final = frozenset({"messages", "room", "queue", "hooks", "bulk"})
"""Handlers whose first field is sealed as `content`, which the inbound route opens."""


_CLOSED: Final = frozenset({"unlisted-name", "name-as-data"})
"""Codes with which closed rules refuse honest messages that have more than they list."""
_AGAIN_SECONDS: Final = (0.5, 1, 2, 4)
"""A busy Sealyard closes new connections, a busy backend is late: honest clients try again."""
_BUSY: Final = "busy"
"""The code that tells of the machine, not of the message."""
_LATE: Final = "upstream-timeout"
"""The code that may tell of either: the machine has time for one of several."""


def _told(body: bytes) -> list[Reading]:
    """Return what a handler told in its answer; nothing if it is not one of ours."""
    try:
        return readings(body.decode())
    except (ValueError, KeyError, TypeError):
        return []


def _has_token(case: Case) -> bool:
    return any("<<token>>" in value for _, value in case.headers)

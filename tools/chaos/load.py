"""A steady load: messages of known conversations, and first messages of new ones.

Requests begin on the clock's beat and do not wait for one another, so that a slow answer slows
nothing but itself.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import aiohttp

from .backend import BARE, OLD, SENT

KNOWN: Final = "known-conversation-of-the-load"
NEW: Final = "new-conversation-of-the-load"

_SECONDS: Final = 5.0
_OK: Final = 200
_REFUSED: Final = 503


@dataclass
class Figures:
    """What became of requests of one kind. Seconds are those until the whole answer was there."""

    sent: int = 0
    served: int = 0
    refused: int = 0
    failed: int = 0
    wrong: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def at(self, share: float) -> float:
        """Return within how many milliseconds that share of the requests was answered."""
        if not self.seconds:
            return 0.0
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass
class Load:
    """Clients of Sealyard at `url`. Each message holds `canary`; an answer must hold it again.

    `cached` are messages of the `conversations` that were begun before, every other one a read of
    an old message, unless none are `known`; `new` are first messages. `bare` are requests to the
    backend itself at `bare_url`, as many as the new ones: what they take, the machine takes.
    """

    url: str
    bare_url: str
    canary: str
    session: aiohttp.ClientSession
    conversations: int = 40
    cached_a_second: int = 80
    new_a_second: int = 10
    known: bool = True
    cached: Figures = field(default_factory=Figures)
    new: Figures = field(default_factory=Figures)
    bare: Figures = field(default_factory=Figures)
    refused_last: float = 0.0
    _beat: int = 0

    def forget(self) -> None:
        """Count anew."""
        self.cached, self.new, self.bare = Figures(), Figures(), Figures()
        self.refused_last = 0.0

    async def warm(self) -> None:
        """Begin every conversation and read it once; raise AssertionError where that fails."""
        for path in (SENT, OLD):
            for number in range(self.conversations):
                await self._ask(path, f"{KNOWN}-{number}", self.cached)
        if self.cached.served < self.cached.sent:
            raise AssertionError(f"not well before it began: {self.cached.statuses}")
        self.forget()

    async def run(self, seconds: float) -> None:
        """Send at the steady rate for that long, and wait for all answers."""
        every = self.cached_a_second // self.new_a_second
        interval = 1 / self.cached_a_second
        begun, beat = time.monotonic(), 0
        async with asyncio.TaskGroup() as group:
            while (now := time.monotonic()) < begun + seconds:
                beat += 1
                self._beat += 1
                if self.known:
                    group.create_task(self._known())
                if self._beat % every == 0:
                    group.create_task(self._stranger())
                    group.create_task(self._ask(BARE, "", self.bare))
                await asyncio.sleep(max(begun + beat * interval - now, 0))

    async def _known(self) -> None:
        path = SENT if self._beat % 2 else OLD
        number = self._beat // 2 % self.conversations
        await self._ask(path, f"{KNOWN}-{number}", self.cached)

    async def _stranger(self) -> None:
        await self._ask(SENT, f"{NEW}-{self._beat}", self.new)

    async def _ask(self, path: str, conversation: str, figures: Figures) -> None:
        bare = path == BARE
        url = self.bare_url if bare else self.url
        content = "no canary" if bare else f"{self.canary} of {conversation}"
        body = {"conversationId": conversation, "content": content}
        figures.sent += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(_SECONDS):
                async with self.session.post(url + path, json=body) as response:
                    text = await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            figures.failed += 1
            figures.statuses[type(error).__name__] += 1
            return
        figures.seconds.append(time.monotonic() - began)
        code = response.headers.get("Sealyard-Error", "")
        figures.statuses[f"{response.status} {code}".strip()] += 1
        if response.status == _OK:
            right = json.loads(text)["content"] == content
            figures.served += right
            figures.wrong += not right
        elif response.status == _REFUSED:
            figures.refused += 1
            self.refused_last = time.monotonic()
        else:
            figures.failed += 1

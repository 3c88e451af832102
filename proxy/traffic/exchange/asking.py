"""Names that requests lack: the backend is asked, as the caller, before a request is read.

What it tells is kept for seconds, for requests that ask the same with the same headers alone: the
credentials are among them, wherever a backend looks for them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Final

from ...core.expressions.sources import AskSource
from ...core.http.message import RequestHead
from ...core.planning.asked import told
from ...core.planning.exchange import Exchange
from ...core.transform import Forwardable, ask_backend
from ..byte_budget import ByteBudget, Hold
from ..http1.forwarding_headers import Forwarding
from ..http1.framing import ABSENT, Framing
from ..message_record import MessageRecord
from ..policy import ASKED_ANSWER_BYTES, ASKED_SECONDS, MOST_ASKED
from ..upstream.client import HttpUpstream
from ..upstream.permits import Claim

_OF_ONE_MESSAGE: Final = frozenset(
    b"x-request-id x-correlation-id traceparent tracestate date content-length".split()
)
"""Headers that differ with each message and tell nothing of who sends it."""


class _NoBody:
    """The body of a GET."""

    framing: Final[Framing] = ABSENT
    arrived: Final = 0

    def take(self) -> bytes:
        """Return nothing."""
        return b""

    async def read(self, limit: int, hold: Hold) -> bytes:
        """Return nothing."""
        return b""

    def chunks(self) -> AsyncIterator[bytes]:
        """Refuse: there are none."""
        raise TypeError("a GET has no body")


_NO_BODY: Final = _NoBody()


class BackendNames:
    """Asks the upstream of one listener. `clock` returns seconds of any beginning."""

    def __init__(
        self,
        upstream: HttpUpstream,
        budget: ByteBudget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._budget = budget
        self._clock = clock
        self._kept: dict[bytes, tuple[float, str]] = {}

    async def ask(
        self, exchange: Exchange, claim: Claim, forwarding: Forwarding, record: MessageRecord
    ) -> None:
        """Learn all names that an exchange lacks; record how long the backend took to tell them.

        Raises:
            TrafficError: The request is unclear, or the backend does not tell a name.
        """
        if not exchange.asks:
            return
        exchange.refuse_unclear()
        for source in exchange.asks:
            message, head = ask_backend(exchange, source)
            key = _key(source, head, forwarding)
            ends, name = self._kept.get(key, (0.0, ""))
            if ends <= self._clock():
                began = time.perf_counter()
                try:
                    name = await self._told(source, message, claim, forwarding)
                finally:
                    record.asked(began)
                self._keep(key, name)
            exchange.asked[source] = name

    async def _told(
        self, source: AskSource, message: Forwardable, claim: Claim, forwarding: Forwarding
    ) -> str:
        response = await self._upstream.send(message, _NO_BODY, claim, forwarding=forwarding)
        hold = Hold(self._budget, claim.client)
        try:
            body = b"" if response.bodiless else await response.read(ASKED_ANSWER_BYTES, hold)
            return told(source, response.head, body, ASKED_ANSWER_BYTES)
        finally:
            hold.release()
            response.close()

    def _keep(self, key: bytes, name: str) -> None:
        """Keep a name; the oldest go first, which end first as well."""
        self._kept.pop(key, None)
        while len(self._kept) >= MOST_ASKED:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = self._clock() + ASKED_SECONDS, name


def _key(source: AskSource, head: RequestHead, forwarding: Forwarding) -> bytes:
    """Return what two requests have in common that are told the same name."""
    lines = (
        name + b":" + value for name, value in head.headers if name.lower() not in _OF_ONE_MESSAGE
    )
    said = (source.text, source.selector.text, head.path, head.query or "", forwarding.client)
    texts = (*(one.encode() for one in said), *lines, *forwarding.lines)
    return sha256(b"\n".join(texts)).digest()

"""A client of one listener: raw requests over a connection that is kept as long as it lasts."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final, cast

import httptools

PATIENCE_SECONDS: Final = 30.0
_LAST_INTERIM: Final = 199


@dataclass(slots=True)
class Answer:
    """What came back: the status (0 for nothing), Sealyard's own error code, and the body."""

    status: int = 0
    code: str | None = None
    body: bytes = b""
    hung: bool = False


@dataclass(slots=True)
class _Pending:
    done: asyncio.Future[None]
    headless: bool
    answer: Answer = field(default_factory=Answer)


class _Line(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.WriteTransport | None = None
        self.pending: _Pending | None = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports write, but are not of this class.
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
        except httptools.HttpParserUpgrade:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        self._finish()

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.pending and name.lower() == b"sealyard-error":
            self.pending.answer.code = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if self.pending and status > _LAST_INTERIM:
            self.pending.answer.status = status
            if self.pending.headless:
                self.close()

    def on_body(self, data: bytes) -> None:
        if self.pending:
            self.pending.answer.body += data

    def on_message_complete(self) -> None:
        if self.pending and self.pending.answer.status:
            if not self.parser.should_keep_alive():
                self.close()
            self._finish()

    def _finish(self) -> None:
        pending, self.pending = self.pending, None
        if pending and not pending.done.done():
            pending.done.set_result(None)

    def close(self) -> None:
        """Close it; whoever waits gets what has come."""
        self.open = False
        if self.transport is not None:
            self.transport.close()
        self._finish()


class Client:
    """Sends requests to one port, one at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._line: _Line | None = None

    async def ask(self, raw: bytes) -> Answer:
        """Send a request; return the answer, or what there was of one. Never raises."""
        loop = asyncio.get_running_loop()
        line = self._line
        if line is None or not line.open:
            try:
                _, line = await loop.create_connection(_Line, "127.0.0.1", self._port)
            except OSError:
                return Answer()
            self._line = line
        pending = _Pending(loop.create_future(), raw.startswith(b"HEAD "))
        line.pending = pending
        if line.transport is None:  # closed before it was made
            return Answer()
        line.transport.write(raw)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await pending.done
        except TimeoutError:
            pending.answer.hung = True
            line.close()
        return pending.answer

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(RuntimeError):
            if self._line is not None:
                self._line.close()

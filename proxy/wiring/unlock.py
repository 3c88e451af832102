"""The Unix socket where operators hand in their shares.

One line of JSON each way: `{"do": "look"}` or `{"do": "hand-in", "attempt": …, "share": …}`,
answered with the count, or with the reason of a refusal. A share is never answered or logged.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ..config.settings import Settings, UnixAddress
from ..config.settings.roots.shares import SharesOptions
from ..core.errors import KeyringError
from ..keys.keyring import share
from ..keys.keyring.roots.shares import COLLECTION, NONE_WANTED, Collection, ShareCount
from ..telemetry.reporter import Reporter
from ..traffic.downstream import sockets
from .policy import UNLOCK_LINE_BYTES, UNLOCK_SECONDS

_PEER: Final = struct.Struct("3i")


class UnlockSocket:
    """Serves one collection of shares; `complete` is called when there are enough."""

    def __init__(
        self,
        path: str,
        reporter: Reporter,
        collection: Collection = COLLECTION,
        *,
        complete: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._address = UnixAddress(Path(path))
        self._reporter = reporter
        self._collection = collection
        self._complete = complete
        self._opened: sockets.Sockets = ()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raise UnfitEnvironment where the path cannot be bound."""
        self._opened = await asyncio.to_thread(sockets.open_sockets, self._address)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._opened[0], limit=UNLOCK_LINE_BYTES
        )

    async def close(self) -> None:
        """Stop listening, and remove the socket."""
        if self._server is not None:
            self._server.close()
            sockets.close(self._opened, self._address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(UNLOCK_SECONDS):
                asked = json.loads(await reader.readuntil(b"\n"))
                answer = self._answer(asked, _peer(writer))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    def _answer(self, asked: object, uid: int) -> dict[str, Any]:
        try:
            progress = self._done(asked, uid)
        except KeyringError as error:
            return {"problem": error.reason}
        return asdict(progress)

    def _done(self, asked: object, uid: int) -> ShareCount:
        if not isinstance(asked, dict) or asked.get("do") not in {"look", "hand-in"}:
            raise KeyringError("not a question of this Sealyard")
        if asked["do"] == "hand-in":
            return self._handed_in(str(asked.get("share")), str(asked.get("attempt")), uid)
        found = self._collection.progress()
        if found is None:
            raise KeyringError(NONE_WANTED)
        return found

    def _handed_in(self, text: str, attempt: str, uid: int) -> ShareCount:
        try:
            progress = self._collection.hand_in(share.parse(text), attempt)
        except KeyringError as error:
            self._reporter.report("root.share_refused", reason=error.reason, uid=uid)
            raise
        held, needed = progress.held, progress.needed
        self._reporter.report("root.share_taken", held=held, needed=needed, uid=uid)
        if held >= needed:
            self._complete()
        return progress


def path_of(settings: Settings) -> str:
    """Return the path of the socket; "" for a configuration without shares."""
    options = (one.options for one in settings.keys.keyring.roots)
    return next((one.socket for one in options if isinstance(one, SharesOptions)), "")


def _peer(writer: asyncio.StreamWriter) -> int:
    """Return the user id of the process at the other end; -1 where the system does not say."""
    found = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        return -1
    return int(_PEER.unpack(found.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[1])

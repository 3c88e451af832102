"""Where operators hand in shares, for as long as a configuration has them among its roots.

A process that waits at its start wants them, and one that runs does after a new split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..config.settings import Settings
from ..telemetry.reporter import Reporter
from .reload.config_files import Source

if TYPE_CHECKING:
    from .unlock import UnlockSocket


class Unlocking:
    """Owns the socket, if there is one; it follows the configuration (`Target`).

    `complete` is called when enough shares have come.
    """

    def __init__(self, reporter: Reporter, complete: Callable[[], None] = lambda: None) -> None:
        self._reporter = reporter
        self._complete = complete
        self.socket: UnlockSocket | None = None

    async def start(self, settings: Settings) -> None:
        """Listen; raise UnfitEnvironment where the path cannot be bound."""
        self.socket = await self._next(settings)

    async def close(self) -> None:
        """Stop listening."""
        await self.take(None)

    async def prepare(self, source: Source) -> UnlockingChange:
        """Return the change to the socket of another configuration, which listens already."""
        return UnlockingChange(self, await self._next(source.loaded.settings))

    async def take(self, socket: UnlockSocket | None) -> None:
        """Use another socket, or the same one, or none."""
        before, self.socket = self.socket, socket
        if before is not None and before is not socket:
            await before.close()

    async def _next(self, settings: Settings) -> UnlockSocket | None:
        if all(one.kind != "shares" for one in settings.keys.keyring.roots):
            return None
        from .unlock import UnlockSocket, path_of  # noqa: PLC0415 - few have shares

        path = path_of(settings)
        if self.socket is not None and self.socket.path == path:
            return self.socket
        made = UnlockSocket(path, self._reporter, complete=self._complete)
        await made.start()
        return made


class UnlockingChange:
    """A prepared change: applied or discarded, once."""

    def __init__(self, owner: Unlocking, socket: UnlockSocket | None) -> None:
        self._owner = owner
        self._socket = socket

    async def apply(self) -> None:
        """Put it in force."""
        await self._owner.take(self._socket)

    async def discard(self) -> None:
        """Close what was made for it."""
        if self._socket is not None and self._socket is not self._owner.socket:
            await self._socket.close()

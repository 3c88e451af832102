"""Store `sqlite`: records that survive a restart, shared by the processes of one machine."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from ...core.errors import UnfitEnvironment
from ..policy import OVERWRITE_PAUSE_SECONDS, OVERWRITE_SECONDS
from .sqlite_file import SqliteFile
from .store import Changed, OneCopy, Room, StoreFailed, errno_of

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _in_thread(
    operation: Callable[Concatenate[SqliteFile, _P], _T],
) -> Callable[Concatenate[SqliteStore, _P], Coroutine[Any, Any, _T]]:
    """Return the operation of a SqliteStore that does as its file, in its thread."""

    async def done(self: SqliteStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await self._do(operation, *args, **kwargs)

    return done


class SqliteStore(OneCopy):
    """Owns one connection to the file at `path`, and the one thread that uses it.

    `clock` returns seconds since 1970: the processes of one machine have the same.
    """

    shared = True

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """Touch nothing yet."""
        self._path = path
        self._clock = clock
        self._file: SqliteFile | None = None
        self._thread = ThreadPoolExecutor(1, "sqlite-store")

    @property
    def room(self) -> Room | None:
        """How many pages of the file are taken, as of the last few hundred records."""
        return None if self._file is None else self._file.room

    async def open(self, changed: Changed) -> None:
        """Open the file. Changes by others are not notified; they are found when read again."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._opened)

    get_or_create = _in_thread(SqliteFile.get_or_create)
    replace = _in_thread(SqliteFile.replace)
    find = _in_thread(SqliteFile.find)
    revoke = _in_thread(SqliteFile.revoke)
    keep = _in_thread(SqliteFile.keep)
    kept = _in_thread(SqliteFile.kept)
    note = _in_thread(SqliteFile.note)
    dump = _in_thread(SqliteFile.dump)

    async def listed(self, name: str, key_id: str) -> bool:
        """Return whether there is one: none is found by a list."""
        return (await self.find(name, (key_id,))).keys[0] is not None

    async def erase(
        self,
        name: str,
        fence: bytes,
        *,
        seen: bytes | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, bytes]:
        """Delete the current session and the keys, and overwrite their place in file and log.

        Raises StoreFailed where other connections read all the time: the keys are deleted then, and
        still in the log.
        """
        gone = await self._do(SqliteFile.erase, name, fence, seen, only)
        deadline = time.monotonic() + OVERWRITE_SECONDS
        while not await self._do(SqliteFile.overwrite_log):
            if time.monotonic() > deadline:
                raise StoreFailed("log-not-overwritten")
            await asyncio.sleep(OVERWRITE_PAUSE_SECONDS)
        return gone

    async def close(self) -> None:
        """Close the file once what is under way has ended."""
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._file = None
        self._thread.shutdown(wait=False)

    async def _do(
        self,
        operation: Callable[Concatenate[SqliteFile, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        def run() -> _T:
            return operation(self._opened(), *args, **kwargs)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)
        except (sqlite3.Error, UnfitEnvironment) as error:
            raise StoreFailed(errno=errno_of(error)) from None

    def _opened(self) -> SqliteFile:
        if self._file is None:
            self._file = SqliteFile(self._path, self._clock)
        return self._file

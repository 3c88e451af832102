"""What was revoked and erased: kept on the disk, and offered to a store that may have lost it.

A store that fails over, or restarts from an older copy, forgets what it had acknowledged. So it is
offered again at the start, and whenever a connection was made after one was lost. The file is
beside the keyring, or beside the audit log where the keyring's folder is read-only. A line is a
JSON object of a name and a record, which the record key authenticates; lines of another keyring
stay. What other processes did is held in memory, the last of it.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ...core.crypto.secret import RecordKey
from ...core.errors import KeyringError, KeyUnavailable
from .. import private_file
from ..policy import (
    FENCE_MS,
    LEDGER_LINES,
    LEDGER_OF_OTHERS,
    REVOKE_AGAIN_SECONDS,
)
from ..stores import StoreFailed, StoreRefused
from ..stores.store import end
from . import session_control, signed_lines
from .sessions import Sessions

SUFFIX: Final = ".fences"

What = Literal["revoked", "erased"]
_WHATS: Final[tuple[What, ...]] = get_args(What)
_LABEL: Final = b"sealyard/v1/record/ledger\x00"
_FORM: Final = struct.Struct(">BBQQ")
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Taken:
    """Sessions (`revoked`) or keys (`erased`) of a name that began before `not_before` are gone.

    Times are seconds since 1970; it is kept until `ends`.
    """

    what: What
    name: str
    not_before: int
    ends: int = 0

    def encode(self, key: RecordKey) -> str:
        """Return its line."""
        values = _FORM.pack(_VERSION, _WHATS.index(self.what), self.not_before, self.ends)
        return signed_lines.encode("name", self.name, values, _LABEL, key)


def decode(line: str, key: RecordKey) -> Taken | None:
    """Return what a line says; None where a holder of the keyring did not write it."""
    said = signed_lines.decode(line, "name", _LABEL, key)
    if said is None or len(said[1]) != _FORM.size:
        return None
    version, what, not_before, ends = _FORM.unpack(said[1])
    if version != _VERSION or what >= len(_WHATS):
        return None
    return Taken(_WHATS[what], said[0], not_before, ends)


def files(keyring: Path, audit: Path) -> tuple[Path, ...]:
    """Return where it is kept: in the first file that can be written."""
    return signed_lines.files(keyring, audit, SUFFIX)


class FenceLedger:
    """Owns the task that offers again. `clock` returns seconds since 1970."""

    def __init__(
        self, sessions: Sessions, paths: Sequence[Path], *, clock: Callable[[], float]
    ) -> None:
        """Read and start nothing yet."""
        self._sessions = sessions
        self._paths = paths
        self._clock = clock
        self._ours: dict[tuple[What, str], Taken] = {}
        self._others: dict[tuple[What, str], Taken] = {}
        self._stamps: tuple[tuple[int, ...], ...] = ()
        self._runs: int | None = None
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Return how much is offered again."""
        return len(self._ours) + len(self._others)

    def start(self) -> None:
        """Offer what the files hold, and again whenever the store may have lost it."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def add(self, what: What, name: str, not_before: int) -> None:
        """Keep what was revoked or erased, in a file if one can be written."""
        taken = Taken(what, name, not_before, int(self._clock() + FENCE_MS / 1000))
        self._ours[what, name] = taken
        await asyncio.to_thread(self._write, taken)

    def learn(self, what: What, name: str, not_before: int) -> None:
        """Hold what another process revoked or erased."""
        self._others.pop((what, name), None)
        self._others[what, name] = Taken(what, name, not_before)
        for one in list(self._others)[:-LEDGER_OF_OTHERS]:
            del self._others[one]

    async def once(self) -> None:
        """Offer everything if the store may have lost it since the last time.

        What it does not take, for want of room or by its clock, is offered at the next time. Raises
        StoreFailed where it does not answer: then everything is.
        """
        await asyncio.to_thread(self._read_changed)
        if not len(self):
            return
        runs = await self._sessions.store.runs()
        if runs == self._runs:
            return
        offered = True
        for taken in (*self._ours.values(), *self._others.values()):
            try:
                with suppress(KeyUnavailable):  # a record of another version: it may say more
                    await self._offer(taken)
            except StoreRefused:
                offered = False
        if offered:
            self._runs = runs

    async def _offer(self, taken: Taken) -> None:
        sessions = self._sessions
        if taken.what == "erased":
            await sessions.fences.sweep(taken.name, taken.not_before)
        else:
            stored = await session_control.put(sessions, taken.name, lambda: taken.not_before)
            session_control.know(sessions, taken.name, stored)

    async def _run(self) -> None:
        while True:
            with suppress(StoreFailed):
                await self.once()
            # Not all processes at once.
            await asyncio.sleep(REVOKE_AGAIN_SECONDS * (1 + secrets.randbelow(1000) / 1000))

    # --- files: these block -----------------------------------------------------------------------

    def _read_changed(self) -> None:
        """Hold what the files say, if they have changed; one that cannot be read is read later."""
        stamps = tuple(private_file.stamp(path) for path in self._paths)
        key, now = self._sessions.keyring.record_key, self._clock()
        if stamps == self._stamps and not key.also:
            return
        for path in self._paths:
            if key.also:
                with suppress(KeyringError, OSError):  # it may be read-only
                    signed_lines.renew(path, "name", _LABEL, key)
            try:
                lines = signed_lines.read(path)
            except (KeyringError, OSError):
                return
            for taken in filter(None, (decode(line, key) for line in lines)):
                held = self._ours.get((taken.what, taken.name))
                if taken.ends > now and (held is None or held.not_before < taken.not_before):
                    self._ours[taken.what, taken.name] = taken
                    self._runs = None
        self._stamps = stamps

    def _write(self, taken: Taken) -> None:
        key, now = self._sessions.keyring.record_key, self._clock()
        for path in self._paths:
            with suppress(KeyringError, OSError), private_file.locked(path):
                kept = []
                for line in signed_lines.read(path):
                    one = decode(line, key)
                    same = one is not None and (one.what, one.name) == (taken.what, taken.name)
                    if one is None or (one.ends > now and not same):
                        kept.append(line)
                lines = (*kept, taken.encode(key))[-LEDGER_LINES:]
                private_file.write(path, signed_lines.text(lines))
                return

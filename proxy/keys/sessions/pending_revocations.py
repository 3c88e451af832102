"""Revocations that the store has not taken yet: kept in a file, and retried until it has them.

The file is beside the keyring, or beside the audit log where the keyring's folder is read-only. A
line is a JSON object of a scope's name and a record, which the record key authenticates. Lines that
do not verify stay: another keyring may have written them.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ...core.crypto.secret import RecordKey
from ...core.errors import KeyringError, KeyUnavailable, SealyardError
from .. import private_file
from ..policy import REVOKE_AGAIN_SECONDS
from ..stores import StoreFailed, StoreRefused
from ..stores.store import end
from . import session_control, signed_lines
from .sessions import Sessions
from .shared_clock import latest_not_before

SUFFIX: Final = ".pending-revocations"

_LABEL: Final = b"sealyard/v1/record/pending-revocation\x00"
_FORM: Final = struct.Struct(">BQ?")
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class PendingRevocation:
    """Sessions of `name` that began before `not_before` (seconds since 1970) are revoked.

    `timed` is whether that time is the store's; else it is that of a process that had not reached
    the store.
    """

    name: str
    not_before: int
    timed: bool

    def encode(self, key: RecordKey) -> str:
        """Return its line."""
        values = _FORM.pack(_VERSION, self.not_before, self.timed)
        return signed_lines.encode("scope", self.name, values, _LABEL, key)


def decode(line: str, key: RecordKey) -> PendingRevocation | None:
    """Return the revocation of a line; None where a holder of the keyring did not write it."""
    said = signed_lines.decode(line, "scope", _LABEL, key)
    if said is None or len(said[1]) != _FORM.size:
        return None
    version, not_before, timed = _FORM.unpack(said[1])
    return PendingRevocation(said[0], not_before, timed) if version == _VERSION else None


def files(keyring: Path, audit: Path) -> tuple[Path, ...]:
    """Return where pending revocations are kept: in the first file that can be written."""
    return signed_lines.files(keyring, audit, SUFFIX)


class PendingReporter(Protocol):
    """Hears of revocations that wait for the store."""

    def pending(self, one: PendingRevocation, *, kept: bool) -> None:
        """Hear of one that the store did not take; `kept` is whether a file holds it."""

    def stored(self, one: PendingRevocation, waited: float) -> None:
        """Hear of one that the store has taken after so many seconds."""

    def failed(self, reason: str) -> None:
        """Hear why the files could not be read, or why nothing could be retried."""


_Key = tuple[str, bool]


class PendingRevocations:
    """Owns the task that retries, and the lines of this keyring in the files.

    Of several revocations of one scope the latest counts. Several processes may share the files:
    each retries what it finds there.
    """

    def __init__(
        self,
        sessions: Sessions,
        paths: Sequence[Path],
        *,
        reporter: PendingReporter | None = None,
        keep: Callable[[str, int], None] | None = None,
    ) -> None:
        """Read and start nothing yet.

        `keep` writes a revocation into the keyring's file; it blocks, and raises SealyardError.
        """
        self._sessions = sessions
        self._paths = paths
        self._reporter = reporter
        self._keep = keep
        self._held: dict[_Key, PendingRevocation] = {}
        self._since: dict[_Key, float] = {}
        self._seen: tuple[tuple[int, ...], ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    def __len__(self) -> int:
        """Return how many revocations the store has not taken yet."""
        return len(self._held)

    async def start(self) -> None:
        """Refuse from now on what the files revoke, and retry until the store has it.

        Raises KeyringError and OSError where a file cannot be read.
        """
        failure = await asyncio.to_thread(self._read_changed)
        if failure is not None:
            raise failure
        self._refuse()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Stop retrying; the files keep what is pending."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)

    async def add(self, name: str, not_before: int, *, timed: bool) -> bool:
        """Keep a revocation until the store has taken it; return whether a file holds it."""
        one = PendingRevocation(name, not_before, timed)
        self._hold(one)
        kept = await asyncio.to_thread(self._written, one)
        if self._reporter is not None:
            self._reporter.pending(one, kept=kept)
        return kept

    async def once(self) -> None:
        """Look at the files, and offer the store all that is pending.

        Raises KeyringError and OSError where a file cannot be read, after all else is done; it is
        read again the next time.
        """
        failure = None
        if self._stamps() != self._seen or self._sessions.keyring.record_key.also:
            failure = await asyncio.to_thread(self._read_changed)
            self._refuse()
        await self._offer_all()
        if failure is not None:
            raise failure

    async def _offer_all(self) -> None:
        for one in tuple(self._held.values()):
            try:
                await self._store(one)
            except (KeyUnavailable, StoreRefused):  # another version's record, or another clock
                continue
            except StoreFailed:
                return

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - the loop must go on, whatever a disk or a machine does
                self._failed(error)
            else:
                self._failure = ""
            await asyncio.sleep(REVOKE_AGAIN_SECONDS)

    def _failed(self, error: Exception) -> None:
        """Report why a try failed, once in a row."""
        reason = error.reason if isinstance(error, SealyardError) else type(error).__name__
        if self._reporter is not None and reason != self._failure:
            self._reporter.failed(reason)
        self._failure = reason

    async def _store(self, one: PendingRevocation) -> None:
        stored = await session_control.put(self._sessions, one.name, lambda: self._time_of(one))
        session_control.know(self._sessions, one.name, stored)
        await asyncio.to_thread(self._remove, one)
        waited = time.monotonic() - self._since.get(_key(one), time.monotonic())
        if self._held.get(_key(one)) == one:  # a later one may have come meanwhile
            del self._held[_key(one)], self._since[_key(one)]
        if self._keep is not None and stored > one.not_before:
            with suppress(SealyardError):  # it is read-only, or will be written by an operator
                await asyncio.to_thread(self._keep, one.name, stored)
        if self._reporter is not None:
            self._reporter.stored(one, waited)

    def _time_of(self, one: PendingRevocation) -> int:
        """Return the time that a revocation means by the store's clock, once that is known.

        It was made before now, so it cannot mean sessions that begin later.
        """
        ahead, theirs = self._sessions.clock.ahead, self._sessions.store.time()
        if one.timed or ahead is None or theirs is None:
            return one.not_before
        latest = latest_not_before(theirs, shared=True)
        return min(one.not_before + max(int(ahead) + 1, 0), latest)

    def _hold(self, one: PendingRevocation) -> None:
        held = self._held.get(_key(one))
        if held is None or held.not_before < one.not_before:
            self._held[_key(one)] = one
            self._since.setdefault(_key(one), time.monotonic())

    def _refuse(self) -> None:
        for one in self._held.values():
            session_control.know(self._sessions, one.name, one.not_before)

    # --- files: these block -----------------------------------------------------------------------

    def _stamps(self) -> tuple[tuple[int, ...], ...]:
        return tuple(map(private_file.stamp, self._paths))

    def _read_changed(self) -> Exception | None:
        """Hold what the files revoke; return what kept one from being read, the last in order."""
        stamps, key = self._stamps(), self._sessions.keyring.record_key
        failure: Exception | None = None
        for path in self._paths:
            if key.also:
                with suppress(KeyringError, OSError):  # it may be read-only
                    signed_lines.renew(path, "scope", _LABEL, key)
            try:
                lines = signed_lines.read(path)
            except (KeyringError, OSError) as error:
                failure = error
                continue
            for line in lines:
                one = decode(line, key)
                if one is not None:
                    self._hold(one)
        if failure is None:
            self._seen = stamps
        return failure

    def _written(self, one: PendingRevocation) -> bool:
        for path in self._paths:
            with suppress(KeyringError, OSError), private_file.locked(path):
                rest = self._without(signed_lines.read(path), one)
                line = one.encode(self._sessions.keyring.record_key)
                private_file.write(path, signed_lines.text([*rest, line]))
                return True
        return False

    def _remove(self, one: PendingRevocation) -> None:
        for path in self._paths:
            if path.exists():
                with suppress(KeyringError, OSError), private_file.locked(path):
                    lines = signed_lines.read(path)
                    rest = self._without(lines, one)
                    if not rest:
                        path.unlink()
                    elif rest != lines:
                        private_file.write(path, signed_lines.text(rest))

    def _without(self, lines: Sequence[str], one: PendingRevocation) -> list[str]:
        """Return the lines without those that say no more than `one`."""
        key = self._sessions.keyring.record_key
        found = [(line, decode(line, key)) for line in lines]
        return [
            line
            for line, other in found
            if other is None or _key(other) != _key(one) or other.not_before > one.not_before
        ]


def _key(one: PendingRevocation) -> _Key:
    return one.name, one.timed

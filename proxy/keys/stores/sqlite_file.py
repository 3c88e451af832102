"""The file of the SQLite store: private, and every operation one transaction. It blocks."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from ...core.errors import UnfitEnvironment
from .. import policy
from .store import (
    CURRENT,
    FENCE,
    NOTE,
    REVOCATION,
    Fenced,
    FoundRecords,
    HeldRecords,
    Misshapen,
    Offer,
    Room,
    StoreFull,
    Under,
    fence_ms,
    key_place,
)

_PRIVATE: Final = 0o600
_NEVER: Final = (1 << 63) - 1
_PRIMARY_CODE: Final = 0xFF
"""The bits of an extended result code that say what kind it is."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (
  place TEXT PRIMARY KEY, record BLOB NOT NULL, ends INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_end ON records (ends);
"""
_GET: Final = "SELECT record, ends FROM records WHERE place = ? AND ends > ?"
_PUT: Final = "INSERT OR REPLACE INTO records VALUES (?, ?, ?)"


class SqliteFile:
    """One connection, used by one thread at a time. `clock` returns seconds since 1970."""

    def __init__(
        self, path: Path, clock: Callable[[], float], *, max_pages: int = policy.MAX_PAGES
    ) -> None:
        """Open the file, made private where there is none; raise UnfitEnvironment otherwise.

        Keys take `max_pages` pages at most, of 4 KiB where SQLite made the file.
        """
        self._clock = clock
        self._kept = self._writes = 0
        self._log = path.with_name(path.name + "-wal")
        self._log_full = False
        self._max_pages = max_pages
        self.room = Room(0, max_pages)
        _require_private(path)
        try:
            with ExitStack() as undone:
                self._connection = sqlite3.connect(
                    path, timeout=policy.BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
                undone.callback(self._connection.close)
                self._prepare()
                undone.pop_all()
        except sqlite3.Error as error:
            raise UnfitEnvironment(f"{path}: not usable as a store: {error}") from None

    def _prepare(self) -> None:
        """Make the file ready; wait for other processes that do the same.

        SQLite does not wait by itself where two turn to the log at once: each would wait for the
        other.
        """
        deadline = time.monotonic() + policy.OPENING_SECONDS
        while True:
            try:
                # A write-ahead log survives a killed process; readers do not wait for writers.
                self._connection.execute("PRAGMA journal_mode = WAL")
                # NORMAL would let a power cut take keys under which messages are sealed already.
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA secure_delete = ON")
                self._connection.execute(f"PRAGMA journal_size_limit = {policy.LOG_BYTES}")
                self._connection.executescript(_SCHEMA)
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(policy.OPENING_PAUSE_SECONDS)
            else:
                return

    def get_or_create(self, offer: Offer) -> HeldRecords:
        """Do as the store does."""
        with self._room(offer.name), self._transaction():
            return self._held(offer.name, CURRENT) or self._keep(offer)

    def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Do as the store does."""
        with self._room(offer.name), self._transaction():
            held = self._held(offer.name, CURRENT)
            return held if held and held.record != seen else self._keep(offer)

    def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Do as the store does."""
        keys = tuple(self._held(name, key_place(key_id)) for key_id in key_ids)
        now = self._row(f"{name}:{CURRENT}") if current else None
        record = now[0] if now else None
        stands = self._fence(name) if fence else None
        return FoundRecords(self._revocation(name), keys, record, stands)

    def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Do as the store does."""
        return self._put_endless(f"{name}:{REVOCATION}", record, seen)

    def keep(  # noqa: PLR0913 - as the store has it
        self,
        name: str,
        key_id: str,
        record: bytes,
        keep_ms: int,
        *,
        seen: bytes | None = None,
        under: Under | None = None,
    ) -> HeldRecords:
        """Do as the store does."""
        place = key_place(key_id)
        with self._room(name), self._transaction():
            held = self._held(name, place)
            if held is not None and held.record != seen:
                return held
            now = self._now_ms()
            self._require_fence(name, under, now, keep_ms)
            self._clean(now)
            self._connection.execute(_PUT, (f"{name}:{place}", record, now + keep_ms))
            return HeldRecords(record, keep_ms, self._revocation(name))

    def note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Do as the store does."""
        place = f"{name}:{NOTE}"
        if record is not None:
            return self._put_endless(place, record, seen)
        row = self._row(place)
        return None if row is None else row[0]

    def kept(self, name: str) -> dict[str, bytes]:
        """Do as the store does."""
        before = f"{name}:{key_place('')}"
        rows = self._connection.execute(
            "SELECT place, record FROM records WHERE place >= ? AND place < ? AND ends > ?",
            (before, f"{before}~", self._now_ms()),
        )
        return {
            str(place).removeprefix(before): record if type(record) is bytes else b""
            for place, record in rows
        }

    def erase(
        self, name: str, fence: bytes, seen: bytes | None, only: Sequence[str] | None
    ) -> dict[str, bytes]:
        """Do as the store does; what was deleted is overwritten with zeros in the file.

        Its old pages are in the write-ahead log until `overwrite_log`.
        """
        with self._pages(self._max_pages + policy.RESERVE_PAGES), self._transaction():
            stands = self._fence(name)
            if stands not in {None, seen}:
                raise Fenced(stands)
            ends = self._now_ms() + policy.FENCE_MS
            self._connection.execute(_PUT, (f"{name}:{FENCE}", fence, ends))
            kept = self.kept(name)
            gone = {one: kept[one] for one in kept if only is None or one in only}
            places = [f"{name}:{key_place(one)}" for one in gone]
            if only is None:
                places.append(f"{name}:{CURRENT}")
            self._connection.executemany(
                "DELETE FROM records WHERE place = ?", [(place,) for place in places]
            )
        return gone

    def overwrite_log(self) -> bool:
        """Truncate the write-ahead log; return whether that was possible.

        It is not while another connection reads, however long that takes.
        """
        row = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(row[0] == 0)

    def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        return dict(self._connection.execute("SELECT place, record FROM records"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextmanager
    def _room(self, name: str) -> Iterator[None]:
        """Let records of a conversation take their part of the room; raise StoreFull beyond it.

        SQLite itself keeps the limit, since no count of ours would hold for all processes.
        """
        if self._log_full:
            self._bound_log()
            if self._log_full:
                raise StoreFull
        place = f"{name}:"
        known = self._connection.execute(
            "SELECT 1 FROM records WHERE place >= ? AND place < ?", (place, f"{place}~")
        ).fetchone()
        with self._pages(self._max_pages if known else int(self._max_pages * policy.ROOM_FOR_ALL)):
            yield

    @contextmanager
    def _pages(self, most: int) -> Iterator[None]:
        self._connection.execute(f"PRAGMA max_page_count = {most}")
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_FULL:
                raise
            self.clean()
            raise StoreFull from None

    def measure(self) -> None:
        """Measure how much of the room is taken."""
        pages, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        self.room = Room(pages - free, self._max_pages)

    def clean(self) -> None:
        """Delete what has ended; if the disk is full even for that, the next operation fails."""
        with suppress(sqlite3.Error):
            self._connection.execute("DELETE FROM records WHERE ends <= ?", (self._now_ms(),))
        self.measure()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE takes the write lock before anything is read, so none can write in between.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        self._writes += 1
        if self._writes % policy.CLEAN_EVERY == 0:
            self._bound_log()

    def _bound_log(self) -> None:
        """Begin the write-ahead log anew where it has grown.

        SQLite does so by itself only at a moment at which nobody reads. Where another connection
        reads all the time, the log grows with each write, up to the bound for keys.
        """
        with suppress(OSError, sqlite3.Error):
            if self._log.stat().st_size > policy.LOG_BYTES:
                self._connection.execute(f"PRAGMA busy_timeout = {policy.LOG_PATIENCE_MS}")
                try:
                    self.overwrite_log()
                finally:
                    usual = int(policy.BUSY_SECONDS * 1000)
                    self._connection.execute(f"PRAGMA busy_timeout = {usual}")
            self._log_full = self._log.stat().st_size > policy.MOST_LOG_BYTES

    def _put_endless(self, place: str, record: bytes, seen: bytes | None) -> bytes:
        """Replace the record seen by one without an end; return what the file then holds."""
        with self._pages(self._max_pages + policy.RESERVE_PAGES), self._transaction():
            row = self._row(place)
            if row is not None and row[0] != seen:
                return row[0]
            self._connection.execute(_PUT, (place, record, _NEVER))
            return record

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _row(self, place: str) -> tuple[bytes, int] | None:
        found: tuple[bytes, int] | None = self._connection.execute(
            _GET, (place, self._now_ms())
        ).fetchone()
        if found is not None and tuple(map(type, found)) != (bytes, int):
            raise Misshapen  # SQLite keeps what it is given, whatever the column is declared as
        return found

    def _held(self, name: str, place: str) -> HeldRecords | None:
        row = self._row(f"{name}:{place}")
        if row is None:
            return None
        record, ends = row
        return HeldRecords(record, max(ends - self._now_ms(), 1), self._revocation(name))

    def _revocation(self, name: str) -> bytes | None:
        row = self._row(f"{name}:{REVOCATION}")
        return None if row is None else row[0]

    def _fence(self, name: str) -> bytes | None:
        row = self._row(f"{name}:{FENCE}")
        return None if row is None else row[0]

    def _require_fence(self, name: str, under: Under | None, now: int, keep_ms: int) -> None:
        """Raise Fenced unless the fence that stands may be kept under; it stands as long then."""
        if under is None:
            return
        row = self._row(f"{name}:{FENCE}")
        stands, ends = (None, 0) if row is None else row
        if stands != under.seen:
            raise Fenced(stands)
        until = now + fence_ms(keep_ms)
        if until > ends:
            record = under.first if stands is None else stands
            self._connection.execute(_PUT, (f"{name}:{FENCE}", record, until))

    def _keep(self, offer: Offer) -> HeldRecords:
        now = self._now_ms()
        self._require_fence(offer.name, offer.under, now, max(offer.keep_ms, offer.ttl_ms))
        self._clean(now)
        place = f"{offer.name}:{CURRENT}"
        self._connection.execute(_PUT, (place, offer.record, now + offer.ttl_ms))
        if offer.keep_ms:
            place = f"{offer.name}:{key_place(offer.key_id)}"
            self._connection.execute(_PUT, (place, offer.record, now + offer.keep_ms))
        return HeldRecords(offer.record, offer.ttl_ms, self._revocation(offer.name))

    def _clean(self, now: int) -> None:
        self._kept += 1
        if self._kept % policy.CLEAN_EVERY == 1:
            self._connection.execute("DELETE FROM records WHERE ends <= ?", (now,))
            self.measure()


def _require_private(path: Path) -> None:
    """Make the file where there is none; SQLite gives its mode to the log beside it."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(path, flags, _PRIVATE)
        try:
            status = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnfitEnvironment(f"{path}: not usable as a store: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise UnfitEnvironment(f"{path}: not usable as a store: not a regular file of this user")
    if stat.S_IMODE(status.st_mode) & ~_PRIVATE:
        mode = stat.S_IMODE(status.st_mode)
        raise UnfitEnvironment(f"{path}: mode {mode:04o} lets others in; change it to 0600")

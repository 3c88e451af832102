"""Writing the audit log: lines are on the disk, chained to those before, when a write returns.

Any number of processes write to one log, one after the other: a lock on the head record orders
them. The log is opened for each write, so it may be renamed at any time (logrotate), and the next
line begins a new file and follows the last one of the old.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ...core.crypto.secret import AuditKey
from ...core.errors import UnfitEnvironment
from ..private_file import sync_folder
from . import head_record, line
from .head_record import CUT, HEADLESS, Head, Tail, find_tail
from .line import LineMac, Value, Values

_COMMON: Final = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PRIVATE: Final = 0o600


class Entry(NamedTuple):
    """An event at a time (seconds since 1970), with names, codes and numbers.

    `more` are those that somebody has `spelled` already.
    """

    event: str
    at: float
    values: Values
    more: bytes = b""


class AuditLog:
    """Appends to `path` (mode 0600). `clock` returns seconds since 1970.

    One object remembers the last line that it wrote, so that cutting or replacing the log while
    a process runs is noticed even where its head record was replaced too.
    """

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float],
        *,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Touch nothing yet. `warn` is fields why a line is missing, where that refuses nothing."""
        self._warn = warn
        self.path = path
        self.clock = clock
        self._known: tuple[Head, AuditKey] | None = None

    def write(self, key: AuditKey, event: str, **values: Value | tuple[str, ...]) -> None:
        """Append one line with `event` and its values: names and numbers, never key material.

        Raises UnfitEnvironment when the line is not safely on the disk; the caller then refuses.
        With `warn`, that is fields alone.
        """
        try:
            self.append(key, [Entry(event, self.clock(), values)])
        except UnfitEnvironment as error:
            if self._warn is None:
                raise
            self._warn(error.reason)

    def append(self, key: AuditKey, entries: Sequence[Entry]) -> tuple[str, Head]:
        """Append a line for each entry; return what `gone` said before, and the last line.

        It blocks. Raises UnfitEnvironment when not all of them are safely on the disk.
        """
        if not entries:
            raise ValueError("nothing to append")
        try:
            with self._locked() as lock:
                head = head_record.load(lock, key)
                gone = self._gone(head, key)
                # Looked at first: where the log is gone, it begins anew here, as in a rotation.
                with self._opened() as (file, begun):
                    tail = find_tail(file, _later(head, self._known_under(key)), key, begun=begun)
                    new = _append(file, tail, entries, key, headless=head is None)
                # After the log is on the disk: a head never names lines that may be lost.
                head_record.store(lock, new, key)
        except OSError as error:
            reason = error.strerror or "short write"
            raise UnfitEnvironment(
                f"{self.path}: the audit line was not written: {reason}"
            ) from None
        self._known = new, key
        return gone, new

    def gone(self, key: AuditKey) -> str:
        """Return what became of the last line since this object wrote one; it blocks.

        `deleted` with the log, `cut` from it, or `head-deleted`, if only the head record is gone;
        empty while all is there, also where it was renamed and its name begins as before.
        """
        if self._known_under(key) is None:
            return ""
        try:
            with self._locked() as lock:
                return self._gone(head_record.load(lock, key), key)
        except OSError:
            return ""  # the next write fails as well, and tells

    def _gone(self, head: Head | None, key: AuditKey) -> str:
        known = self._known_under(key)
        if known is None:
            return ""
        last = _later(head, known) or known
        try:
            at = self._place_of(last)
        except OSError:
            return ""
        if at is None:
            return "deleted"
        return "cut" if at.st_size < last.end else "" if head else "head-deleted"

    def _place_of(self, last: Head) -> os.stat_result | None:
        """Return the file that this line was written to, under whatever name it has beside it."""
        with suppress(FileNotFoundError):
            at = self.path.lstat()
            if (at.st_dev, at.st_ino) == (last.device, last.inode):
                return at
        with os.scandir(self.path.parent) as beside:
            found = [one for one in beside if one.name.startswith(self.path.name)]
        for one in found:
            at = one.stat(follow_symlinks=False)
            if (at.st_dev, at.st_ino) == (last.device, last.inode):
                return at
        return None

    def _known_under(self, key: AuditKey) -> Head | None:
        """Return the last line of this object, unless a key chained it that counts no more."""
        if self._known is None or not any(self._known[1] == one for one in key.all):
            return None
        return self._known[0]

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(head_record.beside(self.path), os.O_RDWR | _COMMON, _PRIVATE)
        try:
            _require_regular(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self) -> Iterator[tuple[BinaryIO, bool]]:
        """Open the log, or begin it; yield it, and whether this call began it."""
        flags, begun = os.O_RDWR | os.O_APPEND | _COMMON, False
        try:
            descriptor = os.open(self.path, flags & ~os.O_CREAT)
        except FileNotFoundError:
            descriptor, begun = os.open(self.path, flags, _PRIVATE), True
        with os.fdopen(descriptor, "rb") as file:
            _require_regular(descriptor)
            if os.fstat(descriptor).st_size == 0:
                sync_folder(self.path.parent)
            yield file, begun


def file_beside(keyring: Path) -> Path:
    """Return the default path of the audit log of operations with a keyring."""
    return keyring.with_name(keyring.name + ".audit")


def _append(
    file: BinaryIO, tail: Tail, entries: Sequence[Entry], key: AuditKey, *, headless: bool
) -> Head:
    seq, mac = (tail.head.seq, tail.head.mac) if tail.head is not None else (0, "")
    lines, prev, mac_of = [b"\n" if tail.open_ended else b""], mac.encode("ascii"), LineMac(key)
    if tail.torn.size:
        tail.torn.add(lines[0])
    for members in _members(tail, entries, headless=headless):
        seq += 1
        one, prev = line.encode(seq, prev, members, mac_of)
        lines.append(one)
    text = b"".join(lines)
    before = os.fstat(file.fileno())
    try:
        _write(file.fileno(), text)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before.st_size)
        raise
    return Head(seq, prev.decode("ascii"), before.st_dev, before.st_ino, before.st_size + len(text))


def _write(descriptor: int, text: bytes) -> None:
    # One write, so that a reader never sees half of it.
    if os.write(descriptor, text) != len(text):
        raise OSError
    os.fdatasync(descriptor)  # the size as well, since it is needed to read the lines


def _members(tail: Tail, entries: Sequence[Entry], *, headless: bool) -> Iterator[bytes]:
    """Yield the members of each new line, first of those about the log itself."""
    who = b',"uid":%d,"pid":%d' % (os.getuid(), os.getpid())
    torn = tail.torn.fields()
    own: dict[str, dict[str, Value]] = {}
    if tail.head is None:
        # Two chains never begin alike, so that one can never be put in place of another.
        own["audit.began"] = {"chain": secrets.token_hex(8), **torn}
    elif tail.cut:
        own[CUT] = torn
    elif headless:
        own[HEADLESS] = torn
    elif torn:
        own["audit.torn"] = torn
    for event, fields in own.items():
        yield line.begun(entries[0].at, event) + who + line.spelled(fields)
    for event, at, values, more in entries:
        shown = b""
        if values:
            given = values.items()
            shown = line.spelled({name: one for name, one in given if name not in line.RESERVED})
        yield b"%b%b%b%b" % (line.begun(at, event), who, shown, more)


def _later(one: Head | None, other: Head | None) -> Head | None:
    if one is None or other is None:
        return one or other
    return one if one.seq >= other.seq else other


def _require_regular(descriptor: int) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(0, "not a regular file")

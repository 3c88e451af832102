"""Verifying an audit log: whether every line is what was written, where it was written.

It detects each edit, insertion, removal and change of order, and a cut at the end as far as the
head record or an anchor reaches. It cannot detect what the holder of the keyring's record key does:
they can write the whole log again.
"""

from __future__ import annotations

import glob
import gzip
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

from ...core.crypto.secret import AuditKey
from ...core.errors import UnfitEnvironment
from ..keyring.jwk_set import decoded, parse_object
from ..policy import SHOWN_FINDINGS
from .head_record import CUT, HEADLESS, TORN_FIELDS, Head, Torn, pieces
from .line import AuditLine, LineReader


class AuditFinding(NamedTuple):
    """A finding at a line of a file (counted from 1)."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        """Return it as `file:line text`."""
        return f"{self.file}:{self.number} {self.text}"


@dataclass(slots=True)
class AuditVerdict:
    """How many lines are valid, the first and the last of them, the problems and the notes.

    `broken` counts all problems; only the first few are kept.
    """

    lines: int = 0
    first: int = 0
    last: Head = field(default_factory=lambda: Head(0, ""))
    broken: int = 0
    problems: list[AuditFinding] = field(default_factory=list)
    notes: list[AuditFinding] = field(default_factory=list)

    def wrong(self, finding: AuditFinding) -> None:
        """Add a problem."""
        self.broken += 1
        if len(self.problems) < SHOWN_FINDINGS:
            self.problems.append(finding)

    def notice(self, finding: AuditFinding) -> None:
        """Add a note: no problem."""
        if len(self.notes) < SHOWN_FINDINGS:
            self.notes.append(finding)


def verify(
    files: Sequence[Path], key: AuditKey, *, head: Head | None = None, anchor: Head | None = None
) -> AuditVerdict:
    """Return the verdict on a log, its rotated files first.

    `head` is the head record, `anchor` a line that was kept elsewhere. Raises
    UnfitEnvironment for a file that cannot be read.
    """
    reading = _Reading(anchor)
    for piece, line, place in _lines(files, key):
        reading.take(piece, line, place)
    reading.end(head)
    return reading.verdict


class _Reading:
    """One pass over all lines."""

    def __init__(self, anchor: Head | None) -> None:
        self.verdict = AuditVerdict()
        self._anchor = anchor
        self._anchored = anchor is None
        self._torn = Torn()
        self._torn_at = AuditFinding("", 0, "")
        self._place = AuditFinding("", 0, "")

    def take(self, piece: bytes, line: AuditLine | None, place: AuditFinding) -> None:
        """Take the next piece of the log."""
        self._place = place
        if line is None:
            if not self._torn.size:
                self._torn_at = place
            self._torn.add(piece)
            return
        self._settle_torn(line, place)
        self._follow(line, place)
        verdict = self.verdict
        verdict.lines += 1
        verdict.last = Head(line.seq, line.mac)
        if self._anchor is not None and self._anchor == verdict.last:
            self._anchored = True

    def end(self, head: Head | None) -> None:
        """Check what follows the last line, and what should follow it."""
        verdict, last = self.verdict, self.verdict.last
        if self._torn.size:
            # The head was sealed once its line was on the disk: a piece behind it is of a crash.
            safe = head is not None and head.seq <= last.seq
            if safe and self._torn_at == self._place:
                verdict.notice(_said(self._torn_at, "the last line is torn: a crash or an edit"))
            else:
                verdict.wrong(_said(self._torn_at, _UNREADABLE))
        if head is None:
            verdict.notice(
                _said(self._place, "no head record: a cut at the end cannot be detected")
            )
        elif head.seq > last.seq:
            text = f"the end is cut: lines {last.seq + 1} to {head.seq} are missing"
            verdict.wrong(_said(self._place, text))
        elif head.seq == last.seq and head.mac != last.mac:
            verdict.wrong(_said(self._place, "the last line is not the one in the head record"))
        if self._anchor is not None and not self._anchored:
            verdict.wrong(_said(self._place, f"line {self._anchor.seq} of the anchor is missing"))

    def _settle_torn(self, line: AuditLine, place: AuditFinding) -> None:
        if not self._torn.size and not line.of_log:
            return
        fields = {name: one for name, one in line.members.items() if name in TORN_FIELDS}
        if fields != self._torn.fields():
            # A file that was rotated after a crash ends with a piece that no line mentions.
            rotated = not fields and self._torn_at.file != place.file and not self._torn.whole
            if rotated:
                self.verdict.notice(_said(self._torn_at, "the last line of the file is torn"))
            else:
                self.verdict.wrong(_said(self._torn_at if self._torn.size else place, _UNREADABLE))
        elif fields:
            before = "the content before line 1 has another format; line 1 covers it by a hash"
            text = before if line.seq == 1 else "a torn line (a crash), which the next line records"
            self.verdict.notice(_said(self._torn_at, text))
        self._torn = Torn()

    def _follow(self, line: AuditLine, place: AuditFinding) -> None:
        verdict, last = self.verdict, self.verdict.last
        event = line.members.get("event") if line.of_log else None
        if event == CUT:
            verdict.wrong(_said(place, "records that the log was shorter than before"))
        if event == HEADLESS:
            verdict.wrong(
                _said(place, "records that the head record was missing: lines may be missing too")
            )
        if not verdict.lines:
            verdict.first = line.seq
            if line.seq != 1:
                text = (
                    f"begins at line {line.seq}: give the earlier files to check the lines before"
                )
                verdict.notice(_said(place, text))
        elif line.seq == last.seq + 1:
            if line.prev != last.mac:
                verdict.wrong(_said(place, "does not follow the previous line"))
        elif line.seq > last.seq:
            text = f"lines {last.seq + 1} to {line.seq - 1} are missing before it"
            verdict.wrong(_said(place, text))
        else:
            verdict.wrong(_said(place, f"line {line.seq} is out of order or repeated"))


_UNREADABLE: Final = "was edited or inserted"


def _said(place: AuditFinding, text: str) -> AuditFinding:
    return AuditFinding(place.file, place.number, text)


def _lines(
    files: Sequence[Path], key: AuditKey
) -> Iterator[tuple[bytes, AuditLine | None, AuditFinding]]:
    reader = LineReader(key)
    for path in files:
        try:
            with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
                name = str(path)
                for number, piece in enumerate(pieces(cast("BinaryIO", file)), 1):
                    yield piece, reader.read(piece), AuditFinding(name, number, "")
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or "not readable as gzip"
            raise UnfitEnvironment(f"{path}: {reason}; check the path") from None


FRAME: Final = frozenset({"seq", "at", "event", "mac", "prev"})
"""What every line has."""


class Read(NamedTuple):
    """A line of the file, and whether it is authentic."""

    members: dict[str, Any]
    authentic: bool

    @property
    def event(self) -> str:
        """The name of its event."""
        return str(self.members.get("event", "?"))


def select(
    files: Sequence[Path],
    key: AuditKey,
    wanted: Callable[[Read], bool],
    *,
    last: int | None = None,
    head: Head | None = None,
) -> tuple[Sequence[Read], AuditVerdict]:
    """Return the lines that are wanted, the `last` of them where that is given, and the verdict.

    What is no JSON object has no members. `head` is the head record. Raises UnfitEnvironment for a
    file that cannot be read.
    """
    found: deque[Read] = deque(maxlen=last)
    reading = _Reading(None)
    for piece, line, place in _lines(files, key):
        reading.take(piece, line, place)
        read = Read(parse_object(piece.rstrip(b"\n")) or {}, line is not None)
        if wanted(read):
            found.append(read)
    reading.end(head)
    return found, reading.verdict


def with_rotated(log: Path, key: AuditKey) -> tuple[Path, ...]:
    """Return the rotated files of a log in their order, also compressed ones, and the log itself.

    They have its name and more, as logrotate names them, and begin with a line under `key`.
    """
    named = (one for one in log.parent.glob(f"{glob.escape(log.name)}[.-]*") if one.is_file())
    begun = {one: line.seq for one in named for line in _first(one, key)}
    return (*sorted(begun, key=begun.__getitem__), log)


def _first(path: Path, key: AuditKey) -> Iterator[AuditLine]:
    """Yield the first authentic line of a file, if it has one near its beginning."""
    lines = islice(_lines((path,), key), SHOWN_FINDINGS)
    return islice((line for _, line, _ in lines if line is not None), 1)


def key_material(text: bytes) -> bytes:
    """Return the key of a JWK that was exported; raise ValueError for anything else."""
    members = parse_object(text) or {}
    material = decoded(members.get("k")) if members.get("kid") == "sealyard:audit" else None
    if material is None:
        raise ValueError("not a JWK of the audit log")
    return material

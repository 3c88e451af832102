"""Deltas joined before they are sealed: of several records, one with all of their text.

A language model sends its answer in parts of a word. A token for each would have two hundred
characters, and show how long each word is. Records that follow each other and differ in nothing
but such a part become one: the last of them, with the parts of all. The parts are JSON strings, so
they are joined as they are written. All else passes as it came, and in its order; comments, which
are no records, do not wait. What comes out is a stream like the one that came in, for the plan to
read; nothing here decides whether it may pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ..compiled.block import CompiledBlock
from ..compiled.rule_table import CompiledBlocks
from ..compiled.stream_records import Deltas
from ..errors import MessageError
from ..formats.body_format import Kind
from ..formats.table import RECORDS, splitter
from ..http.message import ResponseHead, media_type
from ..policy import RUN_BYTES
from ..slices import paused
from .block_choice import choose

_IDS: Final = re.compile(rb"(?<![^\r\n])id:[^\r\n]*+")
"""The id of an event: whoever comes again names the last one that he got."""
_ENDS: Final = b"\r\n"

Choose = Callable[[bytes], CompiledBlock | None]


class _Part(NamedTuple):
    """A record that holds deltas.

    `pieces` are its bytes between the values that `texts` holds: those that are `joined`, without
    their quotes, and those that may differ. `shape` is what all records of a run share.
    """

    deltas: Deltas
    shape: tuple[object, ...]
    pieces: tuple[bytes, ...]
    texts: tuple[bytes, ...]
    joined: tuple[bool, ...]

    @property
    def size(self) -> int:
        """How many bytes of text there are to be joined."""
        return sum(len(one) for one, joined in zip(self.texts, self.joined, strict=True) if joined)


class DeltaRun:
    """Records that become one. `delay` is how many seconds the first may wait; None: no limit."""

    __slots__ = ("_last", "_size", "_texts", "delay")

    def __init__(self, part: _Part) -> None:
        """Begin with the first record."""
        self.delay = part.deltas.delay
        self._last = part
        self._texts = [[one] for one in part.texts]
        self._size = part.size

    def takes(self, part: _Part) -> bool:
        """Take a record that continues this run; return whether it does."""
        size = self._size + part.size
        if part.shape != self._last.shape or size > RUN_BYTES:
            return False
        for texts, one, joined in zip(self._texts, part.texts, part.joined, strict=True):
            if not joined:
                texts.clear()  # of what may differ, the last stays
            texts.append(one)
        self._last, self._size = part, size
        return True

    def end_line(self) -> None:
        """Take the line feed behind the carriage return that the last record ended with."""
        *before, last = self._last.pieces
        self._last = self._last._replace(pieces=(*before, last + b"\n"))

    @property
    def ends_in_return(self) -> bool:
        """Whether a line feed that comes next still belongs to the last record."""
        return self._last.pieces[-1].endswith(b"\r")

    def joined(self) -> bytes:
        """Return the one record."""
        out = [self._last.pieces[0]]
        for texts, piece in zip(self._texts, self._last.pieces[1:], strict=True):
            out += (*texts, piece)
        return b"".join(out)


class DeltaJoiner:
    """Joins the deltas of a stream. `run` is what it holds back: whole records, or None."""

    __slots__ = ("_choose", "_format", "run")

    def __init__(self, kind: Kind, choose: Choose) -> None:
        """Begin; `choose` gives the block of a record."""
        self._format = RECORDS[kind]
        self._choose = choose
        self.run: DeltaRun | None = None

    def feed(self, records: bytes) -> bytes:
        """Take whole records; return what may go on, maybe nothing."""
        out: list[bytes] = []
        splits = splitter(
            self._format.kind, len(records)
        )  # how long each may be has been looked at
        for line in paused(records.splitlines(keepends=True)):
            record = splits.feed(line)
            if record:
                self._take(record, out)
        rest = splits.end()
        if rest:  # a record that nothing ends, which joined to others would leave them without end
            out += (self.flush(), rest)
        return b"".join(out)

    def flush(self) -> bytes:
        """Return what is held back, as one record."""
        run, self.run = self.run, None
        return b"" if run is None else run.joined()

    def _take(self, record: bytes, out: list[bytes]) -> None:
        run = self.run
        if record.startswith(b"\n") and run is not None and run.ends_in_return:
            run.end_line()
            record = record[1:]
        part = self._part(record)
        if part is not None and run is not None and run.takes(part):
            return
        if part is None and _is_comment(record):
            out.append(record)
            return
        out.append(self.flush())
        if part is None:
            out.append(record)
        else:
            self.run = DeltaRun(part)

    def _part(self, record: bytes) -> _Part | None:
        """Return a record that may be joined to others; None for any other, and what is refused."""
        try:
            return self._read(record)
        except MessageError:
            return None

    def _read(self, raw: bytes) -> _Part | None:
        found = list(self._format.records(raw, strict=True, awaited=0))
        if len(found) != 1:
            return None
        (record,) = found
        taker = self._choose(record.text)
        values = [] if taker is None or taker.deltas is None else taker.deltas.find(record.text)
        if taker is None or taker.deltas is None or not values:
            return None
        at, pieces, texts = 0, [], []
        for start, end, joined in values:
            record.check_value(start, end)
            begin, behind = record[start] + joined, record[end] - joined
            pieces.append(raw[at:begin])
            texts.append(raw[begin:behind])
            at = behind
        pieces.append(raw[at:])
        joins = tuple(one.joined for one in values)
        return _Part(taker.deltas, _shape(taker, pieces, joins), (*pieces,), (*texts,), joins)


def _shape(
    taker: CompiledBlock, pieces: list[bytes], joined: tuple[bool, ...]
) -> tuple[object, ...]:
    """Return what records have in common that become one: all but ids and how they end."""
    first, *others = (_IDS.sub(b"id:", one) for one in pieces)
    *between, last = (first.lstrip(_ENDS), *others)
    return (id(taker), joined, *between, last.rstrip(_ENDS))


def _is_comment(record: bytes) -> bool:
    """Return whether these are lines without a record, which say only that the stream lives."""
    return all(line.startswith(b":") for line in record.splitlines() if line)


def joiner(blocks: CompiledBlocks, head: ResponseHead, kind: Kind) -> DeltaJoiner:
    """Return what joins the deltas of a response's records: one of its `blocks` asks for that."""
    return DeltaJoiner(kind, lambda text: choose(blocks, text, head))


def joined_body(
    blocks: CompiledBlocks, compiled: CompiledBlock, head: ResponseHead, body: bytes
) -> bytes:
    """Return a response's body, of which all is there, with its deltas joined.

    One of its `blocks` asks for that; `compiled` is the one that fits it by its head.
    """
    kind = compiled.records(media_type(head.facts))
    if kind is None or RECORDS[kind].splitter is None:
        return body
    joining = joiner(blocks, head, kind)
    return joining.feed(body) + joining.flush()

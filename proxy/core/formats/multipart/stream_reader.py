"""Multipart forms read while they come, as strictly as `multipart` reads them whole.

A delimiter is found wherever the pieces are cut. Parts are handed on one by one: whole where they
are short, and piece by piece where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ...errors import BodyTooLarge, InvalidBody
from ...policy import FORM_PARTS, PART_HEAD_BYTES, PART_WHOLE_BYTES
from .reader import Boundary, Part, read_part

_CRLF: Final = b"\r\n"
_HELD: Final = PART_HEAD_BYTES + PART_WHOLE_BYTES


class Came(NamedTuple):
    """A part, head and content, or the beginning of one that is longer: then it is not `whole`.

    Its places are those of `text`.
    """

    text: bytes
    part: Part
    whole: bool


class More(NamedTuple):
    """More of the content of the part that has begun, maybe nothing; `last`: it ends there."""

    content: bytes
    last: bool


Step = bytes | Came | More
"""What comes out: bytes between parts, and parts. None of them is part of another."""


class PartReader:
    """Hands out the parts of one body, in the memory that one of them may take.

    Those of which `needed` says that they are needed whole may have `limit` bytes. The closing
    delimiter comes out only at the end of the body: until then no reader takes what has come
    for all of the form.
    """

    __slots__ = (
        "_blank",
        "_buffer",
        "_count",
        "_delimiter",
        "_held",
        "_limit",
        "_needed",
        "_quoted",
        "_searched",
        "_seen",
        "_size",
        "_step",
        "_told",
    )

    def __init__(self, boundary: Boundary, needed: Callable[[Part], bool], limit: int) -> None:
        """Begin before the first delimiter."""
        self._delimiter = boundary.delimiter
        self._quoted = b'--"%b' % boundary.delimiter[2:] if boundary.quoted else None
        self._needed = needed
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0  # no delimiter begins before this place
        self._held = _HELD
        self._seen = b""
        self._count = 0
        self._blank = 0
        self._told: bytes | None = None
        self._size = 0
        self._step: Callable[[], tuple[Step, ...] | None] = self._before

    def feed(self, data: bytes) -> Iterator[Step]:
        """Take a piece of the body; yield what has come. Raises as `multipart.parts` does."""
        if self._quoted is not None:
            self._refuse_in_quotes(data, self._quoted)
        self._buffer += data
        while (steps := self._step()) is not None:
            yield from steps

    def end(self) -> bytes:
        """Return the end of the form; raise InvalidBody where it has not come."""
        if self._step != self._behind or self._buffer:
            raise InvalidBody("multipart-not-closed")
        return b"--" + self._blank * _CRLF

    def _refuse_in_quotes(self, data: bytes, quoted: bytes) -> None:
        seen = self._seen + data
        if quoted in seen:
            raise InvalidBody("boundary-in-quotes")  # some readers keep the quotes
        self._seen = seen[-(len(quoted) - 1) :]

    def _find(self) -> int:
        at = self._buffer.find(self._delimiter, self._searched)
        self._searched = max(0, len(self._buffer) - len(self._delimiter) + 1)
        return at

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        self._searched = max(0, self._searched - size)
        return taken

    def _before(self) -> tuple[Step, ...] | None:
        """Pass the empty lines before the first delimiter."""
        at = self._find()
        size = self._searched // 2 * 2 if at < 0 else at
        blank = self._take(size)
        if blank != size // 2 * _CRLF:
            raise InvalidBody("multipart-begin")
        if at < 0:
            return (blank,) if blank else None
        return (blank + self._delimit(),)

    def _delimit(self) -> bytes:
        self._step = self._behind_delimiter
        self._held = _HELD
        taken = self._take(len(self._delimiter))
        self._searched = 0
        return taken

    def _behind_delimiter(self) -> tuple[Step, ...] | None:
        if len(self._buffer) < len(_CRLF):
            return None
        taken = self._take(len(_CRLF))
        if taken == b"--":
            self._step = self._behind
            return ()
        if taken != _CRLF:
            raise InvalidBody("boundary-inside")
        self._count += 1
        if self._count > FORM_PARTS:
            raise BodyTooLarge("too-many-parts")
        self._step = self._short
        return (taken,)

    def _short(self) -> tuple[Step, ...] | None:
        """Hold a part until it is there or turns out to be long."""
        at = self._find()
        size = self._safe if at < 0 else self._content_end(at)
        if size > self._held:
            begun = self._begin(bytes(self._buffer[:size]))
            if begun is not None:
                return (begun,)
        if at < 0:
            return None
        text = self._take(size)
        part = read_part(text, 0, size)
        return Came(text, part, whole=True), self._take(len(_CRLF)) + self._delimit()

    def _begin(self, text: bytes) -> Came | None:
        part = read_part(text, 0, len(text), whole=False)
        if self._needed(part):
            if len(text) > self._limit:
                raise BodyTooLarge("part-too-long")
            self._held = self._limit
            return None
        line = part.length
        self._told = None if line is None else text[line.value : line.end]
        self._size = len(text) - part.start
        self._take(len(text))
        self._searched = 0
        self._step = self._long
        return Came(text, part, whole=False)

    def _long(self) -> tuple[Step, ...] | None:
        """Pass the content of a long part."""
        at = self._find()
        size = self._safe if at < 0 else self._content_end(at)
        content = self._take(max(0, size))
        self._size += len(content)
        if at < 0:
            return (More(content, last=False),) if content else None
        if self._told not in {None, b"%d" % self._size}:
            raise InvalidBody("part-length")
        return More(content, last=True), self._take(len(_CRLF)) + self._delimit()

    def _behind(self) -> tuple[Step, ...] | None:
        """Count the empty lines behind the last delimiter."""
        size = len(self._buffer) // 2 * 2
        if self._take(size) != size // 2 * _CRLF or not b"\r".startswith(self._buffer):
            raise InvalidBody("multipart-end")
        self._blank += size // 2
        return None

    @property
    def _safe(self) -> int:
        """How much of the buffer cannot be of CRLF and a delimiter that are still to come."""
        return len(self._buffer) - len(self._delimiter) - 1

    def _content_end(self, at: int) -> int:
        """Return where the content ends before the delimiter at `at`."""
        if at < len(_CRLF) or self._buffer[at - len(_CRLF) : at] != _CRLF:
            raise InvalidBody("boundary-inside")
        return at - len(_CRLF)

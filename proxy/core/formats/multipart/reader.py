"""Multipart forms (`multipart/form-data`, RFC 7578 and RFC 2046): where their parts lie.

A body has one reading or is refused: the delimiter occurs only where parts begin and end,
lines end in CRLF, and only empty lines precede the first part or follow the last one.
What a laxer reader would find there could be a value that the rule should have sealed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ...errors import BodyTooLarge, InvalidBody, OpenFailed, UnsupportedBody
from ...http.encoded_text import as_extended, decoded, extended
from ...http.message import MediaType, parse_media_type
from ...policy import FORM_PARTS, PART_HEAD_BYTES

_CHARACTER: Final = rb"[A-Za-z0-9!#$&+.^_`|~-]"  # without `'`, a quote to PHP, `%` and `*`
_TOKEN: Final = _CHARACTER + rb"+"
_TEXT: Final = rb'[^"\\\x00-\x1f\x7f]*'
# A filename may have escapes, as Go and Ruby write them, or the backslashes of a path.
_FILE: Final = rb'(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*'
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_DISPOSITION: Final = re.compile(
    rb'form-data; *name=(?:"(%b)"|(%b))(?:; *filename=(?:"(%b)"|(%b))'
    rb"(?:; *filename\*=(?i:utf-8)''((?:%%[0-9A-Fa-f]{2}|%b)*))?)?"
    % (_TEXT, _TOKEN, _FILE, _TOKEN, _CHARACTER)
)
PARAMETER: Final = re.compile(rb"name[0-9*]*\s*=", re.IGNORECASE)
"""What some readers look for in all of a head."""
_UTF_8: Final = b"UTF-8''"
_CONTROL_OR_BACKSLASH: Final = re.compile(rb"[\x00-\x1f\x7f\\]")
_QUOTED: Final = {b'"': b"%22", b"\r": b"%0D", b"\n": b"%0A"}
_SPELLED: Final = re.compile(rb'["\r\n]')


class Filename(NamedTuple):
    """Where a filename lies, its quotes aside, and `again` where `filename*` (RFC 8187) has it."""

    start: int
    end: int
    quoted: bool
    again: tuple[int, int] | None

    def read(self, body: bytes) -> bytes:
        """Return the filename.

        Raises InvalidBody where it is given twice and not the same, or has a backslash, which some
        take for the end of a folder.
        """
        text = body[self.start : self.end]
        if self.quoted and b"\\" in text:
            text = _ESCAPED.sub(rb"\1", text)
            if b"\\" in text:
                raise InvalidBody("part-disposition", detail="A sealed filename has a backslash.")
        if self.again is None:
            return text
        whole = extended(_UTF_8 + body[slice(*self.again)])
        if whole not in {text, decoded(text)} and _as_browsers_do(whole) != text:
            raise InvalidBody("filename-stands-twice")
        return whole

    @property
    def is_empty(self) -> bool:
        """Whether it is empty in both spellings."""
        again = self.again or (0, 0)
        return self.start == self.end and again[0] == again[1]

    @property
    def last(self) -> int:
        """Where it ends for the last time."""
        return self.end if self.again is None else self.again[1]

    def spell_all(self, text: bytes) -> bytes:
        """Return another text as it is spelled from `start` to `last`; raise as `spell` does."""
        spelled = self.spell(text)
        if self.again is None:
            return spelled
        quote = b'"' if self.quoted else b""
        return spelled + quote + b"; filename*=" + _UTF_8 + self.spell_again(text)

    def spell_again(self, text: bytes) -> bytes:
        """Return another text, which is in UTF-8, as it is spelled the second time."""
        return as_extended(text.decode()).removeprefix(_UTF_8)

    def spell(self, text: bytes) -> bytes:
        """Return another text as it is spelled there.

        Raises OpenFailed for what has more than one reading there.
        """
        spelled = _as_browsers_do(text)
        if _CONTROL_OR_BACKSLASH.search(spelled) or PARAMETER.search(spelled):
            raise OpenFailed("not-a-filename")
        if self.quoted or re.fullmatch(_TOKEN, spelled):
            return spelled
        return b'"%b"' % spelled


class Disposition(NamedTuple):
    """The name of a part as it is spelled, and its filename if it is a file."""

    name: str
    filename: Filename | None


def read(value: bytes, at: int) -> Disposition:
    """Return what a Content-Disposition says whose value begins at `at`.

    Raises InvalidBody where it could be read in more than one way, or names nothing.
    """
    match = _DISPOSITION.fullmatch(value)
    if match is None:
        raise InvalidBody("part-disposition")
    quoted, bare, quoted_file, bare_file, again = match.groups()
    name = bare if quoted is None else quoted
    if not name:
        raise InvalidBody("part-without-name")
    if b"=?" in name:  # an encoded word, which Tomcat decodes (RFC 2047)
        raise InvalidBody("part-name-encoded")
    if PARAMETER.search(name) or PARAMETER.search(quoted_file or b""):
        raise InvalidBody("part-name-in-value")
    filename = None
    if quoted_file is not None or bare_file is not None:
        number = 4 if quoted_file is None else 3
        start, end = match.span(number)
        places = None if again is None else (at + match.start(5), at + match.end(5))
        filename = Filename(at + start, at + end, quoted_file is not None, places)
    return Disposition(name.decode(), filename)  # all of the head is UTF-8: see `multipart`


def spell_name(name: str) -> str:
    """Return a name as browsers spell it between quotes (HTML, section 4.10.21.8)."""
    return _as_browsers_do(name.encode()).decode()


def _as_browsers_do(text: bytes) -> bytes:
    return _SPELLED.sub(lambda match: _QUOTED[match[0]], text)


_BOUNDARY: Final = rb"[0-9A-Za-z_.+-]{1,70}"  # RFC 2046, less what needs quotes
_QUOTED_BOUNDARY: Final = rb"[0-9A-Za-z_.+=-]{1,70}"
_NEXT: Final = rb"[ \t]*;[ \t]*"
_CHARSET: Final = rb'charset="?(?i:utf-8)"?'
_CONTENT_TYPE: Final = re.compile(
    rb'(?i:multipart/form-data)(?:%b%b)?%bboundary=(?:"(%b)"|(%b))(?:%b%b)?'
    % (_NEXT, _CHARSET, _NEXT, _QUOTED_BOUNDARY, _BOUNDARY, _NEXT, _CHARSET)
)
_LINE: Final = re.compile(rb"([A-Za-z0-9-]+): *([^\x00-\x1f\x7f]*)(?<! )")
_BLANK: Final = re.compile(rb"(?:\r\n)*")
_TRANSFER: Final = frozenset({b"7bit", b"8bit", b"binary"})
_OF_CONTENT: Final = frozenset(
    {
        b"content-disposition",
        b"content-type",
        b"content-length",
        b"content-transfer-encoding",
    }
)
_DIGESTS: Final = frozenset({b"content-digest", b"content-md5", b"digest", b"repr-digest"})


class Boundary(NamedTuple):
    """What tells parts apart: `delimiter` is it with the two dashes before it."""

    delimiter: bytes
    quoted: bool


class PartLine(NamedTuple):
    """A header line: where it begins, where its value begins, and where it ends, CRLF aside."""

    start: int
    value: int
    end: int


class Part(NamedTuple):
    """One part; all places are those of the body.

    `name` is as it is spelled. `kind` is the line of the Content-Type that `media` reads,
    `length` the line of the Content-Length, `head_end` where the last header line ends. The content
    lies from `start` to `end`. `vouched` says that its head has a digest of it, `says_more` that
    its head has lines besides those that say what the content is.
    """

    name: str
    filename: Filename | None
    media: MediaType | None
    kind: PartLine | None
    length: PartLine | None
    vouched: bool
    head_end: int
    start: int
    end: int
    says_more: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the part is the value of a plain field, no file."""
        plain = self.media is None or self.media.essence == "text/plain"
        return plain and self.filename is None

    @property
    def may_be_text(self) -> bool:
        """Whether readers may take the part for a plain field, as Go does by the filename alone."""
        return self.filename is None or self.filename.start == self.filename.end

    @property
    def is_utf8(self) -> bool:
        """Whether the part names no other charset."""
        return self.media is None or self.media.is_utf8

    def reads_as_utf8(self, content: bytes) -> bool:
        """Return whether its content is UTF-8 by its type, or ASCII that reads alike."""
        return self.media is None or self.media.is_utf8 or self.media.is_ascii(content)

    @property
    def has_filename(self) -> bool:
        """Whether the part has a filename that is not empty, be it in `filename*` alone."""
        return self.filename is not None and not self.filename.is_empty

    @property
    def is_unfilled(self) -> bool:
        """Whether the part is a file input left empty (HTML, section 4.10.21.4)."""
        return self.filename is not None and not self.has_filename and self.start == self.end


def read_boundary(content_types: Sequence[bytes]) -> Boundary:
    """Return the boundary that a Content-Type names.

    Raises UnsupportedBody unless there is one such header, spelled so that all read it alike.
    """
    match = _CONTENT_TYPE.fullmatch(content_types[0]) if len(content_types) == 1 else None
    if match is None:
        raise UnsupportedBody("multipart-content-type")
    quoted, bare = match.groups()
    boundary = bare if quoted is None else quoted
    if not boundary.strip(b"-.+_="):
        raise UnsupportedBody("multipart-boundary")
    return Boundary(b"--" + boundary, quoted is not None)


def refuse_new_delimiters(content_types: Sequence[bytes], before: bytes, after: bytes) -> None:
    """Raise OpenFailed where a changed body has more delimiters than it came with.

    A value that opened could end its part and begin others. A token can hold a boundary of two
    or three characters by chance.
    """
    delimiter = read_boundary(content_types).delimiter
    if before.count(delimiter) != after.count(delimiter):
        raise OpenFailed("boundary-in-value")


def parts(body: bytes, boundary: Boundary) -> Iterator[Part]:
    """Yield the parts of a body in order.

    Raises InvalidBody where it could be read in more than one way, UnsupportedBody for parts that
    are coded or hold parts themselves, BodyTooLarge for more than a thousand parts.
    """
    delimiter = boundary.delimiter
    if boundary.quoted and b'--"%b' % delimiter[2:] in body:
        raise InvalidBody("boundary-in-quotes")  # some readers keep the quotes
    at = body.find(delimiter)
    if at < 0 or not _BLANK.fullmatch(body, 0, at):
        raise InvalidBody("multipart-begin")
    for _ in range(FORM_PARTS + 1):
        start = at + len(delimiter)
        if body.startswith(b"--", start):
            if not _BLANK.fullmatch(body, start + 2):
                raise InvalidBody("multipart-end")
            return
        at = body.find(delimiter, start)
        if at < 0:
            raise InvalidBody("multipart-not-closed")
        if not body.startswith(b"\r\n", start) or body[at - 2 : at] != b"\r\n":
            raise InvalidBody("boundary-inside")
        yield read_part(body, start + 2, at - 2)
    raise BodyTooLarge("too-many-parts")


def read_part(body: bytes, start: int, end: int, *, whole: bool = True) -> Part:
    """Return the part that lies from `start` to `end`.

    Where it is not `whole`, more of it is to come, and its declared length is not compared.
    Raises as `parts` does.
    """
    head_end = body.find(b"\r\n\r\n", start, min(end, start + PART_HEAD_BYTES))
    if head_end < 0:
        raise InvalidBody("part-head")
    lines = _lines(body, start, head_end)
    headers = {name: body[line.value : line.end] for name, line in lines.items()}
    if b"content-disposition" not in lines:
        raise InvalidBody("part-without-disposition")
    named = read(headers[b"content-disposition"], lines[b"content-disposition"].value)
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _TRANSFER:
        raise UnsupportedBody("part-transfer-encoding")
    content = head_end + len(b"\r\n\r\n")
    if whole and headers.get(b"content-length", size := b"%d" % (end - content)) != size:
        raise InvalidBody("part-length")
    if named.name.lower() == "_charset_" and body[content:end].lower() != b"utf-8":
        raise UnsupportedBody("part-charset")
    return Part(
        named.name,
        named.filename,
        _media_type(headers.get(b"content-type")),
        lines.get(b"content-type"),
        lines.get(b"content-length"),
        not _DIGESTS.isdisjoint(lines),
        head_end,
        content,
        end,
        not lines.keys() <= _OF_CONTENT,
    )


def _lines(body: bytes, start: int, end: int) -> dict[bytes, PartLine]:
    """Return the header lines of a part by name in lower case; no name occurs twice."""
    head = body[start:end]
    try:
        head.decode()
    except UnicodeDecodeError:
        raise InvalidBody("name-not-utf-8") from None
    lines: dict[bytes, PartLine] = {}
    at = start
    for line in head.split(b"\r\n"):
        match = _LINE.fullmatch(line)
        if match is None or (name := match[1].lower()) in lines:
            raise InvalidBody("part-head")
        if name != b"content-disposition" and PARAMETER.search(match[2]):
            raise InvalidBody("part-name-in-value")
        lines[name] = PartLine(at, at + match.start(2), at + match.end(2))
        at += len(line) + 2
    return lines


def _media_type(value: bytes | None) -> MediaType | None:
    if value is None:
        return None
    media = parse_media_type(value)
    if media is None:
        raise InvalidBody("part-type")
    if media.essence.startswith(("multipart/", "message/")):
        raise UnsupportedBody("part-of-parts")
    return media


def text_of_part(part: Part, body: bytes) -> str | None:
    """Return the text of a plain field; None for a file and for what is not UTF-8."""
    if not part.is_text or not part.is_utf8:
        return None
    return body[part.start : part.end].decode(errors="replace")

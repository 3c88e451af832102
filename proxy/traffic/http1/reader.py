"""The one strict reader of heads, for requests and for responses, and of the bodies behind them.

Bytes in, facts out, no I/O. It reads the grammar of RFC 9112 with each choice taken that leaves one
reading: CR LF ends each line, a name has no space behind it, a value has no control byte, a line is
never folded. What is allowed but for some parsers alone (an empty line before a request, spaces
around a value, an extension of a chunk, trailers) is read and goes no further.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final, NoReturn

from ...core.errors import HeadTooLarge, MalformedRequest, UpstreamFailed
from ...core.http.header_names import HeaderNames, Places, names_of
from ...core.http.message import Headers, ResponseHead
from ...core.leaves import fields as fields_of
from ...core.leaves.heads import FIELD as _FIELD
from ...core.leaves.heads import NAME as _NAME
from ...core.leaves.heads import TEXT as _TEXT
from ..policy import CHUNK_LINE_BYTES, CHUNKS_AT_ONCE, TRAILER_BYTES
from .framing import ABSENT, CHUNKED, HTTP_10, HTTP_11, Framing, measured
from .gate import RawRequest

_TARGET: Final = rb"[!-~\x80-\xff]"
_LINE_OF_REQUEST: Final = re.compile(rb"(%b++) (%b++) HTTP/([0-9]\.[0-9])\r\n" % (_NAME, _TARGET))
_VERSIONS: Final = {b"1.1": HTTP_11, b"1.0": HTTP_10}
_PART_OF_REQUEST: Final = re.compile(
    rb"%b*+(?: (?:%b++(?: [HTP/0-9.]{0,8}\r?)?)?)?|\r" % (_NAME, _TARGET)
)
_OTHER_PROTOCOL: Final = re.compile(
    rb"%b++ %b++ (?!HTTP/[0-9]\.[0-9])[A-Z]++/[0-9.]++\r\n" % (_NAME, _TARGET)
)
_LINE_OF_RESPONSE: Final = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: (%b*+))?\r\n" % _TEXT)
_LINE_OF_HEAD: Final = re.compile(_FIELD)
_EMPTY: Final = b"\r\n"
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)++")
_END: Final = b"\r\n\r\n"


class RequestReader:
    """Reads the heads of the requests of one connection.

    It keeps how far an incomplete head has been looked at, so that a client that sends byte by byte
    costs no more than one that does not.
    """

    __slots__ = ("_fields", "_line", "_searched")

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._searched = 0  # up to here there is no end of the head
        self._line = 0  # where the first line begins that has not been checked
        self._fields = -1  # how many fields have been checked; -1 before the request line

    def read(
        self, data: bytes, at: int, *, line: int, head: int, fields: int
    ) -> tuple[RawRequest, int] | None:
        """Return the head that begins at a place in `data`, and its end; None if that is to come.

        `line`, `head` and `fields` are the limits of a line and of the head in bytes, and of the
        number of fields.

        Raises:
            MalformedRequest: It is no head, or has more than one reading.
            HeadTooLarge: It is above a limit.
        """
        end = data.find(_END, at + self._searched)
        if end < 0:
            self._look(data[at:], line, head, fields)
            self._searched = max(len(data) - at - len(_END) + 1, 0)
            return None
        end += len(_END)
        if self._searched or self._line:
            self._begin()
        first = _LINE_OF_REQUEST.match(data, at)
        found = None if first is None else fields_of(data, first.end(), end)
        if first is None or found is None:
            self._look(data[at:end], line, head, fields)  # which says what is wrong
            raise MalformedRequest("parser")
        method, target, number = first.groups()
        headers, names = found
        size = end - at
        if size > line and (
            len(target) > line or any(len(one) > line for pair in headers for one in pair)
        ):
            raise HeadTooLarge("line")
        if size > head:
            raise HeadTooLarge("head")
        if len(headers) > fields:
            raise HeadTooLarge("headers")
        version = _VERSIONS.get(number) or (int(number[:1]), int(number[2:]))
        method, target = method.decode("ascii"), target.decode("latin-1")
        return RawRequest(method, target, version, headers, names_of(names)), end

    def _look(self, data: bytes, line: int, head: int, fields: int) -> None:
        """Refuse what cannot become a head, as soon as a line of it shows that."""
        at = self._line
        while (end := data.find(b"\n", at)) >= 0:
            self._check(data[at : end + 1], fields)
            if end - at > line and _is_long(data[at:end], line):
                raise HeadTooLarge("line")
            at = end + 1
        self._line = at
        if self._fields < 0 and not _PART_OF_REQUEST.fullmatch(data, at):
            raise MalformedRequest("parser")
        if len(data) - at > line and _is_long(data[at:], line):
            raise HeadTooLarge("line")
        if len(data) > head:
            raise HeadTooLarge("head")

    def _check(self, text: bytes, fields: int) -> None:
        if self._fields < 0:
            if not _LINE_OF_REQUEST.fullmatch(text):
                raise MalformedRequest("version" if _OTHER_PROTOCOL.fullmatch(text) else "parser")
        elif not (_LINE_OF_HEAD.fullmatch(text) or text == _EMPTY):
            raise MalformedRequest("parser")
        self._fields += 1
        if self._fields > fields and text != _EMPTY:
            raise HeadTooLarge("headers")


def _is_long(text: bytes, limit: int) -> bool:
    """Return whether a target, a name or a value is above the limit, in a line or a part of one."""
    name, colon, value = text.partition(b":")
    if colon and b" " not in name:
        return len(name) > limit or len(value.strip(b" \t\r")) > limit
    return any(len(one) > limit for one in text.split(b" "))


def behind_empty_lines(data: bytes, at: int) -> int:
    """Return where a request may begin: behind empty lines (RFC 9112 section 2.2)."""
    found = _EMPTY_LINES.match(data, at)
    return at if found is None else found.end()


class BadChunk(Exception):
    """A chunked body that breaks its grammar."""


_QUOTED: Final = rb"\x22(?:[\t !#-\[\]-~\x80-\xff]|\x5c%b)*+\x22" % _TEXT
_EXTENSION: Final = rb";[\t ]*+%b++(?:=(?:%b++|%b))?" % (_NAME, _NAME, _QUOTED)
_LINE_OF_SIZE: Final = rb"([0-9A-Fa-f]{1,15})(?:%b)*+\r\n" % _EXTENSION
_SIZE: Final = re.compile(_LINE_OF_SIZE)
_NEXT_SIZE: Final = re.compile(rb"\r\n" + _LINE_OF_SIZE)
_FRAMES: Final = frozenset({b"content-length", b"transfer-encoding"})
# A trailer that frames is a head or a body to others.
_TRAILERS: Final = re.compile(rb"(?:(?!(?i:%b):)%b)*+" % (b"|".join(sorted(_FRAMES)), _FIELD))


class BodyReader:
    """Reads one body, by its framing.

    `complete` says that its end has come. One without framing ends with its connection. `unread`
    says that there may be more in what has been given: others have a turn, then `take` goes on.
    """

    __slots__ = ("_chunked", "_ends", "_held", "_left", "_size", "_trailers", "complete", "unread")

    def __init__(self, framing: Framing) -> None:
        """Begin; a body of no bytes is complete."""
        self._chunked = framing.chunked
        self._held = b""
        self._trailers = TRAILER_BYTES  # so many may still come
        self._left = framing.length or 0  # bytes that are to come of the body, or of the chunk
        self._size = _SIZE
        self._ends = False  # the last chunk has come, and trailers may follow
        self.complete = not self._chunked and not self._left
        self.unread = False

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the bytes of the body in `data`, and what is behind its end.

        Raises:
            BadChunk: It is not a chunked body.
        """
        if self._chunked:
            return self._chunks(data)
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data, b""
        self.complete, self._left = True, 0
        if len(data) == left:
            return data, b""
        return data[:left], data[left:]

    def _chunks(self, data: bytes) -> tuple[bytes, bytes]:
        data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at = 0 if self._ends else self._sized(data, pieces)
        if self._ends:
            at = self._drop_trailers(data, at)
        rest = data[at:]
        if not self.complete:
            self._held, rest = rest, b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), rest

    def _sized(self, data: bytes, pieces: list[bytes]) -> int:
        """Add what chunks hold, of so many as are read at once; return where the last one ends."""
        at, self.unread = 0, False
        for _ in range(CHUNKS_AT_ONCE):
            if self._left:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    return at
                self._size = _NEXT_SIZE
            found = self._size.match(data, at)
            if found is None:
                self._check_size(data[at:])
                return at
            at, self._left = found.end(), int(found[1], 16)
            if not self._left:
                self._ends = True
                return at
        self.unread = True
        return at

    def _check_size(self, text: bytes) -> None:
        """Refuse what cannot become the end of a chunk and the size of the next one."""
        if self._size is _NEXT_SIZE:
            if not (text.startswith(_EMPTY) or _EMPTY.startswith(text)):
                raise BadChunk
            text = text[len(_EMPTY) :]
        if len(text) > CHUNK_LINE_BYTES or b"\n" in text:
            raise BadChunk

    def _drop_trailers(self, data: bytes, at: int) -> int:
        """Return the end of the trailers, which go no further (RFC 9110 section 6.5.1)."""
        last = at + self._trailers
        found = _TRAILERS.match(data, at, last)
        assert found is not None  # noqa: S101 - it matches anything
        end = found.end()
        if data.startswith(_EMPTY, end, last):
            self.complete = True
            return end + len(_EMPTY)
        if len(data) > last or data.find(b"\n", end) >= 0:
            raise BadChunk
        self._trailers -= end - at
        return end


_LENGTH_DIGITS: Final = 18
_BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_OK: Final = HTTPStatus.OK.value
_SWITCHING: Final = HTTPStatus.SWITCHING_PROTOCOLS.value


class ResponseReader:
    """Reads one response after the other; `expect` announces each.

    Attributes:
        head: The head of the response, once it is there.
        framing: The framing of its body.
        bodiless: HTTP gives it no body (HEAD, 204, 304).
        started: Some of it has come.
        complete: All of it has come.
        unread: There may be more of it in what has come: others have a turn, then `feed` goes on.
        doubt: The connection must not carry another message, ever.
        leftover: What came behind a 101.
    """

    __slots__ = (
        "_body",
        "_ended",
        "_head_bytes",
        "_head_limit",
        "_head_only",
        "_headers_limit",
        "_held",
        "_searched",
        "_upgrade",
        "bodiless",
        "complete",
        "doubt",
        "framing",
        "head",
        "leftover",
        "started",
        "unread",
    )

    def __init__(self, *, head_limit: int, headers_limit: int) -> None:
        """Take the limits of a head, in bytes with all interim ones, and of its fields."""
        self._head_limit = head_limit
        self._headers_limit = headers_limit
        self.doubt = False
        self.expect(head_only=False, upgrade=False)
        self.complete = True

    def expect(self, *, head_only: bool, upgrade: bool) -> None:
        """Make ready for the response to the next request."""
        self._head_only = head_only
        self._upgrade = upgrade
        self._held = b""
        self._searched = 0
        self._head_bytes = 0
        self._body: BodyReader | None = None
        self.head: ResponseHead | None = None
        self.framing = ABSENT
        self.bodiless = False
        self.started = False
        self.complete = False
        self.unread = self._ended = False
        self.leftover = b""

    @property
    def delimited(self) -> bool:
        """Whether a body that was cut can be told from a whole one."""
        return self.bodiless or self.framing.present

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the upstream and return the body bytes among them.

        Raises:
            UpstreamFailed: They are not a response that may be passed on.
        """
        if self.complete:
            self.doubt = True
            return b""
        self.started = True
        if self.head is None:
            rest = self._read_head(self._held + data if self._held else data)
            if rest is None:
                return b""
            data = rest
            if self.complete:  # it has no body
                self._over(data)
                return b""
            if len(data) == self.framing.content_length:
                self.complete = True
                return data
            if self.framing.present:
                self._body = BodyReader(self.framing)
        body = self._body
        # Without framing, all is of it up to the end of the connection.
        return data if body is None else self._take(body, data)

    def _take(self, body: BodyReader, data: bytes) -> bytes:
        try:
            piece, rest = body.take(data)
        except BadChunk:
            self.doubt = True
            raise UpstreamFailed("response-malformed") from None
        self.unread = body.unread
        if body.complete:
            self.complete = True
            self._over(rest)
        elif self._ended:
            self.end()
        return piece

    def end(self) -> None:
        """Note that the upstream has closed its sending half.

        Raises:
            UpstreamFailed: The response is incomplete; `feed` raises it for what is unread.
        """
        self.doubt = self._ended = True
        if self.complete or self.unread:
            return
        if self.head is None or self.delimited:
            raise UpstreamFailed("response-cut" if self.started else "no-response")
        self.complete = True

    def _over(self, rest: bytes) -> None:
        """Take what is behind the response."""
        if rest:
            self.doubt = True
            if self._upgrade:
                self.leftover = rest

    def _read_head(self, data: bytes) -> bytes | None:
        """Return what is behind the head, past interim responses; None while it is to come."""
        while True:
            end = data.find(_END, self._searched)
            if end < 0:
                self._held, self._searched = data, max(len(data) - len(_END) + 1, 0)
                self._look(data)
                return None
            size = end + len(_END)
            self._searched = 0
            first = _LINE_OF_RESPONSE.match(data)
            found = None if first is None else fields_of(data, first.end(), size)
            if first is None or found is None:
                self._refuse_head(data[:size])
            minor, digits, reason = first.groups()
            self._head_bytes += size
            headers, names = found
            if self._head_bytes > self._head_limit:
                _refuse("response-head")
            if len(headers) > self._headers_limit:
                _refuse("response-headers")
            status, data = int(digits), data[size:]
            # Interim responses are forgotten (RFC 9110 section 15.2).
            if status >= _OK or status == _SWITCHING:
                self._held = b""
                self._begin(status, reason or b"", headers, names_of(names), old=minor == b"0")
                return data

    def _look(self, data: bytes) -> None:
        """Refuse what cannot become a head."""
        if self._head_bytes + len(data) > self._head_limit:
            _refuse("response-head")
        if data.count(b"\n") > self._headers_limit + 1:
            _refuse("response-headers")
        line, end, rest = data.partition(b"\n")
        if not _LINE_OF_RESPONSE.fullmatch(line + end) if end else not _may_begin(line):
            _refuse_line(line)
        last = rest.rfind(b"\n") + 1
        if last and not re.fullmatch(rb"(?:%b)*+" % _FIELD, rest[:last]):
            _refuse("response-malformed")

    def _refuse_head(self, data: bytes) -> NoReturn:
        line, end, _ = data.partition(b"\n")
        if not _LINE_OF_RESPONSE.fullmatch(line + end):
            _refuse_line(line)
        self.doubt = True
        _refuse("response-malformed")

    def _begin(
        self, status: int, reason: bytes, headers: Headers, names: HeaderNames, *, old: bool
    ) -> None:
        """Take a head, and make ready for its body."""
        noted = {name: [headers[at][1] for at in places] for name, places in names[_note]}
        if old or b"connection" in noted:
            options = b",".join(noted.get(b"connection", ())).lower()
            listed = {one.strip(b" \t") for one in options.split(b",")}
            if b"close" in listed or (old and b"keep-alive" not in listed):
                self.doubt = True
        if status == _SWITCHING:
            self._switch(headers)
        self.framing = _response_framing(noted, old=old)
        self.bodiless = self._head_only or status in _BODILESS or status == _SWITCHING
        self.head = ResponseHead(status, reason, headers, names)
        if self.bodiless:
            self.complete = True
        elif not self.framing.present:
            self.doubt = True  # the body ends with the connection

    def _switch(self, headers: Headers) -> None:
        if not self._upgrade:
            _refuse("unrequested-101")
        # No other protocol is ever asked for, and the 101 to the client names this one.
        asked = [value.lower() for name, value in headers if name.lower() == b"upgrade"]
        if asked != [b"websocket"]:
            _refuse("other-protocol")
        self.doubt = True


_BEGINNING: Final = b"HTTP/1."


def _may_begin(line: bytes) -> bool:
    return line.startswith(_BEGINNING) or _BEGINNING.startswith(line)


def _refuse(reason: str) -> NoReturn:
    raise UpstreamFailed(reason)


def _refuse_line(line: bytes) -> NoReturn:
    if re.match(rb"HTTP/1\.[01] [1-9][0-9][0-9] ", line):
        _refuse("response-reason" if line.endswith(b"\r") else "response-malformed")
    _refuse("response-status-line")


def _note(names: HeaderNames) -> Places:
    """Return where the names stand that tell of the body and of the connection."""
    return names.standing(_FRAMES | {b"connection"})


def _response_framing(noted: dict[bytes, list[bytes]], *, old: bool) -> Framing:
    """Return the framing of a response (RFC 9112 section 6.3); refuse what is ambiguous."""
    lengths, codings = noted.get(b"content-length"), noted.get(b"transfer-encoding")
    if codings is not None:
        if lengths or len(codings) != 1 or codings[0].lower() != b"chunked" or old:
            _refuse("response-framing")
        return CHUNKED
    if lengths is None:
        return ABSENT
    if len(lengths) != 1 or len(lengths[0]) > _LENGTH_DIGITS:
        _refuse("response-framing")
    try:
        return measured(lengths[0])
    except ValueError:
        _refuse("response-framing")

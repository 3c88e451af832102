"""Responses whose type fits no block, although their body may be what a block reads.

Servers send JSON as `text/plain`, `text/html`, `application/octet-stream` or without any type. The
bytes show what such a body is: JSON parses, and sealed streams and tokens have a prefix. It is read
only if it contains something sealed. Everything else passes unchanged and without delay.

A sealed body has any type: file servers give it that of its name, such as `image/png`.
"""

from __future__ import annotations

import json
from typing import Final, Literal

from ..compiled.block import CompiledBlock
from ..compiled.message_match import JOSE
from ..crypto import sealed_stream
from ..crypto.token import BASE64_MARK, JWE_PREFIX, SHORT_PREFIX, decode_bytes, has_prefix
from ..crypto.token import decode as decode_token
from ..errors import BodyTooLarge, InvalidBody, OpenFailed, UnsupportedBody
from ..expressions.selectors import Whole
from ..formats import json as json_format
from ..formats import token_places
from ..formats.json.lexer import LongText
from ..formats.markup import MARKUP, surroundings_of
from ..formats.records import json_lines
from ..formats.table import kind_of
from ..http.content_coding import coding_of, decode
from ..http.message import MediaType, ResponseHead, media_type
from ..policy import BODY_TOKEN_BYTES, JSON_VALUES, PIECE_BYTES
from ..slices import pieces
from .block_choice import choose_response
from .exchange import Exchange

JSON: Final = b"application/json"
LINES: Final = b"application/x-ndjson"
_FRAME: Final = sealed_stream.MEDIA_TYPE.encode()
_TOKEN: Final = JOSE.encode()
_TOKEN_BODY_MAX: Final = 2 * BODY_TOKEN_BYTES
_BEGINNINGS: Final = (JWE_PREFIX, SHORT_PREFIX, BASE64_MARK, sealed_stream.MAGIC)
_FEW: Final = max(map(len, _BEGINNINGS))

_OF_THEIR_OWN: Final = frozenset(
    {"audio", "font", "image", "message", "model", "multipart", "video"}
)
_NAMED_WELL: Final = frozenset(
    {
        *("application/gzip", "application/pdf", "application/wasm", "application/zip"),
        *("application/grpc", "application/protobuf", "application/x-protobuf", "text/css"),
    }
)
"""Types that are not given to JSON by mistake."""
_BLANK: Final = b" \t\r\n"
_BEGINS: Final = b'{["'
_AT_END: Final = 6
"""The longest piece of JSON, `\\uXXXX`, in which a text may be cut so that it looks wrong."""
# `len` takes a number of any length for what it is.
_READER: Final = json.JSONDecoder(parse_int=len, parse_float=len)

Shape = Literal["never", "more", "whole", "lines"]


def may_be_mistyped(exchange: Exchange, head: ResponseHead) -> CompiledBlock | None:
    """Return the block that might read a response if its type were exact.

    None: no block opens such responses, or the rule selects them by their type. If a type is exact,
    a block might read it only that opens bodies.
    """
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is None or not compiled_rule.opens_response:
        return None
    exact = is_exact(head)
    for one in compiled_rule.response:
        if one.block.types or one.block.format is not None or not one.traits.only_opens_responses:
            continue
        if one.fits_status(head.status) and (
            _opens_bodies(one) or (one.traits.reads_json and not exact)
        ):
            return one
    return None


def is_exact(head: ResponseHead) -> bool:
    """Return whether a response is of the type that it names, unless it is sealed as a whole."""
    try:
        media = media_type(head.facts)
    except UnsupportedBody:
        return False
    return media is not None and _is_exact(media)


def _is_exact(media: MediaType) -> bool:
    major = media.essence.partition("/")[0]
    if major in _OF_THEIR_OWN or media.essence in _NAMED_WELL or not media.is_utf8:
        return True
    return kind_of(media) is not None


def _opens_bodies(compiled: CompiledBlock) -> bool:
    whole = compiled.whole_decrypt
    return whole is not None and whole.selector is Whole.BODY


def typed_by_look(
    exchange: Exchange, head: ResponseHead, look: Look
) -> tuple[ResponseHead, CompiledBlock | None]:
    """Return the head of a response as rules read it after a look, and the block for it."""
    if look.media is None:
        return head, None
    try:
        media = media_type(head.facts)
    except UnsupportedBody:
        media = None
    head = head.read_as(look.media, as_page=surroundings_of(media) in MARKUP)
    return head, choose_response(exchange, head)


class Look:
    """A look at a body while it comes, for as long as it may be what a block reads.

    `limit` is how many bytes a block reads at most, `length` the Content-Length. A body without
    one may have no end, so it is held only while it is part of one JSON text. `passes` says
    that it goes on as it is, `media` what it is read as; until one of them is said, more is needed.
    """

    __slots__ = (
        "_coding",
        "_decrypts_body",
        "_held",
        "_length",
        "_limit",
        "_next",
        "_size",
        "media",
        "passes",
    )

    def __init__(
        self,
        compiled: CompiledBlock,
        head: ResponseHead,
        length: int | None,
        limit: int,
        *,
        reads: bool = True,
    ) -> None:
        """Begin with nothing seen; unless it `reads`, the body passes whatever it is."""
        self._decrypts_body = _opens_bodies(compiled)
        self._limit = limit
        self._length = length
        self._held: list[bytes] = []
        self._size = 0
        self._next = 1
        self.media: bytes | None = None
        self._coding: str | None = None
        self.passes = not reads
        try:
            self._coding = coding_of(head.facts)
        except UnsupportedBody:
            self.passes = True
        self.passes = self.passes or (self._coding is not None and length is None)

    @property
    def seen(self) -> bytes:
        """What has come so far."""
        if len(self._held) > 1:
            self._held = [b"".join(self._held)]
        return self._held[0] if self._held else b""

    @property
    def size(self) -> int:
        """How many bytes have come so far."""
        return self._size

    @property
    def over(self) -> bool:
        """Whether nothing more needs to be seen."""
        return self.passes or self.media is not None

    def feed(self, data: bytes) -> None:
        """Take some of the body."""
        self._held.append(data)
        self._size += len(data)
        if self.over:
            return
        if self._size > self._limit or (self._length or 0) > self._limit:
            self.passes = not self._is_frame()
        elif self._coding is None and self._size >= self._next:
            self._judge()

    def end(self) -> None:
        """Learn that all of the body has come."""
        if self.over:
            return
        text = self.seen
        if self._coding is not None:
            try:
                text = decode(text, self._coding, self._limit)
            except (BodyTooLarge, InvalidBody, UnsupportedBody):
                text = b""
        self.media = _of_whole(text, decrypts_body=self._decrypts_body)
        self.passes = self.media is None

    def _judge(self) -> None:
        """Decide what can be decided; look again at the next byte, later at twice as many."""
        text = self.seen
        self._next = 2 * self._size if self._size >= _FEW else self._size + 1
        if self._is_frame():
            return
        if self._decrypts_body:
            if not text.startswith(BASE64_MARK):  # such a value is as long as its field may be
                begins = has_prefix(text) or any(one.startswith(text) for one in _BEGINNINGS)
                self.passes = not begins or self._size > _TOKEN_BODY_MAX
            return
        shape = shape_of(text)
        if shape == "lines" and self._length is None:
            self.media = LINES
        self.passes = shape == "never"

    def _is_frame(self) -> bool:
        if self._decrypts_body and self.seen.startswith(sealed_stream.MAGIC):
            self.media = _FRAME
        return self.media is not None


def holds_sealed(text: bytes) -> bool:
    """Return whether a text contains something sealed."""
    return token_places.any_in(text) or text.startswith((sealed_stream.MAGIC, BASE64_MARK))


def shape_of(text: bytes) -> Shape:
    """Return what a text that may be cut is: no JSON, part of some, all of some, or lines of it."""
    begin = text.lstrip(_BLANK)
    if not begin:
        return "more"
    if begin[0] not in _BEGINS:
        return "never"
    line, ends, _ = begin.partition(b"\n")
    if ends and line[:1] != b'"' and json_format.is_valid(line):
        return "lines"
    characters = begin.decode("latin-1")
    shape, rest = _shape(characters[:PIECE_BYTES]), characters[PIECE_BYTES:]
    if shape == "more" and rest:
        return _shape_of_long(begin, characters)
    return "never" if rest.strip() else shape


def _shape(text: str) -> Shape:
    try:
        _, end = _READER.raw_decode(text)
    except json.JSONDecodeError as error:
        cut = error.msg.startswith("Unterminated string") or error.pos >= len(text) - _AT_END
        return "more" if cut else "never"
    except RecursionError:
        return "never"
    return "never" if text[end:].strip() else "whole"


def _shape_of_long(text: bytes, characters: str) -> Shape:
    """Return the shape of a text that is not read in one piece; a broken one may be a cut one."""
    marks = sum(piece.count(mark) for piece in pieces(text) for mark in (b",", b"[", b"{"))
    if marks > JSON_VALUES:
        return "never"  # no more are ever read
    try:
        end = LongText(characters).end(0)
    except (InvalidBody, ValueError, StopIteration):
        return "more"
    except RecursionError:
        return "never"
    return "never" if characters[end:].strip() else "whole"


def _of_whole(text: bytes, *, decrypts_body: bool) -> bytes | None:
    """Return the type of a whole body with something sealed in it; None for one to be left."""
    if not holds_sealed(text):
        return None
    if decrypts_body:
        read = decode_bytes if text.startswith(BASE64_MARK) else decode_token
        try:
            read(text)
        except OpenFailed:
            return None
        return _TOKEN
    if json_format.is_valid(text):
        return JSON
    try:
        lines = json_lines.find_lines(text)
        return LINES if all(json_format.is_valid(text[start:end]) for start, end in lines) else None
    except BodyTooLarge:
        return None

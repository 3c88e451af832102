"""Contents of parts that are sealed streams or become ones, and what changes in their heads."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from ..crypto import sealed_stream
from ..crypto.context import Context
from ..crypto.sealed_stream import StreamHead
from ..crypto.session_cipher import Session
from ..crypto.token import Token
from ..errors import ForbiddenValue, OpenFailed
from ..formats.multipart.reader import Part
from ..rules.model import Block, Item
from .hows import Span
from .outcomes import Outcome, expiry
from .streams import Content, NoFlow, OpenFlow, SealFlow, StreamOpener

_CRLF: Final = b"\r\n"


class PartChange(NamedTuple):
    """What a content becomes (None: it stays), and what changes in the head of its part."""

    text: bytes | None
    outcome: Outcome
    session: Session | None = None
    head: tuple[Span, ...] = ()


class PartStream:
    """The content of a part that becomes a sealed stream, or is one.

    `stream` is what it is or looks to be, or why it is none; None: nothing of the kind. Where the
    content has only begun to arrive there is a `rest`, and `length` is what its part declares.
    """

    __slots__ = ("_content", "_media", "_part", "item", "length", "rest", "stream")

    def __init__(
        self,
        part: Part,
        content: bytes,
        stream: StreamHead | OpenFailed | None,
        item: Item | None = None,
        media: str = "",
    ) -> None:
        """Take a content; it is sealed as `item` says, with its `media` type, or else opened."""
        self._part = part
        self._content = content
        self._media = media
        self.stream = stream
        self.item = item
        self.rest: Content | None = None
        self.length: int | None = None

    def left_out(self) -> tuple[Span, ...]:
        """Return what changes in the head of its part where nothing of the content goes on."""
        if self.rest is not None:
            self.rest.begin(NoFlow(), b"")
        return of_content(self._part, None, 0)

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token at its beginning, or why there is none."""
        return self.stream.token if isinstance(self.stream, StreamHead) else self.stream

    def carry_out(
        self, keys: StreamOpener, block: Block, context: Context, now: float
    ) -> PartChange:
        """Return the content sealed or opened, or its beginning.

        Raises OpenFailed where it does not open and must not stay, ForbiddenValue where it is
        sealed already and that is refused.
        """
        if self.item is not None:
            return self._seal(self.item, keys, block, context, now)
        try:
            return self._open(keys, context, now)
        except OpenFailed:
            if self.rest is not None:
                self.rest.flow = None
            if block.keep_unopened:
                return PartChange(None, "kept")
            raise

    def _seal(
        self, item: Item, keys: StreamOpener, block: Block, context: Context, now: float
    ) -> PartChange:
        stream = self.stream
        if isinstance(stream, StreamHead) and block.already_sealed != "seal":
            if block.already_sealed == "reject":
                raise ForbiddenValue(
                    "already-sealed", detail=f"{item.field}: the value is sealed already."
                )
            with suppress(OpenFailed):  # as of one that has only begun to arrive
                return PartChange(
                    None, "already_sealed", self._opened(stream, keys, context, now)[0]
                )
        end = item.expires and expiry(now, item.expires)
        session = keys.seal_for(context.scope)
        head, sealer = sealed_stream.begin(session, context, self._media, end)
        if self.rest is None:
            text = b"".join((head, sealer.update(self._content), sealer.finish()))
            length: int | None = len(text)
        else:
            flow = SealFlow(head, sealer, partial(keys.stands, session))
            text, length = self.rest.begin(flow, self._content), flow.length(self.length)
        changes = of_content(self._part, sealed_stream.MEDIA_TYPE, length)
        return PartChange(text, "sealed", None, changes)

    def _open(self, keys: StreamOpener, context: Context, now: float) -> PartChange:
        stream = self.stream
        if not isinstance(stream, StreamHead):
            assert stream is not None  # noqa: S101 - what is opened is a stream, or was read as one
            raise stream
        if self.rest is None:
            session, text, media = self._opened(stream, keys, context, now)
            changes = of_content(self._part, media, len(text))
            return PartChange(text, "opened", session, changes)
        session, sealed = keys.open(stream.token, context, now)
        inner = sealed_stream.read_stream(sealed)
        flow = OpenFlow(stream.raw, sealed_stream.opener(stream, inner, context))
        length = flow.length(self.length)
        text = self.rest.begin(flow, self._content)
        changes = of_content(self._part, inner.media_type, length)
        return PartChange(text, "opened", session, changes)

    def _opened(
        self, stream: StreamHead, keys: StreamOpener, context: Context, now: float
    ) -> tuple[Session, bytes, str]:
        """Return the session that opened all of the stream, the plaintext, and its media type."""
        session, sealed = keys.open(stream.token, context, now)
        inner = sealed_stream.read_stream(sealed)
        opener = sealed_stream.opener(stream, inner, context)
        text = opener.update(self._content[len(stream.raw) :]) + opener.finish()
        return session, text, inner.media_type


def of_content(part: Part, media: str | None, length: int | None) -> tuple[Span, ...]:
    """Return the changes in the head of a part whose content has another type and length now.

    `media` is the new type (None: it stays, empty: none), `length` None where it is not known.
    """
    changes = [] if media is None else [_retyped(part, media.encode("ascii"))]
    if part.length is not None:
        changes.append((part.length.value, part.length.end, b"%d" % (length or 0)))
    return tuple(changes)


def without_length(part: Part) -> tuple[Span, ...]:
    """Return the change of a part of whose content none knows how long it will be."""
    line = part.length
    return () if line is None else ((line.start, line.end + len(_CRLF), b""),)


def _retyped(part: Part, media: bytes) -> Span:
    line = part.kind
    if line is None:
        text = b"\r\nContent-Type: " + media if media else b""
        return part.head_end, part.head_end, text
    if not media:
        return line.start, line.end + len(_CRLF), b""
    return line.value, line.end, media

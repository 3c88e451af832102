"""Edits of parts of a form: what the head of a part says of its content changes with it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ..crypto import sealed_stream
from ..crypto.context import Context
from ..crypto.sealed_stream import Sealer, StreamHead
from ..crypto.session_cipher import Session
from ..crypto.token import Token
from ..errors import ForbiddenValue, OpenFailed
from ..formats.multipart.reader import Part, PartLine
from ..rules.model import Block, Item
from .edits import Change, KeysInUse, OpenEdit, SealEdit, expiry
from .stream_edits import Flow, OpenFlow, SealFlow
from .wrapped import CarriedEdit

_CRLF = b"\r\n"


class PartEdit(NamedTuple):
    """An edit in the content of a part; `media` is its new type (None: it stays, empty: none)."""

    edit: SealEdit | OpenEdit | CarriedEdit
    part: Part
    media: str | None = None

    @property
    def context(self) -> Context | None:
        """What the value is bound to."""
        return self.edit.context

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token, or what was met in its place."""
        return self.edit.token

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the value after the edit, and its part's head; raise as the edit does."""
        change = self.edit.carry_out(keys, block, now)
        if type(self.edit) is CarriedEdit:
            # One of several values in the content: none knows how long it will be.
            return replace(change, also=_without(self.part.length))
        return _with_head(change, self.part, self.media)


class Content:
    """How the rest of a content passes: unchanged, unless there is a `flow`.

    `first` is the output for its beginning.
    """

    __slots__ = ("first", "flow")

    def __init__(self) -> None:
        """Begin with nothing to be done."""
        self.flow: Flow | None = None
        self.first = b""

    def begin(self, flow: Flow, beginning: bytes) -> bytes:
        """Send the content through a flow; return the output for its beginning."""
        self.flow = flow
        self.first = flow.feed(beginning)
        return self.first


class SealFrameEdit(NamedTuple):
    """A content to be sealed as a stream. `sealed` is the stream that it already looks to be."""

    part: Part
    item: Item
    context: Context
    content: bytes
    media: str
    sealed: StreamHead | None

    @property
    def token(self) -> Token | None:
        """The token of the sealed stream that the content already is."""
        return None if self.sealed is None else self.sealed.token

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the sealed stream; raise ForbiddenValue if it is one and the block refuses it."""
        part = self.part
        if self.sealed is not None and block.already_sealed != "seal":
            self._refuse_sealed(block)
            if (opener := self._opener(self.sealed, keys, now)) is not None:
                return Change(part.start, part.end, None, "already_sealed", opener)
        head, sealer = self._frame(keys, now)
        text = b"".join((head, sealer.update(self.content), sealer.finish()))
        change = Change(part.start, part.end, text, "sealed")
        return _with_head(change, part, sealed_stream.MEDIA_TYPE)

    def begin(
        self, keys: KeysInUse, block: Block, now: float, rest: Content, length: int | None
    ) -> Change:
        """Return the beginning of the stream; the `rest` of the content follows later.

        `length` is what its part declares. It may not be one already where the block keeps those.
        """
        if self.sealed is not None:
            self._refuse_sealed(block)
        part = self.part
        flow = SealFlow(*self._frame(keys, now))
        change = Change(part.start, part.end, rest.begin(flow, self.content), "sealed")
        return replace(change, also=_of_head(part, sealed_stream.MEDIA_TYPE, flow.length(length)))

    def _frame(self, keys: KeysInUse, now: float) -> tuple[bytes, Sealer]:
        end = self.item.expires and expiry(now, self.item.expires)
        session = keys.seal_for(self.context.scope)
        return sealed_stream.begin(session, self.context, self.media, end)

    def _refuse_sealed(self, block: Block) -> None:
        if block.already_sealed == "reject":
            raise ForbiddenValue(
                "already-sealed", detail=f"{self.item.field}: the value is sealed already."
            )

    def _opener(self, head: StreamHead, keys: KeysInUse, now: float) -> Session | None:
        try:
            return _open(head, self.context, self.content, keys, now)[0]
        except OpenFailed:
            return None


class OpenFrameEdit(NamedTuple):
    """A sealed stream to be opened. `head` is its beginning, or the error in reading that."""

    part: Part
    context: Context
    content: bytes
    head: StreamHead | OpenFailed

    @property
    def token(self) -> Token | OpenFailed:
        """The token at the beginning of the stream, or the error in reading it."""
        return self.head.token if isinstance(self.head, StreamHead) else self.head

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the opened content, or the old one where the block lets it stay; else raise."""
        part = self.part
        try:
            if isinstance(self.head, OpenFailed):
                raise self.head
            session, plaintext, media = _open(self.head, self.context, self.content, keys, now)
        except OpenFailed:
            if block.keep_unopened:
                return Change(part.start, part.end, None, "kept")
            raise
        change = Change(part.start, part.end, plaintext, "opened", session)
        return _with_head(change, part, media)

    def begin(
        self, keys: KeysInUse, block: Block, now: float, rest: Content, length: int | None
    ) -> Change:
        """Return the beginning of the opened content, or the old one; the `rest` comes later.

        `length` is what its part declares.
        """
        part = self.part
        try:
            if isinstance(self.head, OpenFailed):
                raise self.head
            session, sealed = keys.open(self.head.token, self.context, now)
            stream = sealed_stream.read_stream(sealed)
            flow = OpenFlow(self.head.raw, sealed_stream.opener(self.head, stream, self.context))
            opened = flow.length(length)
            plaintext = rest.begin(flow, self.content)
        except OpenFailed:
            rest.flow = None
            if block.keep_unopened:
                return Change(part.start, part.end, None, "kept")
            raise
        change = Change(part.start, part.end, plaintext, "opened", session)
        return replace(change, also=_of_head(part, stream.media_type, opened))


class BegunEdit(NamedTuple):
    """An edit of a content that has only begun to arrive, in a part that declares a length."""

    edit: SealFrameEdit | OpenFrameEdit
    rest: Content
    length: int | None

    @property
    def context(self) -> Context:
        """What the content is bound to."""
        return self.edit.context

    @property
    def token(self) -> Token | OpenFailed | None:
        """The token at the beginning of a sealed stream."""
        return self.edit.token

    def carry_out(self, keys: KeysInUse, block: Block, now: float) -> Change:
        """Return the output for the beginning; raise as the edit does."""
        return self.edit.begin(keys, block, now, self.rest, self.length)


def _open(
    head: StreamHead, context: Context, content: bytes, keys: KeysInUse, now: float
) -> tuple[Session, bytes, str]:
    """Return the session that opened a sealed stream, the plaintext, and its media type."""
    session, sealed = keys.open(head.token, context, now)
    stream = sealed_stream.read_stream(sealed)
    opener = sealed_stream.opener(head, stream, context)
    return session, opener.update(content[len(head.raw) :]) + opener.finish(), stream.media_type


def _with_head(change: Change, part: Part, media: str | None) -> Change:
    """Return a change of a content with those of its type and length."""
    if change.text is None:
        return change
    return replace(change, also=_of_head(part, media, len(change.text)))


def _of_head(part: Part, media: str | None, length: int | None) -> tuple[Change, ...]:
    """Return the changes in the head of a part whose content has another type and length now."""
    also = [] if media is None else [_retyped(part, media.encode("ascii"))]
    if part.length is not None:
        also.append(Change(part.length.value, part.length.end, b"%d" % (length or 0), "sealed"))
    return tuple(also)


def _retyped(part: Part, media: bytes) -> Change:
    line = part.kind
    if line is None:
        text = b"\r\nContent-Type: " + media if media else b""
        return Change(part.head_end, part.head_end, text, "sealed")
    if not media:
        return _without(line)[0]
    return Change(line.value, line.end, media, "sealed")


def _without(line: PartLine | None) -> tuple[Change, ...]:
    if line is None:
        return ()
    return (Change(line.start, line.end + len(_CRLF), b"", "opened"),)

"""A body sealed as a stream, or opened from one: what that needs, and the flow that does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from ..crypto import sealed_stream
from ..crypto.context import Context, Scope
from ..crypto.sealed_stream import Opener, Sealer, StreamHead
from ..crypto.session_cipher import Session
from ..crypto.token import Token
from ..errors import CallerMayNotOpen, ForbiddenValue, KeyUnavailable, OpenFailed
from ..http.digests import Digests
from ..rules.model import Block, Item
from .hows import Open
from .outcomes import Outcome, expiry
from .spelling import in_place

REVOKED: Final = "revoked-meanwhile"
"""The reason of refusals where what has sealed a message was revoked since."""


class Flow(Protocol):
    """Changes one body: bytes in, bytes out, and no wait for anything but the body's own bytes.

    What came out before `end` has returned is no whole body, and after an error nothing more comes:
    whoever sends it on must let its receiver see that it was cut.
    """

    @property
    def holds_head(self) -> bool:
        """Whether the head of the message waits for the first bytes that come out.

        A body that fails before them is answered with a problem, and none of it has been sent.
        """

    def length(self, length: int | None) -> int | None:
        """Return the length of the output for an input of `length` bytes; None if it is not known.

        Raises MessageError where a body of that length cannot be right.
        """

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body and return what may go on now, maybe nothing.

        Raises MessageError, and KeyUnavailable where what seals it was revoked since it began.
        """

    def end(self) -> bytes:
        """Learn that the body ends here, and return the rest of what may go on.

        Raises MessageError where it cannot be all of the body, KeyUnavailable as `feed` does.
        """


class CheckedFlow:
    """A flow whose input must fit its digests: else it never ends."""

    __slots__ = ("_digests", "_flow")

    def __init__(self, flow: Flow, digests: Digests) -> None:
        """Begin; the digests are of what goes in."""
        self._flow = flow
        self._digests = digests

    @property
    def holds_head(self) -> bool:
        """Whether the head waits, as for the flow itself."""
        return self._flow.holds_head

    def length(self, length: int | None) -> int | None:
        """Return how many bytes will come out."""
        return self._flow.length(length)

    def feed(self, data: bytes) -> bytes:
        """Take a piece of the body."""
        self._digests.update(data)
        return self._flow.feed(data)

    def end(self) -> bytes:
        """Return the rest; raise DigestMismatch before any of it where the body is another one."""
        self._digests.check()
        return self._flow.end()


class OpenedStream(NamedTuple):
    """A body about to change: the flow that does it, its new type, and the word to count it under.

    Where `flow` is None the body stays as it is, and `media_type` is None.
    """

    flow: Flow | None
    media_type: str | None
    outcome: Outcome
    session: Session | None = None


class StreamOpener(Protocol):
    """Opens tokens and knows who seals: `carry_out.Opener`."""

    def seal_for(self, scope: Scope) -> Session:
        """Return who seals for a scope."""

    def stands(self, session: Session) -> bool:
        """Whether who seals may seal on."""

    def open(self, token: Token, context: Context, now: float) -> tuple[Session, bytes]:
        """Return who opened a token, and the plaintext; raise OpenFailed."""


class OpenFrame:
    """A sealed stream to be opened. `head` is its beginning, or the error in reading that."""

    __slots__ = ("context", "head", "item")
    seals = False

    def __init__(self, head: StreamHead | OpenFailed, context: Context, item: Item | None) -> None:
        """Take what the stream begins with, and the item that says what its caller gets."""
        self.head = head
        self.context = context
        self.item = item

    @property
    def token(self) -> Token | OpenFailed:
        """J, decoded."""
        return self.head if isinstance(self.head, OpenFailed) else self.head.token

    def begin(self, keys: StreamOpener, block: Block, now: float, _: bytes) -> OpenedStream:
        """Return the flow that opens, or none if the block lets the stream stay; else raise.

        Raises CallerMayNotOpen where the caller would get a mask: a stream is no text.
        """
        shown = None if self.item is None else self.item.shown
        broken = isinstance(self.head, OpenFailed)
        # What is no stream is the value itself, perhaps: nobody gets it who gets no values.
        if shown == "absent" or (shown == "token" and broken and block.keep_unopened):
            return OpenedStream(NoFlow(), "", "absent")
        if shown not in {None, "value", "token"}:
            raise CallerMayNotOpen("no-text")
        try:
            if isinstance(self.head, OpenFailed):
                raise self.head
            if shown == "token":
                return OpenedStream(None, None, "token")
            session, plaintext = keys.open(self.head.token, self.context, now)
            stream = sealed_stream.read_stream(plaintext)
        except OpenFailed:
            if block.keep_unopened:
                return OpenedStream(None, None, "kept")
            raise
        opener = sealed_stream.opener(self.head, stream, self.context)
        return OpenedStream(OpenFlow(self.head.raw, opener), stream.media_type, "opened", session)


class SealedBody(NamedTuple):
    """A body that looks to be one token already; `stream` is None where it is no stream."""

    token: Token
    context: Context
    stream: OpenFrame | None


class SealFrame:
    """A body to be sealed as a stream; `media_type` is its own, empty where it has none.

    `already` is what the body looks to be, if that is a token or a sealed stream.
    """

    __slots__ = ("already", "context", "item", "media_type")
    seals = True

    def __init__(
        self, item: Item, context: Context, media_type: str, already: SealedBody | None = None
    ) -> None:
        """Take what is known of the body."""
        self.item = item
        self.context = context
        self.media_type = media_type
        self.already = already

    @property
    def token(self) -> Token | None:
        """The token that may have to be opened."""
        return self.already.token if self.already is not None else None

    def begin(self, keys: StreamOpener, block: Block, now: float, body: bytes) -> OpenedStream:
        """Return the flow that seals; `body` is as much as is there.

        All of it is there unless the block seals whatever comes. Raises ForbiddenValue for what is
        sealed already, where the block refuses that.
        """
        if self.already is not None and block.already_sealed != "seal":
            if block.already_sealed == "reject":
                raise ForbiddenValue(
                    "already-sealed", detail=f"{self.item.field}: the body is already sealed."
                )
            opener = _opener(self.already, keys, now, body)
            if opener is not None:
                return OpenedStream(None, None, "already_sealed", opener)
        end = self.item.expires and expiry(now, self.item.expires)
        session = keys.seal_for(self.context.scope)
        head, sealer = sealed_stream.begin(session, self.context, self.media_type, end)
        flow = SealFlow(head, sealer, partial(keys.stands, session))
        return OpenedStream(flow, sealed_stream.MEDIA_TYPE, "sealed")


Framing = SealFrame | OpenFrame
"""What is done to a body that becomes a sealed stream, or is one."""


def _opener(already: SealedBody, keys: StreamOpener, now: float, body: bytes) -> Session | None:
    """Return the session that opens all of a sealed body, or None."""
    try:
        if already.stream is None:
            session, plaintext = keys.open(already.token, already.context, now)
            token = already.token
            in_place(Open(Block(), "body", None), token.as_text(plaintext), token.cty)
            return session
        opened = already.stream.begin(keys, Block(), now, body)
        assert opened.flow is not None  # noqa: S101 - a plain block lets no stream stay
        opened.flow.feed(body)
        opened.flow.end()
    except OpenFailed:
        return None
    return opened.session


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


class SealFlow:
    """A body that becomes a sealed stream, as long as its session `stands`.

    A session that is revoked while the body comes seals no more of it: nobody could open it.
    """

    __slots__ = ("_head", "_sealer", "_stands", "_unsent")

    def __init__(self, head: bytes, sealer: Sealer, stands: Callable[[], bool]) -> None:
        """Begin with the head of the stream."""
        self._head = self._unsent = head
        self._sealer = sealer
        self._stands = stands

    @property
    def holds_head(self) -> bool:
        """Nothing can fail in the beginning."""
        return False

    def length(self, length: int | None) -> int | None:
        """Return the length of the sealed stream in bytes."""
        return None if length is None else sealed_stream.sealed_length(self._head, length)

    def feed(self, data: bytes) -> bytes:
        """Return the chunks that are full now, after the head; raise KeyUnavailable."""
        self._require_standing()
        unsent, self._unsent = self._unsent, b""
        return unsent + self._sealer.update(data)

    def end(self) -> bytes:
        """Return the last chunk; raise KeyUnavailable."""
        self._require_standing()
        unsent, self._unsent = self._unsent, b""
        return unsent + self._sealer.finish()

    def _require_standing(self) -> None:
        if not self._stands():
            raise KeyUnavailable(REVOKED)


class NoFlow:
    """A body of which nothing goes on."""

    __slots__ = ()

    @property
    def holds_head(self) -> bool:
        """Nothing can fail in the beginning."""
        return False

    def length(self, _: int | None) -> int | None:
        """Return the length of nothing."""
        return 0

    def feed(self, _: bytes) -> bytes:
        """Return nothing."""
        return b""

    def end(self) -> bytes:
        """Return nothing."""
        return b""


class OpenFlow:
    """A sealed stream that becomes its plaintext, each chunk once its tag has been verified."""

    __slots__ = ("_head", "_opener", "_skip")

    def __init__(self, head: bytes, opener: Opener) -> None:
        """Begin; the head of the stream, which has been read, is fed once more."""
        self._head = head
        self._skip = len(head)
        self._opener = opener

    @property
    def holds_head(self) -> bool:
        """Nothing is sent of what does not open from its beginning."""
        return True

    def length(self, length: int | None) -> int | None:
        """Return the length of the body; raise OpenFailed if no sealed stream has this length."""
        return None if length is None else sealed_stream.opened_length(self._head, length)

    def feed(self, data: bytes) -> bytes:
        """Return the plaintext of the chunks that are full now; raise OpenFailed."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        return self._opener.update(data)

    def end(self) -> bytes:
        """Return the plaintext of the last chunk; raise OpenFailed where it is not the last."""
        return self._opener.finish()

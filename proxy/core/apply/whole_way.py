"""The way of bodies that are sealed or opened whole: one token, made or opened without a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..compiled.block import CompiledBlock
from ..compiled.message_match import JOSE, SEALED_TYPES
from ..compiled.plain_json import Bound
from ..crypto.context import KIND_BODY
from ..crypto.sealed_stream import MEDIA_TYPE
from ..crypto.token import decode_header
from ..edits.edits import Outcome, expiry
from ..edits.fit_values import require_text
from ..errors import SealyardError
from ..expressions.selectors import Whole
from ..expressions.sources import NameSource
from ..formats.markup import MARKUP, surroundings_of
from ..http.content_coding import coding_of
from ..http.digests import promised
from ..http.message import Headers, RequestHead, ResponseHead, media_type
from ..leaves import token_parts
from ..planning.binding import Binder
from ..planning.exchange import Exchange, Kept
from ..planning.find_whole import BODY_TOKEN_MAX, sealable_type
from ..rules.model import NAMED_PARTS
from .added_headers import added_to_request, added_to_response
from .forwardable import Changed, Frame, mint_changed
from .json_way import WarmKeys

_SEALED: Final[Mapping[Outcome, int]] = {"sealed": 1}
_OPENED: Final[Mapping[Outcome, int]] = {"opened": 1}
_TYPES: Final = 16
"""So many types of what was opened are known: whoever seals chooses them."""


class WholeWay:
    """The way of bodies under one head that become a token, or that a token becomes."""

    __slots__ = ("_bound", "_counts", "_cty", "_frames", "_head", "_keys", "_ruled", "_varies")

    def __init__(
        self,
        exchange: Exchange,
        compiled: CompiledBlock,
        head: RequestHead | ResponseHead,
        keys: WarmKeys,
    ) -> None:
        """Read the names that bind the body, for a block that `is_whole`.

        Raises MessageError where one is missing, or where the type of the body cannot be sealed.
        """
        item = compiled.alone
        assert item is not None  # noqa: S101 - whoever makes a way has looked
        context = Binder(compiled, exchange, b"", None).whole_context(item, kind=KIND_BODY)
        bound = ((0, item, context),)
        seals = item is compiled.whole_encrypt
        self._bound: Final = Bound(bound, ()) if seals else Bound((), bound)
        self._cty: Final = sealable_type(media_type(head.facts)) if seals else None
        self._counts: Final = _SEALED if seals else _OPENED
        self._frames: Final[dict[str, Frame]] = {}
        self._head: Final = head
        self._keys: Final = keys
        self._ruled: Final = exchange.decision.may_read_response
        self._varies: Final = exchange.decision.varies

    def change(self, body: bytes, now: float, kept: Kept = ()) -> Changed | None:
        """Return the message with this body changed, or None where the general way must tell.

        `now` is in seconds since 1970. No name is read from such a body, or kept from it.
        """
        try:
            done = self._sealed(body, now) if self._bound.seals else self._opened(body, now)
        except SealyardError:
            return None
        frame = None if done is None else self._frame(done[1])
        if done is None or frame is None:
            return None
        return mint_changed(frame, done[0], self._counts)

    def _sealed(self, body: bytes, now: float) -> tuple[bytes, str] | None:
        """Return the token of a body, and its media type; None where it is not sealed here."""
        if not 0 < len(body) <= BODY_TOKEN_MAX:
            return None
        ((_, item, context),) = self._bound.seals
        keys = self._keys.resolve_warm(self._bound.to_seal_one)
        if keys is None:
            return None
        (session,) = keys.sealing.values()
        require_text(item, body, self._cty)
        exp = item.expires and expiry(now, item.expires)
        token = session.seal(
            body, context, cty=self._cty, form=item.form, exp=exp, max_chars=item.max_chars
        )
        return token, JOSE

    def _opened(self, body: bytes, now: float) -> tuple[bytes, str] | None:
        """Return what a token holds, and its media type; None where it does not open here."""
        ((_, _, context),) = self._bound.opens
        parts = token_parts(body)
        if parts is None:
            return None
        header = decode_header(parts[0])
        keys = self._keys.resolve_warm(self._bound.needs(0, header.key_id))
        if keys is None:
            return None
        wanted = context.scope, header.key_id
        session = keys.opening.get(wanted) or keys.decoys.get(wanted)
        if session is None:
            return None
        texts = session.open_each((parts,), context, now, keys.refusals.get(wanted))
        media = header.cty or ""
        if texts is None or (media and "/" not in media):
            return None
        self._keys.remember({session: 1})
        return texts[0], media

    def _frame(self, media: str) -> Frame | None:
        """Return what is the same for all messages that become of this type; None for too many."""
        frame = self._frames.get(media)
        if frame is None and len(self._frames) < _TYPES:
            frame = self._frames[media] = Frame(
                self._head,
                changed=True,
                ruled=self._ruled,
                private=self._counts is _OPENED,
                media_type=media,
                added_headers=self._added(),
            )
        return frame

    def _added(self) -> Headers:
        head, counts = self._head, self._counts
        if isinstance(head, RequestHead):
            return added_to_request(head, counts)
        return added_to_response(head, counts, self._varies, opaque=counts is _SEALED)


def is_whole(
    compiled: CompiledBlock, head: RequestHead | ResponseHead, *, overridable: bool
) -> bool:
    """Return whether a block does nothing to a message but seal or open its body as a token.

    What is sealed or opened as a stream, or may be sealed already, is none of it. `overridable`
    says that a field of an opened form may name another method. Raises UnsupportedBody for a type
    or a coding that is malformed.
    """
    facts, media = head.facts, media_type(head.facts)
    if not _takes_whole(compiled) or coding_of(facts) is not None or promised(facts):
        return False
    essence = media.essence if media is not None else ""
    if compiled.whole_encrypt is not None:
        return essence not in SEALED_TYPES
    if essence == MEDIA_TYPE or (isinstance(head, RequestHead) and overridable):
        return False
    is_page = facts.as_page or surroundings_of(media) in MARKUP
    return not is_page or compiled.escape == "none"


def _takes_whole(compiled: CompiledBlock) -> bool:
    """Return whether a block takes whole bodies alone, bound by names that lie outside of them."""
    item, block = compiled.alone, compiled.block
    if item is None or item.selector is not Whole.BODY or item.parties or block.absent:
        return False
    named = (compiled.sources.get(part) for part in NAMED_PARTS if part in item.bind)
    if not all(isinstance(one, NameSource) for one in named):
        return False
    return not (compiled.traits.changes_head or compiled.keeps or compiled.deltas)

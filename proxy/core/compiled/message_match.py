"""Which messages a block is for, by their heads, and what it reads their bodies as."""

from __future__ import annotations

from typing import Final

from ..crypto import sealed_stream
from ..errors import InvalidExpression, UnsupportedBody
from ..expressions.selectors import Selector, Whole
from ..expressions.sources import json_sources
from ..formats.body_format import BodyFormat, Kind, Packets
from ..formats.json.body import JSON
from ..formats.table import FORMATS, RECORDS, kind_of
from ..http.message import Direction, MediaType
from ..rules.model import NAMED_PARTS, Block, Item, kinds_read, kinds_read_as, reads_by_type

JOSE: Final = "application/jose"
SEALED_TYPES: Final = frozenset({JOSE, sealed_stream.MEDIA_TYPE})
"""What a body is once it has been sealed as one value."""
MULTI_STATUS: Final = 207
_ANY_STATUS: Final = ((100, 599),)
_SUCCESS: Final = ((200, 299),)
_ANSWERS: Final = (*_SUCCESS, (304, 304))
"""Where sealed values come back; the head of a 304 is that of the answer it stands for."""


class MessageMatch:
    """What a block requires of a message's type and status.

    `reads` are the kinds of bodies that its selectors read, `standard` is the format of a body
    whose type is none of them. `whole_encrypt` and `whole_decrypt` are the items that take the
    whole body, `wholes` their selectors.
    """

    __slots__ = (
        "_statuses",
        "block",
        "direction",
        "reads",
        "standard",
        "whole_decrypt",
        "whole_encrypt",
        "wholes",
    )

    def __init__(self, block: Block, direction: Direction) -> None:
        """Read the block; raise InvalidExpression where no body has all that it selects."""
        self.block = block
        self.direction = direction
        self.whole_encrypt = _whole(block.encrypt)
        self.whole_decrypt = _whole(block.decrypt)
        items = (self.whole_encrypt, self.whole_decrypt)
        self.wholes = [one.selector for one in items if one is not None]
        if block.format is not None and FORMATS[block.format].requests_only:
            _refuse_response(direction)
        self.reads = _reads(block, direction)
        # Names in a body say what it is where its type does not; else it is JSON.
        named = (one for kind, one in FORMATS.items() if kind in self.reads and not one.in_parts)
        self.standard = next(named, JSON)
        only_opens = bool(block.decrypt) and not block.encrypt
        polls = self.packets is not None  # what refuses a poll is no packet
        usual = _SUCCESS if polls else _ANSWERS if only_opens else _ANY_STATUS
        self._statuses = block.statuses or usual

    @property
    def guards_request(self) -> bool:
        """Whether something of a request is sealed, or must be listed."""
        sealing = bool(self.block.encrypt or self.block.search) or self.block.others != "pass"
        return self.direction == "request" and sealing

    def fits(self, media_type: MediaType | None, status: int | None) -> bool:
        """Return whether the block is for messages of this type and, for responses, status."""
        if status is not None and not self.fits_status(status):
            return False
        if self.block.types:
            return media_type is not None and _covered(self.block.types, media_type.essence)
        return self.block.format is not None or self._reads_type(media_type)

    def _reads_type(self, media_type: MediaType | None) -> bool:
        if self.reads:
            return kind_of(media_type) in self.reads
        if self.whole_decrypt is not None and self.whole_decrypt.selector is Whole.BODY:
            return media_type is not None and media_type.essence in SEALED_TYPES
        return True

    def fits_message(self, *, binary: bool) -> bool:
        """Return whether a message of a WebSocket is for this block."""
        essence = "application/octet-stream" if binary else "text/plain"
        return not self.block.types or _covered(self.block.types, essence)

    def kind(self, media_type: MediaType | None) -> Kind:
        """Return which kind of body one with this type is to this block."""
        if self.block.format is not None:
            return self.block.format
        kind = kind_of(media_type)
        return kind if kind is not None and kind in self.reads else self.standard.kind

    def body_format(self, media_type: MediaType | None) -> BodyFormat:
        """Return the format of bodies with this type to this block."""
        return FORMATS[self.kind(media_type)]

    @property
    def packets(self) -> Packets | None:
        """Return the protocol whose packets the rule says that bodies and messages are."""
        named = None if self.block.format is None else RECORDS.get(self.block.format)
        return None if named is None else named.packets

    def records(self, media_type: MediaType | None) -> Kind | None:
        """Return which records this block reads in a body with this type; None for none."""
        kind = self.block.format or kind_of(media_type)
        if kind is None or kind not in RECORDS or Whole.BODY in self.wholes:
            return None
        if Whole.TEXT in self.wholes and "text" in RECORDS[kind].places:
            return kind if reads_by_type(kind, self.block, self.direction) else None
        return kind if kind in self.reads else None

    def reads_as_json(self, media_type: MediaType | None) -> bool:
        """Return whether a body with this type is one text of JSON, of which values are taken."""
        if self.block.format is None and media_type is not None and not media_type.is_json:
            return False
        taken = all(one is Whole.TOKENS for one in self.wholes)
        return taken and "$" in self.body_format(media_type).places

    def require_charset(self, media_type: MediaType | None, body: bytes) -> None:
        """Raise UnsupportedBody unless a body with this type is UTF-8, or ASCII where that does."""
        if media_type is None or media_type.is_utf8:
            return
        accepted = "ascii-charset" in self.block.accept
        if not (accepted and media_type.is_ascii(body)):
            raise UnsupportedBody(
                "charset", detail="Send UTF-8. `accept: ascii-charset` takes a body that is ASCII."
            )

    def passes_plain(self, status: int) -> bool:
        """Return whether what is no token passes where the block opens values by their names.

        It does in a 207, whose parts have statuses of their own, and where a block takes a status
        only because it seals something there.
        """
        if status == MULTI_STATUS:
            return True
        return not self.block.statuses and not 200 <= status <= 299  # noqa: PLR2004 - a success

    def fits_status(self, status: int) -> bool:
        """Return whether responses with this status are for this block."""
        for low, high in self._statuses:  # noqa: SIM110 - twice as fast as any(), for every answer
            if low <= status <= high:
                return True
        return False


def _reads(block: Block, direction: Direction) -> frozenset[Kind]:
    """Return the kinds of bodies that a block's selectors read; raise where there can be none."""
    selectors: tuple[Selector, ...] = (
        *(item.selector for item in block.items),
        *block.plain,
        *(one.selector for part in NAMED_PARTS for one in json_sources(block.names.get(part))),
    )
    named = bool(block.when or block.rendered)
    if block.format is not None:
        return kinds_read_as(block.format, selectors, names_in_json=named)
    kinds = kinds_read(selectors, names_in_json=named)
    return frozenset(kind for kind in kinds if reads_by_type(kind, block, direction))


def _refuse_response(direction: Direction) -> None:
    if direction == "response":
        raise InvalidExpression(
            "this `format` is for requests; what they get is JSON, or a stream of events"
        )


def _whole(items: tuple[Item, ...]) -> Item | None:
    return next((one for one in items if isinstance(one.selector, Whole)), None)


def _covered(wanted: tuple[str, ...], essence: str) -> bool:
    """Return whether a rule's types (`text/*`, `*/*`, `application/json`) cover a message's."""
    kind = essence.partition("/")[0]
    return any(one in {essence, "*/*", f"{kind}/*"} for one in wanted)

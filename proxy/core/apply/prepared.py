"""What the head of a message decides, once for all messages with that head.

Of the messages that are most of the traffic (JSON with values at plain paths, and bodies that are
sealed or opened as one token) the body decides the rest in one step: it is found, bound, sealed or
opened, and spliced, if the keys are at hand. The values are treated as everywhere. Nothing is
refused here: what is not certain, or goes wrong, is planned, and the plan tells why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from ..compiled.block import CompiledBlock
from ..compiled.flat_json import Bound, FlatJson, Kept, Places
from ..compiled.message_match import JOSE, SEALED_TYPES
from ..crypto.context import KIND_BODY
from ..crypto.sealed_stream import MEDIA_TYPE
from ..errors import MessageError, SealyardError
from ..expressions.selectors import Whole
from ..expressions.sources import NameSource
from ..formats.body_format import Kind, RecordFormat
from ..formats.json.body import JSON
from ..formats.markup import MARKUP, surroundings_of
from ..formats.table import RECORDS
from ..http.content_coding import coding_of
from ..http.digests import promised
from ..http.message import Head, Headers, RequestHead, ResponseHead, SocketHead, media_type
from ..leaves import FORM
from ..planning.binding import Binder
from ..planning.block_choice import fits, fitting
from ..planning.exchange import Exchange, Messages
from ..planning.find import refuse_in_head
from ..planning.find_whole import BODY_TOKEN_MAX, sealable_type
from ..planning.flat_values import given_names
from ..planning.treatment import Pass, ReadResponse, ResponseTreatment
from ..rules.model import NAMED_PARTS
from ..values.carry_out import CarriedOut
from ..values.outcomes import Outcome
from ..values.table import Seal, Values
from . import usual
from .added_headers import added_to_request, added_to_response
from .forwardable import Changed, Frame, mint_changed
from .passing import pass_request, pass_response
from .usual import WarmKeys

MOST_VALUES: Final = 532 if FORM == "native" else 199
"""So many values are sealed or opened at once: a millisecond or two, as long as a slice."""
MOST_RECORDS: Final = 256 if FORM == "native" else 64
"""So many records are changed at once: about two milliseconds, if each has one value."""
_FRAMES: Final = 16
"""So many frames are known: whoever seals a body chooses its type."""
_BLANK: Final = b" \t\r\n"
_ONE_SEALED: Final[Mapping[Outcome, int]] = {"sealed": 1}
_ONE_OPENED: Final[Mapping[Outcome, int]] = {"opened": 1}
_SEALED: Final = "sealed"
_OPENED: Final = "opened"


class Prepared(ABC):
    """What is done to the bodies of messages with one head."""

    __slots__ = ("_frames", "_head", "_opaque", "_ruled", "_varies")

    def __init__(self, exchange: Exchange, head: Head, *, opaque: bool = False) -> None:
        """Take what the head says; `opaque` says that bodies are sealed as a whole."""
        self._head = head
        self._ruled = exchange.decision.may_read_response
        self._varies = exchange.decision.varies
        self._opaque = opaque
        self._frames: dict[tuple[bool, bool, str | None], Frame] = {}

    @abstractmethod
    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        """Return the message with this body changed, or None where it is to be planned.

        `kept` are the names of the request's body, `now` is in seconds since 1970. `any_number`:
        it is worked at in slices, so there may be more values than one slice has time for.
        """

    def frame(self, counts: Mapping[Outcome, int], media: str | None) -> Frame:
        """Return what is the same for all messages with these outcomes, and this new type."""
        key = _SEALED in counts, _OPENED in counts, media
        frame = self._frames.get(key)
        if frame is None:
            frame = Frame(
                self._head,
                changed=bool(counts),
                ruled=self._ruled,
                private=_OPENED in counts,
                media_type=media,
                added_headers=self._added(counts),
            )
            if len(self._frames) < _FRAMES:
                self._frames[key] = frame
        return frame

    def _added(self, counts: Mapping[Outcome, int]) -> Headers:
        if isinstance(self._head, RequestHead):
            return added_to_request(self._head, counts)
        if isinstance(self._head, ResponseHead):
            opaque = self._opaque and _SEALED in counts
            return added_to_response(self._head, counts, self._varies, opaque=opaque)
        return ()


def carried_out(values: Values, keys: WarmKeys, now: float) -> CarriedOut | None:
    """Return what values come to whose keys are at hand; None where not all go as they usually do.

    Raises SealyardError where keys cannot be had.
    """
    found = keys.resolve_warm(values.needs())
    if found is None:
        return None
    done = CarriedOut(values, found, now)
    usually = done.counts.keys() <= {_SEALED, _OPENED}
    return done if usually and done.failed is None and not done.unopened else None


class PreparedJson(Prepared):
    """JSON in which values lie at plain paths."""

    __slots__ = ("_exchange", "_flat", "_given", "_once", "_sources", "_usual")

    def __init__(
        self, exchange: Exchange, compiled: CompiledBlock, flat: FlatJson, head: Head
    ) -> None:
        """Read the names that lie outside of bodies.

        Raises MessageError as the exchange does, KeyError where a name is missing.
        """
        super().__init__(exchange, head)
        self._flat = flat
        given = given_names(exchange, flat)
        if given is None:
            raise KeyError
        self._given: Final = given
        block = compiled.block
        one_way = bool(block.encrypt) != bool(block.decrypt)
        self._usual = one_way and usual.is_usual(block.encrypt)
        sources = compiled.sources_elsewhere
        compares = sources is not None and sources.reads_members and isinstance(head, RequestHead)
        self._sources = sources
        self._exchange = exchange if compares else None
        self._once: Frame | None = None

    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        """Return the message changed, as `Prepared` has it."""
        flat = self._flat
        try:
            found = flat.finder.find(body)
            if found is None or found[0] & flat.required:
                return None
            places = found[1]
            named = flat.bind(body, places, self._given, kept)
            if named is None:
                return None
            if self._exchange is not None:
                self._compare(self._exchange, body)
            bound, leaves = named
            if self._usual:
                new = usual.change(body, places, bound, flat, keys, now)
                if new is not None:
                    frame = self._once or self._usual_frame()
                    return mint_changed(frame, new, flat.counts, leaves)
            values = Values()
            if not self._fill(values, body, places, bound, 0):
                return None
            return self._carried_out(values, body, leaves, keys, now, any_number=any_number)
        except SealyardError:
            return None

    def _usual_frame(self) -> Frame:
        """Return the frame of messages whose values are usual ones."""
        self._once = frame = self.frame(self._flat.counts, None)
        return frame

    def _carried_out(  # noqa: PLR0913 - the values, the message and the keys
        self,
        values: Values,
        body: bytes,
        leaves: Kept,
        keys: WarmKeys,
        now: float,
        *,
        any_number: bool,
    ) -> Changed | None:
        """Return the message with these values changed, or None; raise SealyardError."""
        count = len(values.hows)
        if count > MOST_VALUES and not any_number:
            return None
        if not count:
            return mint_changed(self.frame({}, None), body, {}, leaves)
        done = carried_out(values, keys, now)
        if done is None:
            return None
        changed = done.spliced(body)
        if done.proven:
            keys.remember(done.proven)
        return mint_changed(self.frame(done.counts, None), changed, done.counts, leaves)

    def fill(self, values: Values, body: bytes, kept: Kept, offset: int) -> Kept | None:
        """Add the values of a body that begins at `offset`; return the names that it leaves.

        None where that is not certain. `kept` are the names of the request's body. Raises
        MessageError for another name.
        """
        places = self._flat.find(body)
        bound = None if places is None else self._flat.bind(body, places, self._given, kept)
        if places is None or bound is None:
            return None
        if self._exchange is not None:
            self._compare(self._exchange, body)
        return bound[1] if self._fill(values, body, places, bound[0], offset) else None

    def _fill(self, values: Values, body: bytes, places: Places, bound: Bound, offset: int) -> bool:
        """Add the values that were found; return False where a plan counts otherwise."""
        first = len(values.hows)
        self._flat.fill(values, body, places, bound, offset)
        # A message in which nothing is sealed is counted as such.
        return not self._flat.at_will or any(type(how) is Seal for how in values.hows[first:])

    def _compare(self, exchange: Exchange, body: bytes) -> None:
        """Refuse a parameter of the query that is another one in the body."""
        if self._sources is not None and isinstance(self._head, RequestHead):
            self._sources.compare_body(exchange, self._head, JSON, body)


class PreparedWhole(Prepared):
    """Bodies that become a token, or that a token becomes."""

    __slots__ = ("_bound", "_cty", "_seals")

    def __init__(
        self, exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
    ) -> None:
        """Read the names that bind the body, for a block that `_is_whole`.

        Raises MessageError where one is missing, or where the type of the body cannot be sealed.
        """
        item = compiled.alone
        assert item is not None  # noqa: S101 - whoever prepares has looked
        seals = self._seals = item is compiled.whole_encrypt
        super().__init__(exchange, head, opaque=seals)
        context = Binder(compiled, exchange, Values()).whole_context(item, kind=KIND_BODY)
        self._bound: Final = Bound((context,), int(seals))
        self._cty: Final = sealable_type(media_type(head.facts)) if seals else None

    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        """Return the message changed, as `Prepared` has it."""
        if not body or (self._seals and len(body) > BODY_TOKEN_MAX):
            return None
        try:
            if self._seals:
                made = usual.seal_body(body, self._bound, self._cty, keys), JOSE
            else:
                made = usual.open_body(body, self._bound, keys, now)
        except SealyardError:
            return None
        text, cty = made
        if text is None:
            return None
        counts = _ONE_SEALED if self._seals else _ONE_OPENED
        return mint_changed(self.frame(counts, cty), text, counts, ())


class PreparedRecords:
    """The records of a stream that have come together: all of them are changed, or none."""

    __slots__ = ("_frame", "_kept", "_one", "_sentinels", "_usual")

    def __init__(
        self,
        one: PreparedJson,
        frame: Frame,
        body_format: RecordFormat,
        sentinels: frozenset[bytes],
        kept: Kept,
    ) -> None:
        """Take what is done to one record; `kept` are the names of the request's body."""
        self._one = one
        self._frame = frame
        self._usual = body_format.usual
        self._sentinels = sentinels
        self._kept = kept

    def change(self, records: bytes, keys: WarmKeys, now: float) -> Changed | None:
        """Return whole records changed, or None where they are to be planned.

        `now` is in seconds since 1970.
        """
        try:
            values = self._filled(records)
            if values is None:
                return None
            if not len(values):
                return mint_changed(self._frame, records, {})
            done = carried_out(values, keys, now)
            if done is None or any(b"\n" in one or b"\r" in one for one in done.texts):
                return None  # JSON sealed as it was written; its record spells it otherwise
            changed = done.spliced(records)
        except SealyardError:
            return None
        if done.proven:
            keys.remember(done.proven)
        return mint_changed(self._frame, changed, done.counts)

    def _filled(self, records: bytes) -> Values | None:
        """Return the values of all records; None where one is none that is certain."""
        values, at, count = Values(), 0, 0
        while at < len(records):
            lying = self._usual(records, at)
            if lying is None or count >= MOST_RECORDS or len(values) > MOST_VALUES:
                return None
            start, end, at = lying
            count += 1
            text = records[start:end]
            if self._sentinels and text.strip(_BLANK) in self._sentinels:
                return None
            if self._one.fill(values, text, self._kept, start) is None:
                return None
        return values if count else None


class PreparedMessages:
    """The messages of a WebSocket that go in one direction."""

    __slots__ = ("_one", "_sentinels")

    def __init__(self, one: PreparedJson, sentinels: frozenset[bytes]) -> None:
        """Take what is done to their JSON, and the messages that pass unread."""
        self._one = one
        self._sentinels = sentinels

    def change(self, body: bytes, keys: WarmKeys, now: float) -> Changed | None:
        """Return a message changed, or None where it is to be planned.

        `now` is in seconds since 1970.
        """
        if self._sentinels and body.strip(_BLANK) in self._sentinels:
            return None
        return self._one.change(body, keys, now)


def prepare_request(exchange: Exchange) -> Prepared | Changed | None:
    """Return what is done to requests with the head of this one, or the message where it passes.

    None where they are to be planned. Their bodies must be within the limits of the listener and of
    the rule.
    """
    decision = exchange.decision
    if decision.observes is not None:
        return None
    try:
        if not decision.reads_request:
            return mint_changed(pass_request(exchange).frame, None, {})
        return _reading(exchange)
    except (SealyardError, KeyError):
        return None


def is_unclear(exchange: Exchange) -> bool:
    """Return whether something in the head of a request takes a plan to be looked at."""
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is None:
        return False
    try:
        exchange.refuse_unclear()
        for one in compiled_rule.request:
            refuse_in_head(exchange, one, exchange.head)
    except MessageError:
        return True
    return bool(exchange.elsewhere)


def prepare_response(
    exchange: Exchange, treatment: ResponseTreatment, head: ResponseHead
) -> Prepared | Changed | None:
    """Return what is done to responses with this head that are treated so, or one that passes.

    They answer requests with the head of this exchange. None where they are to be planned.
    """
    try:
        if isinstance(treatment, Pass):
            return mint_changed(pass_response(exchange, head, bodiless=False).frame, None, {})
        if isinstance(treatment, ReadResponse):
            return _changing(exchange, treatment.block, head)
    except (SealyardError, KeyError):
        pass
    return None


def prepare_messages(messages: Messages, *, binary: bool) -> PreparedMessages | None:
    """Return what is done to messages of a WebSocket; None where they are to be planned.

    Packets that announce others are followed one by one, by plans alone. No names are kept from one
    message for another.
    """
    exchange, blocks = messages.exchange, messages.compiled_blocks
    head = SocketHead(messages.direction, binary)
    compiled = next((one for one in blocks if fits(one, head)), None)
    if compiled is None or compiled.flat is None or not compiled.reads:
        return None
    if exchange.decision.observes is not None or any(one.packets for one in blocks):
        return None
    try:
        prepared = PreparedJson(exchange, compiled, compiled.flat, head)
    except (SealyardError, KeyError):
        return None
    unread = () if binary else (one.sentinels for one in blocks)
    return PreparedMessages(prepared, frozenset[bytes]().union(*unread))


def prepare_records(
    exchange: Exchange,
    compiled: CompiledBlock,
    head: RequestHead | ResponseHead,
    kind: Kind,
) -> PreparedRecords | None:
    """Return what is done to the records of a stream; None where they are to be planned.

    The names of the request's body must be known.
    """
    body_format = RECORDS[kind]
    if not body_format.finds_usual or not _reads_records(compiled, head) or exchange.elsewhere:
        return None
    assert compiled.flat is not None  # noqa: S101 - as was just looked at
    try:
        prepared = PreparedJson(exchange, compiled, compiled.flat, head)
    except (SealyardError, KeyError):
        return None
    frame = Frame(head, changed=True, ruled=exchange.decision.may_read_response)
    return PreparedRecords(prepared, frame, body_format, compiled.sentinels, exchange.kept)


def _reading(exchange: Exchange) -> Prepared | None:
    compiled_rule = exchange.decision.compiled_rule
    blocks = compiled_rule.request if compiled_rule is not None else ()
    head = exchange.head
    # The first one, if it reads plain JSON, takes JSON of any name.
    plain = bool(blocks) and _is_plain(blocks[0], head)
    compiled = blocks[0] if plain else fitting(blocks, media_type(head.facts), None)
    if compiled is None:
        return None
    # It is read whole: the block does nothing while a body streams. And no backend looks into
    # JSON for the field that overrides a method.
    exchange.refuse_unclear()
    refuse_in_head(exchange, compiled, head)
    if exchange.elsewhere:
        return None  # a name must be the same there
    return _changing(exchange, compiled, head)


def _changing(
    exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
) -> Prepared | None:
    """Return what is done to messages that a block takes, if it does nothing else to them."""
    if _is_plain(compiled, head) and compiled.flat is not None:
        return PreparedJson(exchange, compiled, compiled.flat, head)
    if _is_whole(compiled, head, overridable=exchange.decision.overridable):
        return PreparedWhole(exchange, compiled, head)
    return None


def _is_plain(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    return compiled.flat is not None and head.facts.plain_json


def _reads_records(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    """Return whether each record is plain JSON to a block, and nothing else is looked at."""
    media = media_type(head.facts)
    if compiled.flat is None or not compiled.reads or media is None or not media.is_utf8:
        return False
    if compiled.keeps or compiled.sources_elsewhere is not None:
        return False
    is_page = head.facts.as_page or surroundings_of(media) in MARKUP
    return not is_page or compiled.escape == "none"


def _is_whole(
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
        return essence not in SEALED_TYPES and usual.is_usual((compiled.whole_encrypt,))
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

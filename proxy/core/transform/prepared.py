"""What the head of a message decides, once for all messages with that head.

Of the messages that are most of the traffic (JSON with values at plain paths, and bodies that are
sealed or opened as one token) the body decides the rest in one step: it is found, bound, sealed or
opened, and spliced, if the keys are at hand. The values are treated as everywhere. Nothing is
refused here: what is not certain, or goes wrong, is planned, and the plan tells why.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from ..compiled.block import CompiledBlock
from ..compiled.flat_json import Bound, FlatJson, Kept, Named, Places
from ..compiled.message_match import JOSE
from ..crypto.context import KIND_BODY, Scope
from ..crypto.session_cipher import Session
from ..crypto.token import decode_header
from ..errors import SealyardError
from ..formats.body_format import RecordFormat
from ..formats.json.body import JSON
from ..formats.token_places import without_tags
from ..http.message import Head, Headers, RequestHead, ResponseHead, media_type
from ..leaves import FORM
from ..planning.binding import Binder
from ..planning.exchange import Exchange
from ..planning.find_whole import sealable_type
from ..planning.flat_values import given_names
from ..policy import BODY_TOKEN_BYTES
from ..values.carry_out import CarriedOut
from ..values.hows import How, Open, Seal
from ..values.key_needs import NO_KEYS, Keys, Needs
from ..values.outcomes import NOTHING_GOT, Got, Outcome, no_tally
from ..values.strings import Changed as ChangedBody
from ..values.strings import UsualTexts, texts_in, tokens_in
from ..values.table import Values, What, is_parts, lookup
from .added_headers import added_to_request, added_to_response
from .forwardable import Changed, Frame, mint_changed

_K = TypeVar("_K")

MOST_VALUES: Final = 532 if FORM == "native" else 199
"""So many values are sealed or opened at once: a millisecond or two, as long as a slice."""
MOST_RECORDS: Final = 256 if FORM == "native" else 64
"""So many records are changed at once: about two milliseconds, if each has one value."""
_BLANK: Final = b" \t\r\n"
_SEALED: Final = "sealed"
_OPENED: Final = "opened"


class WarmKeys(Protocol):
    """Where the sessions of messages come from, if they are at hand."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are cached, and count them as used."""

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which so many tags have verified."""


class Lacking(NamedTuple):
    """What a body lacks to be sealed: the keys; what is sealed, and the names that it leaves."""

    needs: Needs
    texts: UsualTexts
    leaves: Kept


class Prepared(ABC):
    """What is done to the bodies of messages with one head; it keeps nothing of a body."""

    __slots__ = ("_exchange", "_head", "_opaque")

    def __init__(self, exchange: Exchange, head: Head, *, opaque: bool = False) -> None:
        """Take what the head says; `opaque` says that bodies are sealed as a whole."""
        self._exchange = exchange
        self._head = head
        self._opaque = opaque

    @property
    def until(self) -> float:
        """When those of a stream end, in seconds since 1970."""
        until = self._exchange.until
        return math.inf if until is None else until

    @abstractmethod
    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | Lacking | None:
        """Return the message with this body changed, or None where it is to be planned.

        Lacking: all of it can be sealed once the keys are there.
        `kept` are the names of the request's body, `now` is in seconds since 1970. `any_number`:
        it is worked at in slices, so there may be more values than one slice has time for.
        """

    def sealed(self, body: bytes, lacking: Lacking, found: Keys) -> Changed:
        """Return the message with this body sealed under the keys that it lacked."""
        new, counts, _, keys, _ = lacking.texts.changed(body, found)
        return mint_changed(self.frame(counts, None), new, counts, lacking.leaves, keys)

    def frame(self, counts: Mapping[Outcome, int], media: str | None) -> Frame:
        """Return all of a message but its body, for these outcomes and this new type."""
        head, decision = self._head, self._exchange.decision
        added: Headers = ()
        if isinstance(head, RequestHead):
            added = added_to_request(head, counts)
        elif isinstance(head, ResponseHead):
            opaque = self._opaque and _SEALED in counts
            added = added_to_response(
                head, counts, decision.varies, opaque=opaque, for_caller=self._exchange.for_caller
            )
        return Frame(
            head,
            changed=bool(counts),
            ruled=decision.may_read_response,
            private=_OPENED in counts,
            for_caller=self._exchange.for_caller,
            media_type=media,
            added_headers=added,
        )


def carried_out(
    values: Values, needs: Needs | None, keys: WarmKeys, now: float, found: Keys | None = None
) -> CarriedOut | None:
    """Return what values come to whose keys are at hand; None where not all go as they usually do.

    `needs` are theirs, if they are known, and `found` the keys. Raises SealyardError where keys
    cannot be had.
    """
    found = found or keys.resolve_warm(values.needs() if needs is None else needs)
    if found is None:
        return None
    done = CarriedOut(values, found, now)
    return done if done.as_usual else None


class PreparedJson(Prepared):
    """JSON in which values lie at plain paths."""

    __slots__ = ("_compiled", "_flat", "_given")

    def __init__(
        self, exchange: Exchange, compiled: CompiledBlock, flat: FlatJson, head: Head
    ) -> None:
        """Read the names that lie outside of bodies.

        Raises MessageError as the exchange does, KeyError where a name is missing.
        """
        super().__init__(exchange, head)
        self._compiled: Final = compiled
        self._flat: Final = flat
        given = given_names(exchange, flat)
        if given is None:
            raise KeyError
        self._given: Final = given

    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | Lacking | None:
        """Return the message changed, as `Prepared` has it."""
        done = self.changed(body, keys, now, kept, any_number=any_number)
        if done is None or isinstance(done, Lacking):
            return done
        return self.minted(done, keys, self.frame(done[0][1], None))

    @staticmethod
    def minted(done: tuple[ChangedBody, Kept, Got], keys: WarmKeys, frame: Frame) -> Changed:
        """Return the message of what `changed` has returned, and remember what it has proven."""
        (new, counts, proven, found, tally), leaves, shown = done
        if proven:
            keys.remember(proven)
        return mint_changed(frame, new, counts, leaves, found, shown, proven, tally)

    def changed(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> tuple[ChangedBody, Kept, Got] | Lacking | None:
        """Return a body changed, the names that it leaves, and what its caller gets.

        As `change`, but it remembers nothing.
        """
        flat, compiled = self._flat, self._compiled
        if self.has_tags(body):
            return None
        try:
            places = flat.find(body)
            if places is None:
                return None
            named = flat.bind(body, places, self._given, kept)
            if named is None:
                return None
            sources, head = compiled.sources_elsewhere, self._head
            if sources is not None and sources.reads_members and isinstance(head, RequestHead):
                # A parameter of the query must not be another here.
                sources.compare_body(self._exchange, head, JSON, body)
            most = compiled.block.max_values
            if most > MOST_VALUES and not any_number:
                most = MOST_VALUES
            done = self._carried_out(body, places, named, keys, now, most)
        except SealyardError:
            return None
        if done is None or isinstance(done, Lacking):
            return done
        return done, named[1], flat.shown(places) if flat.shows else NOTHING_GOT

    def has_tags(self, body: bytes) -> bool:
        """Return whether tags have to be taken from a body, which goes to a client."""
        head = self._head
        cuts = isinstance(head, ResponseHead) or getattr(head, "direction", "") == "response"
        return cuts and without_tags(body, self._exchange.decision.tagged) is not body

    def _carried_out(  # noqa: PLR0913, PLR0917 - what `changed` has found
        self, body: bytes, places: Places, named: Named, keys: WarmKeys, now: float, most: int
    ) -> ChangedBody | Lacking | None:
        """Return what a body becomes, or what it lacks; None where it is planned."""
        flat, found, usual, (bound, leaves) = self._flat, None, None, named
        if bound.scope is not None and flat.usual:
            spots, contexts = flat.spots(places, bound)
            if 0 < len(contexts) <= min(most, MOST_VALUES):
                read = texts_in if flat.usual == "seals" else tokens_in
                usual = read(body, spots, contexts)
        if usual is not None:
            needs = bound.needs_of(usual, len(body))
            found = keys.resolve_warm(needs)
            if found is None:
                # How long it takes to refuse a token must not tell whether its key was there.
                return Lacking(needs, usual, leaves) if isinstance(usual, UsualTexts) else None
            changed = usual.changed(body, found)
            if changed is not False:
                return changed
        values = Values()
        known = flat.fill(values, body, places, bound)
        count = len(values)
        # A message in which nothing is sealed, where that is at will, is counted by its plan.
        at_will = flat.at_will and not any(type(how) is Seal for how in values.hows)
        if count > most or at_will or not count:
            return (body, {}, {}, NO_KEYS, no_tally) if not count and not at_will else None
        done = carried_out(values, known, keys, now, found)
        if done is None:
            return None
        return done.spliced(body), done.counts, done.proven, done.found, done.tally


class PreparedWhole(Prepared):
    """Bodies that become a token, or that a token becomes."""

    __slots__ = ("_bound", "_cty", "_how")

    def __init__(
        self, exchange: Exchange, compiled: CompiledBlock, head: RequestHead | ResponseHead
    ) -> None:
        """Read the names that bind the body, for a block that `_is_whole`.

        Raises MessageError where one is missing, or where the type of the body cannot be sealed.
        """
        item = compiled.alone
        assert item is not None  # noqa: S101 - whoever prepares has looked
        seals = item is compiled.whole_encrypt
        super().__init__(exchange, head, opaque=seals)
        self._how: How = Seal(item, compiled.block) if seals else Open(compiled.block, "body", item)
        context = Binder(compiled, exchange, Values()).whole_context(item, kind=KIND_BODY)
        self._bound: Final = Bound((context,), int(seals))
        self._cty: Final = sealable_type(media_type(head.facts)) if seals else None

    def change(
        self, body: bytes, keys: WarmKeys, now: float, kept: Kept = (), *, any_number: bool = False
    ) -> Changed | None:
        """Return the message changed, as `Prepared` has it."""
        seals = type(self._how) is Seal
        if not body or (seals and len(body) > BODY_TOKEN_BYTES):
            return None
        what: What = body if seals else lookup(body)
        ids, media = [], JOSE
        if is_parts(what):
            header = decode_header(what[0])
            ids, media = [header.key_id], header.cty or ""
        elif not seals:
            return None
        values = Values()
        values.add(self._how, self._bound.contexts[0], 0, len(body), what, self._cty)
        try:
            needs = None if seals else self._bound.needs(ids)  # it may count as several
            done = carried_out(values, needs, keys, now)
        except SealyardError:
            return None
        if done is None:
            return None
        if done.proven:
            keys.remember(done.proven)
        frame = self.frame(done.counts, media)
        opened = done.shown, done.proven, done.tally
        return mint_changed(frame, done.spliced(body), done.counts, (), done.found, *opened)


class PreparedRecords:
    """The records of a stream that have come together: all of them are changed, or none."""

    __slots__ = ("_frame", "_kept", "_one", "_sentinels", "_until", "_usual")

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
        self._until = one.until

    def change(self, records: bytes, keys: WarmKeys, now: float) -> Changed | None:
        """Return whole records changed, or None where they are to be planned.

        `now` is in seconds since 1970.
        """
        if now >= self._until or self._one.has_tags(records):  # they may stand beside data, too
            return None
        changed: list[bytes] = []
        shown: dict[tuple[str, Outcome], int] = {}
        counts: dict[Outcome, int] = {}
        proven: dict[Session, int] = {}
        sealing: dict[Scope, Session] = {}
        standing = NO_KEYS.standing
        at = count = written = 0
        fails = False
        while at < len(records):
            lying = self._usual(records, at)
            if lying is None or count >= MOST_RECORDS or sum(counts.values()) > MOST_VALUES:
                return None
            start, end, at = lying
            count += 1
            text = records[start:end]
            if self._sentinels and text.strip(_BLANK) in self._sentinels:
                return None
            done = self._one.changed(text, keys, now, self._kept)
            # JSON that was sealed as it was written may have line ends: its record spells it anew.
            size = len(text.splitlines())
            if done is None or isinstance(done, Lacking) or len(done[0][0].splitlines()) != size:
                fails = True  # the others are tried all the same, so that the time tells nothing
                continue
            new, outcomes, opened, found, _ = done[0]
            changed += (records[written:start], new)
            written = end
            _add(counts, outcomes)
            _add(shown, done[2])
            _add(proven, opened)
            for scope, session in found.sealing.items():
                # Another session has begun: who asks for one must be told of both.
                fails = fails or sealing.setdefault(scope, session).sid != session.sid
                standing = found.standing
        if fails or not count:
            return None
        if proven:
            keys.remember(proven)
        changed.append(records[written:])
        found = Keys(sealing, {}, standing=standing)
        return mint_changed(self._frame, b"".join(changed), counts, (), found, shown)


def _add(totals: dict[_K, int], counts: Mapping[_K, int]) -> None:
    for one, count in counts.items():
        totals[one] = totals.get(one, 0) + count


class PreparedMessages:
    """The messages of a WebSocket that go in one direction."""

    __slots__ = ("_frames", "_one", "_sentinels", "_until")

    def __init__(self, one: PreparedJson, sentinels: frozenset[bytes]) -> None:
        """Take what is done to their JSON, and the messages that pass unread."""
        self._frames: dict[tuple[Outcome, ...], Frame] = {}
        self._one = one
        self._sentinels = sentinels
        self._until = one.until

    def change(self, body: bytes, keys: WarmKeys, now: float) -> Changed | None:
        """Return a message changed, or None where it is to be planned.

        `now` is in seconds since 1970.
        """
        sentinel = self._sentinels and body.strip(_BLANK) in self._sentinels
        if sentinel or now >= self._until:
            return None
        done = self._one.changed(body, keys, now)
        if done is None or isinstance(done, Lacking):
            return None
        frame = self._frames.get(outcomes := (*done[0][1],))
        if frame is None:
            frame = self._frames[outcomes] = self._one.frame(done[0][1], None)
        return self._one.minted(done, keys, frame)

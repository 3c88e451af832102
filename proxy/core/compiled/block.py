"""A block made ready: its conditions decided, its selectors as one selection, its names placed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeGuard

from ..crypto import sealed_stream
from ..errors import InvalidExpression
from ..expressions.selectors import Any, JsonSelector, NamedSelector, Selector, Whole
from ..expressions.sources import (
    FirstSource,
    JsonSource,
    NameSource,
    Source,
    json_sources,
    name_sources,
)
from ..formats.body_format import BodyFormat, Kind, Packets, Selection
from ..formats.escaping import EXACT, IN_HTML, Escape, TextPlace
from ..formats.json import Selection as JsonSelection
from ..formats.json.body import JSON
from ..formats.multipart.selection import PartSelection
from ..formats.table import FORMATS, RECORDS, kind_of
from ..formats.urlencoded import FormSelection
from ..http.message import Direction, MediaType
from ..rules.conditions import Conditions
from ..rules.model import (
    NAMED_PARTS,
    Block,
    Item,
    NamedPart,
    Names,
    Placed,
    kinds_read,
    kinds_read_as,
    reads_by_type,
    value_place,
)
from .batches import around
from .fast_json import FastJson, is_simple
from .other_places import SourcesElsewhere, elsewhere

JOSE: Final = "application/jose"
SEALED_TYPES: Final = frozenset({JOSE, sealed_stream.MEDIA_TYPE})
"""What a body is once it has been sealed as one value."""
_ANY_STATUS: Final = ((100, 599),)
_SUCCESS: Final = ((200, 299),)


class CompiledBlock:
    """One block of one direction of one rule, compiled.

    `sources` gives for each part where it is read; `from_message` holds the parts whose JSON
    sources are read from the message at hand, the others were kept from the request. `keeps` are
    the JSON sources of the rule, to be kept from a request for its answer. `source_index` gives for
    each JSON source its index in the selection, and how many of its leading steps must be fixed for
    it to give one value at most. `reads` are the kinds of bodies that its selectors read;
    `selection` finds the values in one whose type says nothing, `parts` the parts of a multipart
    form, `query` the parameters of a query; `in_head` are the items of the head. `whole_encrypt`
    and `whole_decrypt` are the items that take the whole body; `takes_whole`: there is one,
    `takes_body`: it is `body`. `alone` is the one that seals or opens the body where nothing
    else is read from it, so that it may pass piece by piece. `flows_in_parts` says that it seals or
    opens parts of a form and reads nothing else from it, so that they may pass one by one.
    `variants_checked` are the selectors of which no member may stand in another spelling,
    `twins_checked` those of which none may stand twice or hidden.
    `heeds_head` says that it does something in the head, or forbids something there.
    `elsewhere` knows what of a request must stand in no other place, `sources_elsewhere` which of
    its names must be the same there. `only_opens_responses`: it seals nothing, forbids nothing, and
    is for no request. `when` are its conditions on the body, None without any. `escape` is how it
    writes what it opens into texts, `whole_place` how it writes what is all of a value, `rendered`
    the selection's indices of what is HTML. `ordinary` finds the values of JSON in fewer steps;
    where it is there, the block takes JSON of every name. `at_will`: all that it seals is optional.
    `around` is what is looked at beside the values.
    """

    __slots__ = (
        "_selections",
        "_standard",
        "_statuses",
        "_wholes",
        "absent",
        "alone",
        "around",
        "at_will",
        "block",
        "decrypt",
        "direction",
        "elsewhere",
        "encrypt",
        "escape",
        "flows_in_parts",
        "from_message",
        "heeds_head",
        "in_head",
        "keeps",
        "only_opens_responses",
        "ordinary",
        "parts",
        "query",
        "reads",
        "reads_json",
        "reads_parts",
        "rendered",
        "selection",
        "source_index",
        "sources",
        "sources_elsewhere",
        "takes_body",
        "takes_whole",
        "twins_checked",
        "variants_checked",
        "when",
        "whole_decrypt",
        "whole_encrypt",
        "whole_place",
    )

    def __init__(
        self,
        block: Block,
        names: Names,
        direction: Direction,
        *,
        keeps: tuple[JsonSource, ...] = (),
    ) -> None:
        """Compile `block` of a rule with `names`.

        Raises InvalidExpression for a short form of what has no place there: the type of a body, or
        the time at which a value ends.
        """
        _refuse_short_forms(block)
        self.block = block
        self.direction = direction
        self.sources: dict[NamedPart, Source] = {}
        self.from_message: set[NamedPart] = set()
        self._choose_sources(names)
        self.keeps = keeps
        self.source_index = self._number_sources(first=_count_placed(block))
        self.encrypt = self._place(block.encrypt, first=0)
        self.decrypt = self._place(block.decrypt, first=len(self.encrypt))
        absent = tuple(one for one in block.absent if _is_placed(one))
        self.only_opens_responses = direction == "response" and not (block.encrypt or block.absent)
        self.absent = tuple(enumerate(absent, start=len(self.encrypt) + len(self.decrypt)))
        self.escape, self.whole_place = _writing(block, direction)
        self.whole_encrypt = _whole(block.encrypt)
        self.whole_decrypt = _whole(block.decrypt)
        wholes = [one for one in (self.whole_encrypt, self.whole_decrypt) if one is not None]
        self.takes_whole = bool(wholes)
        self._wholes = {one.selector for one in wholes}
        self.takes_body = Whole.BODY in self._wholes
        self.reads = _reads(block, direction)
        self.reads_json = JSON.kind in self.reads
        ordered = [one for kind, one in FORMATS.items() if kind in self.reads]
        self.reads_parts = any(one.in_parts for one in ordered)
        # What a body is read as whose type says nothing: by names in it, else as JSON.
        self._standard = next((one for one in ordered if not one.in_parts), JSON)
        tokens = self.whole_decrypt is not None and self.whole_decrypt.selector is Whole.TOKENS
        polls = self.packets is not None  # what refuses a poll is no packet
        self._statuses = block.statuses or (_SUCCESS if tokens or polls else _ANY_STATUS)
        selectors = (
            *(one.item.selector for one in (*self.encrypt, *self.decrypt)),
            *absent,
            *(source.selector for source in self.source_index),
            *block.rendered,
        )
        self.rendered = range(len(selectors) - len(block.rendered), len(selectors))
        self.at_will = bool(block.encrypt) and all(one.optional for one in block.encrypt)
        self.around = around(block, self.encrypt, selectors, first=len(selectors))
        selectors += self.around.selectors
        self.parts = self._part_selection(selectors)
        self._selections = self._find_selections(selectors, ordered)
        self.selection = self._selections.get(self._standard.kind)
        self.twins_checked, self.variants_checked = self._checked()
        self.when = _conditions(block)
        self.in_head = tuple(self._in_head(first=len(selectors)))
        self.query = self._query_selection()
        self.elsewhere, self.sources_elsewhere = elsewhere(block, direction), self._other_sources()
        self.heeds_head = bool(self.in_head) or any(_is_of_head(one) for one in block.absent)
        reads_more = self.parts is not None or self.selection is not None or block.when
        alone = self.takes_body and len(wholes) == 1 and not reads_more
        self.alone = wholes[0] if alone else None
        acts = tokens or (self.parts is not None and bool(self.encrypt or self.decrypt))
        reads_whole = block.when or self.source_index or self._wholes - {Whole.TOKENS}
        self.flows_in_parts = acts and not reads_whole and self.reads_parts
        self.ordinary = self._ordinary()

    @property
    def guards_request(self) -> bool:
        """Whether something of a request is sealed, or must not be there."""
        return self.direction == "request" and bool(self.block.encrypt or self.block.absent)

    def fits(self, media_type: MediaType | None, status: int | None) -> bool:
        """Tell whether a message with this type (and, for responses, status) is for this block."""
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
        """Tell whether a message of a WebSocket is for this block."""
        essence = "application/octet-stream" if binary else "text/plain"
        return not self.block.types or _covered(self.block.types, essence)

    def kind(self, media_type: MediaType | None) -> Kind:
        """Return which kind of body one with this type is to this block."""
        if self.block.format is not None:
            return self.block.format
        kind = kind_of(media_type)
        return kind if kind is not None and kind in self.reads else self._standard.kind

    def body_format(self, media_type: MediaType | None) -> BodyFormat:
        """Return the format of bodies with this type to this block."""
        return FORMATS[self.kind(media_type)]

    def selection_in(self, kind: Kind) -> Selection | None:
        """Return what finds the selected values in a body of a kind, or in a record of one."""
        return self._selections.get(kind, self.selection)

    @property
    def packets(self) -> Packets | None:
        """Return the protocol whose packets the rule says that bodies and messages are."""
        named = None if self.block.format is None else RECORDS.get(self.block.format)
        return None if named is None else named.packets

    def records(self, media_type: MediaType | None) -> Kind | None:
        """Return which records this block reads in a body with this type; None for none."""
        kind = self.block.format or kind_of(media_type)
        if kind is None or kind not in RECORDS or self.takes_body:
            return None
        if Whole.TEXT in self._wholes and "text" in RECORDS[kind].places:
            return kind if reads_by_type(kind, self.block, self.direction) else None
        return kind if kind in self.reads else None

    def fits_status(self, status: int) -> bool:
        """Tell whether responses with this status are for this block."""
        for low, high in self._statuses:  # noqa: SIM110 - twice as fast as any(), for every answer
            if low <= status <= high:
                return True
        return False

    def _choose_sources(self, names: Names) -> None:
        for part in NAMED_PARTS:
            own, inherited = self.block.names.get(part), names.get(part)
            source = own or inherited
            if source is not None:
                self.sources[part] = source
                if own is not None or self.direction == "request":
                    self.from_message.add(part)

    def _number_sources(self, *, first: int) -> dict[JsonSource, tuple[int, int]]:
        parts = [part for part in NAMED_PARTS if part in self.from_message]
        wanted = [one for part in parts for one in json_sources(self.sources[part])]
        wanted += self.keeps
        return {
            source: (first + at, single_from(source))
            for at, source in enumerate(dict.fromkeys(wanted))
        }

    def _place(self, items: tuple[Item, ...], *, first: int) -> tuple[Placed, ...]:
        chosen = [(one, one.selector) for one in items if _is_placed(one.selector)]
        return tuple(
            Placed(first + at, item, self._shared(selector))
            for at, (item, selector) in enumerate(chosen)
        )

    def _shared(self, selector: Selector) -> dict[JsonSource, int]:
        if not isinstance(selector, JsonSelector):
            return {}
        steps = {one: _shared_steps(selector, one.selector) for one in self.source_index}
        return {source: count for source, count in steps.items() if count}

    def _find_selections(
        self, selectors: tuple[Selector, ...], formats: list[BodyFormat]
    ) -> dict[Kind, Selection]:
        """Return what finds the values in each kind of body; formats may share it."""
        if not selectors or self.parts is not None:
            return {}
        checked = self._checked_for_spelling()
        each = frozenset(one.index for one in (*self.encrypt, *self.decrypt) if one.item.each)
        read = {one.kind: one.selection for one in (*formats, self._standard)}
        made = {one: one.of(selectors, checked, each) for one in read.values()}
        return {kind: made[one] for kind, one in read.items()}

    def _part_selection(self, selectors: tuple[Selector, ...]) -> PartSelection | None:
        chosen = {
            index: one
            for index, one in enumerate(selectors)
            if isinstance(one, NamedSelector) and one.of_parts
        }
        if not chosen:
            return None
        return PartSelection(chosen, len(selectors), self._checked_for_spelling())

    def _ordinary(self) -> FastJson | None:
        """Return what finds the values of ordinary messages, where the block does nothing else."""
        block, selection, placed = self.block, self.selection, (*self.encrypt, *self.decrypt)
        plain = selection.plain if isinstance(selection, JsonSelection) else None
        if plain is None or not self.reads_json or self.takes_whole or self.heeds_head:
            return None
        if block.absent or block.when or block.types or block.format is not None:
            return None
        if block.only is not None or self.rendered or self.whole_place is not EXACT:
            return None
        bound = {part for one in placed for part in one.item.bind} & set(NAMED_PARTS)
        if any(one.shared or one.item.parties for one in placed) or bound - self.sources.keys():
            return None
        if not all(map(is_simple, (*self.sources.values(), *self.keeps))):
            return None
        return FastJson(
            plain,
            self.encrypt,
            self.decrypt,
            sources=self.sources,
            here={source: index for source, (index, _) in self.source_index.items()},
            keeps=self.keeps,
            lenient=self.direction == "response",
            at_will=self.at_will,
        )

    @property
    def selects_names(self) -> bool:
        """Whether it selects values of a body by name, in a form or its like."""
        named = self.selection is not None and not self.selection.in_json
        return named or self.parts is not None

    @property
    def joins(self) -> bool:
        """Tell whether a name that binds a value is made of several."""
        placed = (*self.encrypt, *self.decrypt, *(one for one, _, _ in self.in_head))
        bound = [(one.item, one.shared) for one in placed]
        bound += [(one, {}) for one in (self.whole_encrypt, self.whole_decrypt) if one is not None]
        return any(
            part in item.bind and _joins(source, shared if part in self.from_message else {})
            for part, source in self.sources.items()
            for item, shared in bound
        )

    def _in_head(self, *, first: int) -> Iterator[tuple[Placed, str | None, bool]]:
        """Yield the items of the head, the header's name (None: the query), whether it is sealed.

        Raises InvalidExpression for the query of a response: it has none.
        """
        index = first
        for items, encrypt in ((self.block.encrypt, True), (self.block.decrypt, False)):
            for item in items:
                selector = item.selector
                if isinstance(selector, NamedSelector) and selector.of_head:
                    if self.direction == "response" and selector.place == "query":
                        raise InvalidExpression(f"`{selector.text}` is for requests alone")
                    name = selector.name if selector.place == "header" else None
                    yield Placed(index, item, {}), name, encrypt
                    index += 1

    def _query_selection(self) -> FormSelection | None:
        placed = [one for one, header, _ in self.in_head if header is None]
        if not placed:
            return None
        names = {
            one.index: one.item.selector.name
            for one in placed
            if isinstance(one.item.selector, NamedSelector)
        }
        checked = frozenset(names)
        if not self.block.case_variants_allowed:
            self.variants_checked |= checked
        each = frozenset(one.index for one in placed if one.item.each)
        return FormSelection(names, max(names) + 1, checked, each)

    @property
    def asked_for(self) -> tuple[JsonSource, ...]:
        """Return the sources in the message that bind its values, or those of its answer."""
        parts = (part for part in self.from_message if self.needs(part))
        found = (one for part in parts for one in json_sources(self.sources[part]))
        return tuple(dict.fromkeys((*found, *self.keeps)))

    def needs(self, part: NamedPart) -> bool:
        """Tell whether a value of the block needs a name."""
        items = (*self.block.encrypt, *self.block.decrypt)
        return any(item.needs(part) for item in items)

    def _other_sources(self) -> SourcesElsewhere | None:
        """Return what compares the names of a request's body with others; None for nothing."""
        if self.direction == "response" or self.block.elsewhere_allowed:
            return None
        needed = [source for part, source in self.sources.items() if self.needs(part)]
        found = SourcesElsewhere(
            self.asked_for, (one for source in needed for one in name_sources(source))
        )
        return found or None

    def _checked(self) -> tuple[frozenset[int], frozenset[int]]:
        """Return of which selectors no twin may stand there, and of which no spelling either.

        Of sources no twin may: what is sealed depends on them, and what a request opens.
        """
        asked = () if self.only_opens_responses else self.asked_for
        sources = frozenset(self.source_index[one][0] for one in asked)
        twins = self._checked_for_spelling() | sources
        if not self.block.case_variants_allowed:
            return twins, twins
        return twins, sources

    def _checked_for_spelling(self) -> frozenset[int]:
        checked = {index for index, _ in self.absent} | {one.index for one in self.encrypt}
        if self.direction == "request":
            checked |= {one.index for one in self.decrypt}
        return frozenset(checked)


def _writing(block: Block, direction: Direction) -> tuple[Escape, TextPlace]:
    """Return how a block writes what it opens into texts, and what is all of a value."""
    if direction == "request":
        return "none", EXACT
    return block.escape, IN_HTML if block.escape == "html" else EXACT


def _conditions(block: Block) -> Conditions | None:
    if not block.when:
        return None
    return Conditions(
        block.when,
        variants_allowed=block.case_variants_allowed,
        elsewhere_allowed=block.elsewhere_allowed,
    )


def _refuse_short_forms(block: Block) -> None:
    if any(one.selector is Whole.BODY and one.form == "short" for one in block.encrypt):
        raise InvalidExpression("a whole body has no short form: its media type would be lost")
    if any(one.expires is not None and one.form == "short" for one in block.encrypt):
        raise InvalidExpression("the short form has no place for the time at which a value ends")


def single_from(source: JsonSource) -> int:
    """Return how many leading steps must be fixed for a source to give one value at most."""
    steps = source.selector.steps
    many = (at for at, step in enumerate(steps, 1) if step.deep or isinstance(step.key, Any))
    return max(many, default=0)


def _joins(source: Source, shared: Mapping[JsonSource, int]) -> bool:
    """Tell whether what a source gives is joined, within the element that it shares."""
    if isinstance(source, JsonSource):
        return single_from(source) > shared.get(source, 0)
    if isinstance(source, FirstSource):
        return any(_joins(part, shared) for part in source.parts)
    return not isinstance(source, NameSource)


def _is_placed(selector: Selector) -> TypeGuard[JsonSelector | NamedSelector]:
    """Tell whether a selector selects values at places within one kind of body."""
    return value_place(selector) is not None


def _reads(block: Block, direction: Direction) -> frozenset[Kind]:
    """Return the kinds of bodies that a block's selectors read; raise where there can be none."""
    selectors: tuple[Selector, ...] = (
        *(item.selector for item in (*block.encrypt, *block.decrypt)),
        *block.absent,
    )
    named = bool(_json_sources(block.names) or block.when or block.rendered)
    if block.format is not None:
        return kinds_read_as(block.format, selectors, names_in_json=named)
    kinds = kinds_read(selectors, names_in_json=named)
    return frozenset(kind for kind in kinds if reads_by_type(kind, block, direction))


def _is_of_head(selector: Selector) -> bool:
    return isinstance(selector, NamedSelector) and selector.of_head


def _json_sources(names: Names) -> tuple[JsonSource, ...]:
    return tuple(one for part in NAMED_PARTS for one in json_sources(names.get(part)))


def _count_placed(block: Block) -> int:
    items = (item.selector for item in (*block.encrypt, *block.decrypt))
    return sum(_is_placed(one) for one in (*items, *block.absent))


def _whole(items: tuple[Item, ...]) -> Item | None:
    return next((one for one in items if isinstance(one.selector, Whole)), None)


def _covered(wanted: tuple[str, ...], essence: str) -> bool:
    """Tell whether the types of a rule (`text/*`, `*/*`, `application/json`) cover a message's."""
    kind = essence.partition("/")[0]
    return any(one in {essence, "*/*", f"{kind}/*"} for one in wanted)


def _shared_steps(selector: JsonSelector, source: JsonSelector) -> int:
    """Return the length of the common beginning up to its last `.*`; 0 where none is shared."""
    shared = 0
    for at, (mine, theirs) in enumerate(zip(selector.steps, source.steps, strict=False)):
        if mine != theirs or mine.deep:
            break
        if isinstance(mine.key, Any):
            shared = at + 1
    return shared

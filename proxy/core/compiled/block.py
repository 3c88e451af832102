"""A block made ready: its conditions decided, its selectors as one selection, its names placed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidExpression
from ..expressions.selectors import (
    Any,
    JsonSelector,
    NamedSelector,
    Selector,
    Step,
    Whole,
    is_in_json,
)
from ..expressions.sources import (
    AskSource,
    JsonSource,
    Source,
    ask_sources,
    giving,
    json_sources,
    name_sources,
    places_beside,
)
from ..formats.body_format import Kind, Selection
from ..formats.escaping import EXACT, IN_HTML, Escape, TextPlace
from ..formats.json import Selection as JsonSelection
from ..formats.json.body import JSON
from ..formats.multipart.selection import PartSelection
from ..formats.table import FORMATS, RECORDS
from ..formats.urlencoded import FormSelection
from ..http.message import Direction
from ..rules.conditions import Conditions
from ..rules.model import NAMED_PARTS, Block, Item, NamedPart, Names, Placed, value_place
from .batches import around
from .closed_world import ClosedWorld
from .element_conditions import conditions_of, in_elements
from .flat_json import FlatJson, is_simple
from .message_match import MessageMatch
from .one_or_many import Deciding, RecordShape
from .other_places import SourcesElsewhere, elsewhere
from .stream_records import deltas, sentinels

if TYPE_CHECKING:
    from .kept_elements import KeptElements  # loaded with its rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a block does or needs, as yes or no.

    `only_opens_responses`: it is for responses, seals nothing and forbids nothing. `optional`: all
    that it seals may be missing. `takes_whole`: an item takes the body as a whole, `takes_body`:
    that item is `body`. `reads_json`, `reads_members`, `reads_parts`: its selectors read JSON, JSON
    or records of it, parts.
    `flows_in_parts`: it seals or opens parts of a multipart form and reads nothing else from it, so
    that they may pass one by one. `changes_head`: it changes or forbids something in the head.
    """

    only_opens_responses: bool
    optional: bool
    takes_whole: bool
    takes_body: bool
    reads_json: bool
    reads_members: bool
    reads_parts: bool
    flows_in_parts: bool
    changes_head: bool


class CompiledBlock(MessageMatch):
    """One block of one direction of one rule, compiled.

    Names: `sources` says for each part where it is read, `from_message` which parts are read from
    the message at hand; others were kept from the request. `keeps` are the JSON sources that are
    kept from a request for its response. `echoes` find the names again in an answer that the
    backend was asked for. `elements` lead to the element that names tokens, which shares so many
    steps with them. `source_index` has for each JSON source its index in the
    selection, and how many of its leading steps must be fixed for it to give one value at most.
    `sources_elsewhere` compares names with other places of the request. `shape` says where the
    record or the records of a body lie, None where the body itself is what selectors are of.

    Values: `encrypt`, `decrypt` and `search` are known by index. `selection` finds them in a body,
    `other_selections` in one of these kinds instead, `parts` in a multipart form, `query` in a
    query; `in_head` are the items of the head, `in_elements` those with conditions on elements.
    `kept` finds the elements of an answer that stay where its request has searched, None where all
    of them do. `around` is what is checked beside the values, `closed` what else a request may hold
    (None: anything), `elsewhere` what must not be in another place of it. `variants_checked` are
    the selectors of which no member may occur in another spelling, `twins_checked` those of which
    none may occur twice or hidden, `parents` those on whose way nothing of another type may stand.
    `when` decides by the body, None where the head does alone.

    Short cuts: `flat` is what is done to plain JSON, where that is all; a block that has it takes
    JSON of any name. `alone` is the item that seals or opens the body where nothing else is read
    from it, so that it may pass piece by piece. `escape` is how opened values are written into
    texts, `whole_place` how one that is all of a value is, `rendered` are the indexes of what is
    HTML. `sentinels` are records, and messages of a WebSocket, that pass unread; `deltas` finds
    what is joined before it is sealed.
    """

    __slots__ = (
        "alone",
        "around",
        "closed",
        "decrypt",
        "deltas",
        "echoes",
        "elements",
        "elements_shared",
        "elsewhere",
        "encrypt",
        "escape",
        "flat",
        "from_message",
        "in_elements",
        "in_head",
        "keeps",
        "kept",
        "other_selections",
        "parents",
        "parts",
        "query",
        "rendered",
        "search",
        "selection",
        "sentinels",
        "shape",
        "source_index",
        "sources",
        "sources_elsewhere",
        "traits",
        "twins_checked",
        "variants_checked",
        "when",
        "whole_place",
    )

    def __init__(
        self,
        block: Block,
        names: Names,
        direction: Direction,
        *,
        keeps: tuple[JsonSource, ...] = (),
        shape: RecordShape | None = None,
    ) -> None:
        """Compile `block` of a rule with `names`, for bodies of one `shape` where it has two.

        Raises InvalidExpression for a short form of what has no place there: the type of a body, or
        the time at which a value ends.
        """
        _refuse_short_forms(block)
        if block.format is not None:
            FORMATS[block.format].load()
        self.shape = shape
        self.elsewhere = elsewhere(block, direction)
        if shape is not None:
            block = shape.place(block)
        super().__init__(block, direction)
        self.sources, self.from_message = choose_sources(block.names, names, direction)
        self.keeps = keeps
        self.echoes = self._echoes()
        first = sum(value_place(one.selector) is not None for one in block.items)
        self.source_index = self._number_sources(first=first)
        self.elements = dict(self._elements())
        self.elements_shared = {source: len(steps) for source, steps in self.elements.items()}
        self.encrypt = self._place(block.encrypt, first=0)
        self.decrypt = self._place(block.decrypt, first=len(self.encrypt))
        opened = len(self.encrypt) + len(self.decrypt)
        self.search = self._place(block.search, first=opened)
        conditions = conditions_of(block, shape)
        read = (*(self._at(one) for one in self.source_index if not one.member_name), *conditions)
        self.closed = (
            ClosedWorld(block, read, self.sources.values(), () if shape is None else shape.steps)
            if direction == "request" and block.others != "pass"
            else None
        )
        self.escape, self.whole_place = _writing(block, direction)
        selectors = (
            *(one.item.selector for one in (*self.encrypt, *self.decrypt, *self.search)),
            *map(self._at, self.source_index),
            *block.rendered,
        )
        self.rendered = range(len(selectors) - len(block.rendered), len(selectors))
        self.around = around(block, self.encrypt, first=len(selectors))
        selectors += self.around.selectors
        items = (*self.encrypt, *self.decrypt)
        self.in_elements = in_elements(items, shape, first=len(selectors))
        selectors += conditions
        self.kept = self._kept(first=len(selectors))
        selectors += () if self.kept is None else self.kept.selectors
        self._refuse_other_forms(selectors)
        self.parts = self._part_selection(selectors)
        found = self._find_selections(selectors)
        self.selection = found.pop(self.standard.kind, None)
        self.other_selections = {
            kind: one for kind, one in found.items() if one is not self.selection
        }
        self.in_head = tuple(self._in_head(first=len(selectors)))
        self.traits = self._traits()
        self.twins_checked, self.variants_checked = self._checked()
        self.parents = self._parents()
        self.when: Deciding | None = shape or _conditions(block)
        self.sentinels = sentinels(block, selectors)
        self.deltas = deltas(block)
        self.query = self._query_selection()
        self.sources_elsewhere = self._other_sources()
        self.alone = self._alone()
        self.flat = self._flat()

    def _traits(self) -> Traits:
        block = self.block
        reads_parts = any(FORMATS[kind].in_parts for kind in self.reads)
        acts = self.parts is not None and bool(self.encrypt or self.decrypt)
        opens = Whole.TOKENS in self.wholes and (self.parts is not None or self.closed is None)
        reads_within = self.parts is not None and self.parts.reads_within
        reads_more = block.when or self.source_index or reads_within
        others = reads_more or set(self.wholes) - {Whole.TOKENS}
        return Traits(
            only_opens_responses=self.direction == "response" and not block.encrypt,
            optional=bool(block.encrypt) and all(one.optional for one in block.encrypt),
            takes_whole=bool(self.wholes),
            takes_body=Whole.BODY in self.wholes,
            reads_json=JSON.kind in self.reads,
            reads_members=not self.reads.isdisjoint({JSON.kind, *RECORDS}),
            reads_parts=reads_parts,
            flows_in_parts=reads_parts and (acts or opens) and not others,
            changes_head=bool(self.in_head),
        )

    def _alone(self) -> Item | None:
        reads_more = self.parts is not None or self.selection is not None or self.block.when
        if not self.traits.takes_body or len(self.wholes) > 1 or reads_more:
            return None
        return self.whole_encrypt or self.whole_decrypt

    def _kept(self, *, first: int) -> KeptElements | None:
        if self.block.keep is None:
            return None
        from .kept_elements import kept  # noqa: PLC0415 - loaded with its rules

        return kept(self.block.keep, self.decrypt, first=first)

    def _number_sources(self, *, first: int) -> dict[JsonSource, tuple[int, int]]:
        parts = [part for part in NAMED_PARTS if part in self.from_message]
        wanted = [one for part in parts for one in json_sources(self.sources[part])]
        wanted += self.keeps
        return {
            source: (first + at, single_from(self._at(source)))
            for at, source in enumerate(dict.fromkeys(wanted))
        }

    def _at(self, source: JsonSource) -> JsonSelector | NamedSelector:
        """Return where a source is read in the body."""
        return source.selector if self.shape is None else self.shape.of(source.selector)

    def _echoes(self) -> dict[NamedPart, tuple[tuple[AskSource, JsonSelection], ...]]:
        """Return what finds the names again in an answer that were asked for."""
        if self.direction == "request":
            return {}
        place = (lambda one: one) if self.shape is None else self.shape.of_body
        return {
            part: tuple((ask, JsonSelection((place(ask.selector),))) for ask in ask_sources(source))
            for part, source in self.sources.items()
            if part not in self.from_message
        }

    def _elements(self) -> Iterator[tuple[JsonSource, tuple[Step, ...]]]:
        """Yield the steps to the innermost element from which a name of tokens is read.

        Tokens stand anywhere: only where they stand tells which of several names is theirs.
        """
        item = self.whole_decrypt
        if item is None or item.selector is not Whole.TOKENS:
            return
        named = (part for part in NAMED_PARTS if part in self.from_message and item.needs(part))
        for source in (one for part in named for one in json_sources(self.sources[part])):
            steps = self._at(source).steps
            if not any(one.deep for one in steps):
                found = steps[: self.source_index[source][1]]
                yield from ((source, found),) if found else ()

    def _place(self, items: tuple[Item, ...], *, first: int) -> tuple[Placed, ...]:
        chosen = [
            (one, one.selector)
            for one in items
            if not isinstance(one.selector, Whole) and value_place(one.selector) is not None
        ]
        return tuple(
            Placed(first + at, item, self.shared(selector))
            for at, (item, selector) in enumerate(chosen)
        )

    def shared(self, selector: JsonSelector | NamedSelector) -> dict[JsonSource, int]:
        """Return for each source how many leading steps a selector has in common with it."""
        steps = {one: shared_steps(selector, self._at(one)) for one in self.source_index}
        return {source: count for source, count in steps.items() if count}

    def _find_selections(self, selectors: tuple[Selector, ...]) -> dict[Kind, Selection]:
        """Return what finds the values in each kind of body; formats may share it."""
        if not (selectors or self.closed) or self.parts is not None:
            return {}
        checked = self._checked_for_spelling() | {
            index
            for source, (index, _) in self.source_index.items()
            if value_place(source.selector) == "form"
        }
        each = frozenset(one.index for one in (*self.encrypt, *self.decrypt) if one.item.each)
        read = {kind: FORMATS[kind].selection for kind in {*self.reads, self.standard.kind}}
        made = {one: one.of(selectors, checked, each) for one in read.values()}
        for one in made.values():
            if isinstance(one, FormSelection) and self.closed is not None:
                one.close(self.closed.names)
        return {kind: made[one] for kind, one in read.items()}

    def _refuse_other_forms(self, selectors: tuple[Selector, ...]) -> None:
        """Raise InvalidExpression for a name in a form that is not the kind of body here."""
        count = len(self.encrypt) + len(self.decrypt) + len(self.search)
        places = {value_place(one) for one in selectors[:count]}
        for source in self.source_index:
            place = value_place(source.selector)
            if place != "$" and places - {place}:
                raise InvalidExpression(f"`{source.selector.text}` cannot be read from such bodies")

    def _part_selection(self, selectors: tuple[Selector, ...]) -> PartSelection | None:
        chosen = {
            index: one
            for index, one in enumerate(selectors)
            if isinstance(one, NamedSelector) and one.of_parts
        }
        if not chosen and not any(value_place(one) == "part" for one in self.block.plain):
            return None
        checked = self._checked_for_spelling()
        closed = None if self.closed is None else self.closed.names
        renames = self.block.filenames != "plain"
        return PartSelection(chosen, len(selectors), checked, closed, renames=renames)

    def _flat(self) -> FlatJson | None:
        """Return what is done to plain JSON, where the block does nothing else to its messages."""
        selection, placed = self.selection, (*self.encrypt, *self.decrypt)
        if not isinstance(selection, JsonSelection) or selection.finder is None:
            return None
        bound = {part for one in placed for part in one.item.bind} & set(NAMED_PARTS)
        if (
            any(one.shared or one.item.parties or one.item.withheld for one in placed)
            or bound - self.sources.keys()
        ):
            return None
        names = (*self.sources.values(), *self.keeps)
        if self._does_more() or not all(map(is_simple, names)):
            return None
        return FlatJson(
            selection.finder,
            selection.strides,
            self.block,
            self.encrypt,
            self.decrypt,
            sources=self.sources,
            here={source: index for source, (index, _) in self.source_index.items()},
            keeps=self.keeps,
            closed=None if self.closed is None else self.closed.json,
            misfits=(self.parents, selection) if self.parents else None,
            lenient=self.direction == "response",
            at_will=self.traits.optional,
        )

    def _does_more(self) -> bool:
        """Return whether the block does more to plain JSON than to seal and open values."""
        block, traits = self.block, self.traits
        if (
            block.accept
            or block.search
            or block.keep is not None
            or traits.takes_whole
            or traits.changes_head
            or (self.reads and not traits.reads_json)
        ):
            return True
        chosen = self.when is not None or block.types or block.format is not None
        written = self.rendered or self.whole_place is not EXACT or block.batch is not None
        return bool(chosen or written or self.around.selectors or self.in_elements)

    @property
    def selects_names(self) -> bool:
        """Whether it selects values of a body by name, in a form or its like."""
        named = self.selection is not None and self.selection.spell is not None
        return named or self.parts is not None

    def _in_head(self, *, first: int) -> Iterator[tuple[Placed, str | None, bool]]:
        """Yield the items of the head, the header's name (None: the query), whether it is replaced.

        What is to be opened is not.

        Raises InvalidExpression for the query of a response: it has none.
        """
        index = first
        block = self.block
        for items, encrypt in ((block.encrypt + block.search, True), (block.decrypt, False)):
            for item in items:
                selector = item.selector
                if isinstance(selector, NamedSelector) and selector.of_head:
                    if self.direction == "response" and selector.place == "query":
                        raise InvalidExpression(f"`{selector.text}` is for requests alone")
                    name = selector.name if selector.place == "header" else None
                    yield Placed(index, item, {}), name, encrypt
                    index += 1

    def _query_selection(self) -> FormSelection | None:
        placed = {one.index: one.item for one, header, _ in self.in_head if header is None}
        if not placed:
            return None
        checked = frozenset(placed)
        if not self.block.case_variants_allowed:
            self.variants_checked |= checked
        each = frozenset(index for index, item in placed.items() if item.each)
        selectors = [
            placed[at].selector if at in placed else Whole.TOKENS for at in range(max(placed) + 1)
        ]
        return FormSelection.of(selectors, checked, each)

    @property
    def asked_for(self) -> tuple[JsonSource, ...]:
        """Return the sources in the message that bind its values, or those of its answer."""
        parts = (part for part in self.from_message if self.needs(part))
        found = (one for part in parts for one in json_sources(self.sources[part]))
        return tuple(dict.fromkeys((*found, *self.keeps)))

    def needs(self, part: NamedPart) -> bool:
        """Return whether a value of the block needs a name."""
        return any(item.needs(part) for item in self.block.items)

    def _other_sources(self) -> SourcesElsewhere | None:
        """Return what compares the names of a request's body with others; None for nothing."""
        if self.direction == "response" or self.block.elsewhere_allowed:
            return None
        needed = [giving(source) for part, source in self.sources.items() if self.needs(part)]
        # Places that are said to name the same thing are compared where they are read.
        also = {one for source in self.sources.values() for one in places_beside(source)}
        members = (one for one in self.asked_for if one not in also)
        found = SourcesElsewhere(
            members, (one for source in needed for one in name_sources(source))
        )
        return found or None

    def _checked(self) -> tuple[frozenset[int], frozenset[int]]:
        """Return of which selectors no twin may occur, and of which no other spelling either.

        Of sources no twin may: what is sealed depends on them, and what a request opens.
        """
        asked = () if self.traits.only_opens_responses else self.asked_for
        sources = frozenset(self.source_index[one][0] for one in asked)
        if not self.traits.only_opens_responses:
            sources |= {one.number for each in self.in_elements for one in each.conditions}
        twins = self._checked_for_spelling() | sources
        if not self.block.case_variants_allowed:
            return twins, twins
        return twins, sources

    def _parents(self) -> frozenset[int]:
        """Return the optional selectors on whose way nothing of another type may stand.

        In a closed block nothing does, and where a value is needed it would be missing.
        """
        if self.closed is not None or self.direction == "response":
            return frozenset()
        optional = (one for one in self.encrypt if one.item.optional)
        return frozenset(
            one.index
            for one in optional
            if isinstance(one.item.selector, JsonSelector)
            and not any(step.deep for step in one.item.selector.steps)
        )

    def _checked_for_spelling(self) -> frozenset[int]:
        checked = {one.index for one in (*self.encrypt, *self.search)}
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
    narrow = [one for one in block.encrypt if one.form in {"short", "equal"}]
    if any(one.selector is Whole.BODY for one in narrow):
        raise InvalidExpression("a whole body has no short form: its media type would be lost")
    if any(one.form == "base64" and not is_in_json(one.selector) for one in block.encrypt):
        raise InvalidExpression("the form base64 is for values of JSON")
    if any(one.expires is not None for one in narrow):
        raise InvalidExpression("the short form has no place for the time at which a value ends")


def choose_sources(
    own: Names, inherited: Names, direction: Direction
) -> tuple[dict[NamedPart, Source], frozenset[NamedPart]]:
    """Return the source of each part, and the parts read from the message at hand.

    What a block of responses inherits was kept from the request.
    """
    sources: dict[NamedPart, Source] = {}
    for part in NAMED_PARTS:
        source = own.get(part) or inherited.get(part)
        if source is not None:
            sources[part] = source
    here = (part for part in sources if own.get(part) is not None or direction == "request")
    return sources, frozenset(here)


def single_from(selector: JsonSelector | NamedSelector) -> int:
    """Return how many leading steps must be fixed for a selector to give one value at most."""
    steps = enumerate(selector.steps, 1)
    many = (at for at, step in steps if step.deep or isinstance(step.key, Any))
    return max(many, default=0)


def shared_steps(
    selector: JsonSelector | NamedSelector, source: JsonSelector | NamedSelector
) -> int:
    """Return the length of the common beginning up to its last `.*`; 0 where none is shared."""
    shared = 0
    for at, (mine, theirs) in enumerate(zip(selector.steps, source.steps, strict=False)):
        if mine != theirs or mine.deep:
            break
        if isinstance(mine.key, Any):
            shared = at + 1
    return shared

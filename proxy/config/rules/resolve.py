"""From rules as they are written to the core's rules: defaults, fields and binds combined."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from ...core.expressions.selectors import JsonSelector, NamedSelector, Whole
from ...core.expressions.sources import NameSource, Source, also
from ...core.formats.escaping import Escape
from ...core.http.message import Direction
from ...core.rules.model import (
    NAMED_PARTS,
    PARTS,
    Behaviour,
    Block,
    Filenames,
    Item,
    NamedPart,
    Names,
    Others,
    Part,
    Rule,
    Verdict,
    field_of,
)
from ..yaml.nodes import Place, Problems, show
from . import item_checks, streams
from .audiences import Nameable
from .blocks import BlockSyntax
from .items import FieldSyntax, ItemSyntax
from .options import NamedInQuery, NamesSyntax, OptionsSyntax, SourceSyntax, overlay
from .syntax import RuleSyntax, SharedSyntax, inherit, reads_only

Action = Literal["encrypt", "decrypt"]
DEFAULT_BIND: Final[frozenset[Part]] = frozenset({"tenant", "conversation", "field"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The context of a rule: `fields` of its file, its listener's defaults and limit.

    `known` are the callers, masks and purposes of use that it may name.
    """

    fields: Mapping[str, FieldSyntax]
    defaults: SharedSyntax
    max_body: int
    known: Nameable = field(default_factory=Nameable)


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """An item of the core with its place, action and direction."""

    item: Item
    place: Place
    action: Action
    direction: Direction
    block: BlockSyntax


@dataclass(frozen=True, slots=True)
class ResolvedRule:
    """A rule of the core with its syntax, its defaults applied, and its items with their places.

    `rests` are the items by which blocks seal what they do not list.
    """

    rule: Rule
    syntax: RuleSyntax
    shared: SharedSyntax
    items: tuple[PlacedItem, ...]
    rests: tuple[PlacedItem, ...] = ()


def resolve(syntax: RuleSyntax, around: Surroundings, problems: Problems) -> ResolvedRule:
    """Return the rule of a syntax and its context; report mistakes."""
    return _Resolver(syntax, around, problems).resolve()


class _Resolver:
    def __init__(self, syntax: RuleSyntax, around: Surroundings, problems: Problems) -> None:
        self._syntax = syntax
        self._around = around
        self._problems = problems
        self._shared = _with_names_of_query(inherit(around.defaults, syntax.shared), problems)
        self._items: list[PlacedItem] = []
        self._rests: list[PlacedItem] = []

    def resolve(self) -> ResolvedRule:
        rule = Rule(
            name=self._syntax.name,
            patterns=tuple(pattern for pattern, _ in self._syntax.patterns),
            names=_names(self._shared.names),
            request=self._behaviour("request"),
            response=self._behaviour("response"),
            max_body=self._around.max_body,
            shuts_on_poison=bool(self._shared.shuts_on_poison),
            observes=self._observes(),
            connections=self._syntax.connections,
            query=self._query(),
            naming=_naming(self._shared.options),
            headers=self._shared.options.headers.listed if self._shared.options.headers else None,
            callers=self._around.known.callers,
            deciding=self._deciding(),
            purposes=self._around.known.purposes,
        )
        return ResolvedRule(
            rule, self._syntax, self._shared, tuple(self._items), tuple(self._rests)
        )

    def _deciding(self) -> tuple[bytes, ...]:
        """Return the headers by which callers are told apart; report a second one for purposes."""
        items = (item for block in self._shared.blocks for item in block.decrypt)
        stated = [one for item in items if (one := item.audience.purpose) is not None]
        for name, place in stated:
            if name != stated[0][0]:
                problems = self._problems
                problems.add(place, "the rule reads the purpose of use from another header already")
        names = dict.fromkeys(name.title().encode() for name, _ in stated)
        return (*self._around.known.deciding, *names)

    def _observes(self) -> bool:
        mode = self._shared.options.mode
        observes = mode is not None and mode.observes
        for block in self._shared.blocks:
            if block.options.mode is not None and block.options.mode.observes:
                self._problems.add(
                    block.place, "`observe` applies to whole rules only", "set it on the rule"
                )
        if observes:
            self._problems.warn(
                self._syntax.place,
                "only observes: its messages pass unchanged, and nothing is sealed",
            )
        return observes

    def _query(self) -> frozenset[str] | None:
        """Return the names in queries of requests that are not read; any, where no answer is."""
        shared = self._shared
        reads = isinstance(shared.response, tuple) and not isinstance(shared.request, Verdict)
        return _query(shared.options) if reads else None

    def _behaviour(self, direction: Direction) -> Behaviour:
        said = self._shared.request if direction == "request" else self._shared.response
        if direction == "response" and self._shared.request is Verdict.REJECT:
            said = None  # a rejected request has no response
        if said is None:
            return Verdict.PASS
        if isinstance(said, Verdict):
            return said
        own = self._syntax.shared
        inherited = (own.request if direction == "request" else own.response) is None
        return tuple(self._block(one, direction, inherited=inherited) for one in said)

    def _block(self, block: BlockSyntax, direction: Direction, *, inherited: bool) -> Block:
        item_checks.check_block(block, self._problems)
        options = overlay(self._shared.options, block.options)
        encrypt = self._act("encrypt", block, direction, inherited=inherited)
        decrypt = self._act("decrypt", block, direction, inherited=inherited)
        others: Others = "pass"
        if direction == "request" and item_checks.closes(block):
            others = item_checks.others(block, options.others, self._problems)
        if others == "seal" and options.keep_types:
            self._problems.warn(block.place, item_checks.KEPT)
        if any(one.index is not None for one in encrypt):
            from . import indexes  # noqa: PLC0415 - loaded with fields that have one

            plain = [one for one, _ in item_checks.plain_in(block)]
            indexes.check_members(encrypt, plain, others, block.place, self._problems)
        filenames: Filenames = "plain"
        if direction == "request":
            filenames = options.filenames or ("plain" if others == "pass" else "replace")
        return Block(
            encrypt=encrypt,
            decrypt=decrypt,
            search=self._search(block, inherited=inherited),
            keep=block.keep.kept if block.keep else None,
            names=_names(block.names),
            types=block.types,
            statuses=block.statuses,
            permissive_until=options.mode.permissive_until if options.mode else None,
            keep_unopened=direction == "response" and bool(decrypt and options.keep_unopened),
            already_sealed=options.already_sealed or "seal",
            case_variants_allowed=bool(options.case_variants_allowed),
            elsewhere_allowed=bool(options.elsewhere_allowed),
            cookies_ignored=bool(options.cookies_ignored),
            max_tokens=block.max_tokens,
            max_values=block.max_values,
            placeholder=block.placeholder,
            escape=self._escape(options, decrypt, direction, block),
            rendered=block.rendered,
            format=block.format[0] if block.format else None,
            when=block.when,
            nothing=item_checks.nothing(block, self._syntax.name, self._problems),
            plain=tuple(one for one, _ in item_checks.plain_in(block)),
            others=others,
            rest=self._rest(block, inherited=inherited) if "seal" in {others, filenames} else None,
            booleans_pass=bool(options.keep_types),
            query=_query(options) if direction == "request" and item_checks.closes(block) else None,
            naming=_naming(options) if direction == "request" else frozenset(),
            headers=options.headers.listed if options.headers and direction == "request" else None,
            filenames=filenames,
            sentinels=streams.check_sentinels(block, self._problems),
            renamed=block.renamed,
            records=block.records[0] if block.records else None,
            accept=frozenset(options.accept or ()),
            distinct=frozenset(options.distinct or ()),
            callers=self._takers(block, decrypt, direction),
            batch=streams.check_batch(block, encrypt, options, direction, self._problems),
        )

    def _takers(
        self, block: BlockSyntax, decrypt: tuple[Item, ...], direction: Direction
    ) -> frozenset[str] | None:
        if direction == "response":
            if block.callers is not None:
                place, hint = block.callers[1], "write `for` in an item of `decrypt`"
                self._problems.add(place, "of a block, `for` only applies to requests", hint)
            return None
        return self._around.known.takers(block.callers, self._problems, opens=bool(decrypt))

    def _rest(self, block: BlockSyntax, *, inherited: bool) -> Item:
        """Return how values are sealed that a block does not list."""
        unlisted = ItemSyntax(block.place, JsonSelector("$", ()), "$")
        item = self._item(unlisted, block, "encrypt", "request", inherited=inherited)
        self._rests.append(PlacedItem(item, block.place, "encrypt", "request", block))
        return item

    def _escape(
        self,
        options: OptionsSyntax,
        decrypt: tuple[Item, ...],
        direction: Direction,
        block: BlockSyntax,
    ) -> Escape:
        said = options.escape or "auto"
        if direction == "request":
            return "auto"
        for item, syntax in zip(decrypt, block.decrypt, strict=True):
            if said == "none" and item.selector is Whole.TOKENS:
                self._problems.warn(
                    syntax.place,
                    "opens with `escape: none`: if the backend puts a value into a page, the author"
                    " of the value can add HTML and scripts to it",
                )
        return said

    def _act(
        self, action: Action, block: BlockSyntax, direction: Direction, *, inherited: bool
    ) -> tuple[Item, ...]:
        made: list[Item] = []
        for syntax in block.encrypt if action == "encrypt" else block.decrypt:
            item = self._item(syntax, block, action, direction, inherited=inherited)
            made.append(item)
            self._items.append(PlacedItem(item, syntax.place, action, direction, block))
        return tuple(made)

    def _search(self, block: BlockSyntax, *, inherited: bool) -> tuple[Item, ...]:
        """Return what is searched for; it is bound as the values that it is to find."""
        made: list[Item] = []
        for one in block.search:
            from . import searches  # noqa: PLC0415 - loaded with its rules

            field = self._around.fields.get(one.field, FieldSyntax())
            sought = searches.sought(one, field, self._problems)
            if sought is None:
                continue
            bind = self._bind(one.item, field, block, inherited=inherited)
            searches.check_scope(one, sought, bind, self._problems)
            made.append(Item(one.selector, one.field, bind, optional=True, sought=sought))
        return tuple(made)

    def _item(
        self,
        syntax: ItemSyntax,
        block: BlockSyntax,
        action: Action,
        direction: Direction,
        *,
        inherited: bool,
    ) -> Item:
        syntax = replace(syntax, field=self._field(syntax, block))
        field = self._around.fields.get(syntax.field or "", FieldSyntax())
        bind = self._bind(syntax, field, block, inherited=inherited)
        parties = _parties(action, overlay(self._shared.names, block.names), block.names)
        purpose = self._shared.purpose[0] if self._shared.purpose else None
        audience = None
        if direction == "response" and action == "decrypt":
            known, problems = self._around.known, self._problems
            audience = known.audience(syntax.audience, syntax.selector, syntax.place, problems)
        if syntax.selector is Whole.TOKENS:
            return Item(
                syntax.selector, "tokens", bind, purpose=purpose, parties=parties, audience=audience
            )
        own, general = syntax.sealed, field.sealed
        said, most = own.form or general.form, own.max_chars or general.max_chars
        seals = action == "encrypt"
        index, tags_member = None, None
        if seals and (field.index is not None or syntax.index is not None):
            from . import indexes  # noqa: PLC0415 - loaded with fields that have one

            index, tags_member = indexes.index_of(syntax, field, direction, self._problems)
        least = item_checks.min_chars(syntax, field) if seals else None
        item = Item(
            selector=syntax.selector,
            field=syntax.field or "",
            bind=bind,
            form=said or "jwe",
            max_chars=most,
            min_chars=0 if least is None and index is not None else least,
            not_blank=seals and item_checks.switched("not_blank", syntax, field),
            trim=seals and item_checks.switched("trim", syntax, field),
            optional=syntax.optional or bool(syntax.where),
            where=syntax.where,
            needed_where=bool(syntax.where) and not syntax.optional,
            expires=self._expires(syntax, block) if seals else None,
            purpose=purpose if "purpose" in bind else None,
            parties=parties,
            framed=said is None and most is None and index is None,
            each=syntax.each,
            elsewhere_allowed=syntax.elsewhere_allowed,
            index=index,
            tags_member=tags_member,
            audience=audience,
            seeks=direction == "request" and said == "equal" and self._seeks(syntax),
        )
        if seals and said == "equal":
            accepted = own.accept_leakage or general.accept_leakage or False
            item_checks.check_equal(item, syntax.place, self._problems, accepted=accepted)
        if index is not None:
            indexes.check(item, syntax.place, self._problems)
        if seals:
            item_checks.check_item(item, syntax.place, self._problems)
        return item

    def _seeks(self, item: ItemSyntax) -> bool:
        """Return whether a value is compared with stored ones, and not stored itself."""
        in_query = isinstance(item.selector, NamedSelector) and item.selector.place == "query"
        return in_query or reads_only(self._syntax)

    def _field(self, item: ItemSyntax, block: BlockSyntax) -> str | None:
        """Return the field of an item, with the name of an object that is held distinct."""
        selector = item.selector
        distinct = overlay(self._shared.options, block.options).distinct
        if not distinct or not isinstance(selector, JsonSelector) or item.field != selector.field:
            return item.field
        names = [one.key for one in selector.steps if isinstance(one.key, str)]
        return field_of(names, frozenset(distinct))

    def _expires(self, item: ItemSyntax, block: BlockSyntax) -> int | None:
        said = (item.expires, block.options.expires, self._shared.options.expires)
        seconds = next((one for one in said if one is not None), None)
        return math.ceil(seconds) if seconds else None

    def _bind(
        self, item: ItemSyntax, field: FieldSyntax, block: BlockSyntax, *, inherited: bool
    ) -> frozenset[Part]:
        # Parts of an inherited bind that the rule does not give are left out.
        own = None if block.bind and inherited else block.bind or self._shared.bind
        said = block.bind or own or field.bind or self._around.defaults.bind
        wanted = DEFAULT_BIND if said is None else said.parts
        given = frozenset(part for part in PARTS if part in wanted and self._gives(part, block))
        if own is not None and given < wanted:
            self._report_missing(own.place, wanted - given)
        elif not given:
            part = next(part for part in PARTS if part in wanted)
            self._problems.add(item.place, "is bound to nothing", f"give the rule a `{part}`")
        return given

    def _gives(self, part: Part, block: BlockSyntax) -> bool:
        if part == "field":
            return True
        if part == "purpose":
            return self._shared.purpose is not None
        return getattr(block.names, part) is not None or self._named(part)

    def _named(self, part: str) -> bool:
        return getattr(self._shared.names, part) is not None

    def _report_missing(self, place: Place, missing: frozenset[Part]) -> None:
        for part in sorted(missing):
            self._problems.add(
                place,
                f"binds `{part}`, which the rule {show(self._syntax.name)} does not give",
                f"write `{part}` in the rule, or leave it out of `bind`",
            )


def _with_names_of_query(shared: SharedSyntax, problems: Problems) -> SharedSyntax:
    """Return the keys of a rule with the names of its query among the sources that they name."""
    names = shared.names
    for name, use in (shared.options.query or {}).items():
        if not isinstance(use, NamedInQuery):
            continue
        own, named = names.get(use.part), NameSource("query", name)
        source: Source | None = named
        if own is not None:
            source = also(own.source, named)
        if source is None:
            problems.add(
                use.place,
                f"the rule reads its {use.part} from a body, where it cannot be compared",
                "give the source outside of bodies, or write `refuse`",
            )
        else:
            place = use.place if own is None else own.place
            names = overlay(names, NamesSyntax(**{use.part: SourceSyntax(source, place)}))
    return replace(shared, names=names)


def _query(options: OptionsSyntax) -> frozenset[str] | None:
    if options.others == "pass":
        return None
    return frozenset(name for name, use in (options.query or {}).items() if use == "plain")


def _naming(options: OptionsSyntax) -> frozenset[str]:
    return frozenset(name for name, use in (options.query or {}).items() if use == "names")


def _names(syntax: NamesSyntax) -> Names:
    return Names(**{part: _source(syntax.get(part)) for part in NAMED_PARTS})


def _parties(action: Action, names: NamesSyntax, own: NamesSyntax) -> frozenset[NamedPart]:
    """Return who determines the key of a value; `own` are the names that its block gives."""
    parts: tuple[NamedPart, ...] = ("sender", "recipients") if action == "encrypt" else ("reader",)
    found = frozenset(part for part in parts if names.get(part) is not None)
    # The sender of a rule is who sends its requests; the sender of what is read is the block's.
    asks = action == "decrypt" and found and own.get("sender") is not None
    return found | {"sender"} if asks else found


def _source(syntax: SourceSyntax | None) -> Source | None:
    return None if syntax is None else syntax.source

"""The rules of one listener: which of them takes a request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ..callers import ANYONE
from ..errors import AmbiguousRequest, InvalidExpression, RejectedByRule
from ..expressions.routes import Pattern, Reached, RouteTable
from ..expressions.sources import (
    AskSource,
    FirstSource,
    JsonSource,
    NameSource,
    ask_sources,
    giving,
    json_sources,
    name_sources,
)
from ..http.message import Direction
from ..http.path import REMEMBERED, CanonicalPath
from ..policy import KEPT_PATH_CHARS
from ..rules.model import NAMED_PARTS, Block, NamedPart, Others, Rule, Verdict
from .block import CompiledBlock
from .closed_world import ClosedHeaders, ClosedQuery, closed_headers, closed_query, sealed_fields
from .one_or_many import shapes
from .other_methods import OtherMethod, OtherMethods
from .request_names import NamesOfHead

if TYPE_CHECKING:  # loaded where a listener has callers
    from .views import CallerAccess

CompiledBlocks = tuple[CompiledBlock, ...]

_OVERRIDDEN: Final = "POST"
"""The method that frameworks let a form replace by its field `_method`."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its blocks made ready. An empty tuple lets the direction pass unread.

    `varies` are the request headers that bind what a response holds; `seals_response` says that
    some block encrypts responses, `opens_response` that some block decrypts them, `by_caller` that
    what it answers depends on who asks. `names` are those
    that bind values and are read from the head of requests; `query` lists the names that a query
    may hold, `headers` those that headers may have, None where that is any. `asks` are names that
    the backend is asked for.

    In a listener with callers, `views` has the rule as each meets it, and `access` is what the
    caller of a view is refused; this rule itself opens nothing.
    """

    rule: Rule
    request: CompiledBlocks
    response: CompiledBlocks
    varies: tuple[bytes, ...]
    seals_response: bool
    opens_response: bool
    by_caller: bool
    names: NamesOfHead | None = None
    query: ClosedQuery | None = None
    asks: Mapping[AskSource, NamedPart] = field(default_factory=dict)
    headers: ClosedHeaders | None = None
    access: CallerAccess | None = None
    views: Mapping[str, CompiledRule] = field(default_factory=dict, repr=False, compare=False)
    chosen: dict[object, CompiledBlock] = field(default_factory=dict, repr=False, compare=False)
    """The blocks of responses by what decides: status and type, if nothing else does."""

    @property
    def guards(self) -> bool:
        """Whether something gets out, or in, where a request goes around the rule."""
        rejects = self.rule.request is Verdict.REJECT
        acts = rejects or bool(self.request) or self.seals_response
        return acts and not self.rule.observes

    @property
    def takes_no_body(self) -> bool:
        """Whether it reads answers alone, and does not say `pass` of requests or of others."""
        return not self.request and self.query is not None


class Decision:
    """Which rule takes a request, with its captures; `compiled` is None for unmatched traffic.

    `rule` is the rule that matched. `reads_request` says that the request's body must be read
    before anything is forwarded, `may_read_response` that some response to it would be read.
    `may_open_response` says that of one that would be opened. `varies` are the request headers that
    bind what a response holds. A rule that only `observes`
    stands there, and the message passes as if there were none. `overridable`: with another method,
    another rule would take the request, and one that must not be gone around. `pattern` is the one
    of the rule's that took it. `ruled`: a rule in force takes requests to this path, with some
    method. `for_caller`: what it answers depends on who asks. `other` is what the request must not
    hold since none reads it, `takes_no_body`: that is a body. `tagged` is there where some rule of
    the table indexes, so that any answer may have tags: the names of members that hold them.
    """

    __slots__ = (
        "_views",
        "captures",
        "compiled_rule",
        "for_caller",
        "may_open_response",
        "may_read_response",
        "observes",
        "other",
        "overridable",
        "pattern",
        "reads_request",
        "rule",
        "ruled",
        "tagged",
        "takes_no_body",
        "varies",
    )

    def __init__(  # noqa: PLR0913 - what was decided, most by name
        self,
        compiled_rule: CompiledRule | None,
        captures: Mapping[str, str] = MappingProxyType({}),
        *,
        observes: CompiledRule | None = None,
        overridable: bool = False,
        pattern: Pattern | None = None,
        ruled: bool = False,
        other: OtherMethod | None = None,
        tagged: frozenset[str] | None = None,
    ) -> None:
        """Draw from the rule what every message asks."""
        self.pattern = pattern
        self.ruled = ruled or compiled_rule is not None
        self.other = other
        self.tagged = tagged
        unread = compiled_rule is not None and compiled_rule.takes_no_body
        self.takes_no_body = unread or other is not None
        self.overridable = overridable
        self.compiled_rule = compiled_rule
        self.captures = captures
        self.observes = observes
        named = compiled_rule or observes
        self.rule = named.rule if named else None
        self.reads_request = bool(compiled_rule and compiled_rule.request)
        reads = bool(compiled_rule and compiled_rule.response)
        self.may_read_response = reads or tagged is not None
        self.may_open_response = bool(compiled_rule and compiled_rule.opens_response)
        self.varies = compiled_rule.varies if compiled_rule else ()
        self.for_caller = compiled_rule is not None and compiled_rule.by_caller
        self._views: dict[str, Decision] = {}

    def seen_by(self, caller: str) -> Decision:
        """Return the decision as a caller meets it, by its name; the same where all are alike.

        A name that no caller has is anyone's.
        """
        compiled = self.compiled_rule
        if compiled is None or not compiled.views:
            return self
        caller = caller if caller in compiled.views else ANYONE
        seen = self._views.get(caller)
        if seen is None:
            view = compiled.views[caller]
            unseen = view.access is not None and view.access.unseen
            seen = self._views[caller] = Decision(
                view,
                self.captures,
                overridable=self.overridable or unseen,  # a form may ask for a PUT
                pattern=self.pattern,
                other=self.other,
                tagged=self.tagged,
            )
        return seen


class RuleTable:
    """The rules of one listener. The first match wins.

    `end_to_end` tells whether some rule takes keys from key packages, `joins` whether some rule
    that does not only observe binds values to joined names. `raised` is this table as if the rules
    that only observe enforced, None where there are none.
    """

    __slots__ = ("_enforced", "_remembered", "_routes", "end_to_end", "raised", "rules")

    def __init__(self, rules: tuple[Rule, ...], *, pass_unmatched: bool) -> None:
        """Build the route table of `rules`; unmatched requests pass or are rejected."""
        sealed = frozenset(sealed_fields(one for one in rules if not one.observes))
        self.rules = tuple(_compile_all(rules, sealed))
        blocks = [block for rule in rules for block in rule.blocks]
        self.end_to_end = any(item.parties for one in blocks for item in one.items)
        table = RouteTable(
            [(index, pattern) for index, rule in enumerate(rules) for pattern in rule.patterns]
        )
        # Rules that only observe take part in no refusal.
        self._enforced = table
        self.raised: RuleTable | None = None
        if any(rule.observes for rule in rules):
            self.raised = RuleTable(
                tuple(replace(rule, observes=False) for rule in rules),
                pass_unmatched=pass_unmatched,
            )
            self._enforced = RouteTable(
                [
                    (index, pattern)
                    for index, rule in enumerate(rules)
                    for pattern in rule.patterns
                    if not rule.observes
                ]
            )
        named = (pattern.methods for rule in rules for pattern in rule.patterns)
        methods = frozenset({"PUT"}.union(*named)) - {_OVERRIDDEN}
        others = OtherMethods(rules, [one.query for one in self.rules])
        self._routes = _Routes(
            self.rules, table, self._enforced, methods, others, _tagged(rules), pass_unmatched
        )
        # What remembers must not hold this table: the cycle would keep it long after a reload.
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._routes.decide)

    def decide(self, method: str, path: CanonicalPath, *, websocket: bool = False) -> Decision:
        """Return the decision for a request, before its body is read.

        `websocket` marks an upgrade request. Raises RejectedByRule where the configuration says no,
        AmbiguousRequest where the path can be read in more than one way.
        """
        short = len(path.text) + len(method) <= KEPT_PATH_CHARS  # clients choose both
        decide = self._remembered if short else self._routes.decide
        return decide(method, path, websocket)

    def rules_path(self, path: CanonicalPath) -> bool:
        """Return whether a rule in force takes requests to this path, be it in a laxer reading."""
        return bool(self._enforced.at(path).patterns())

    def preflight(self, asked: str, path: CanonicalPath) -> Decision | None:
        """Return the decision for what a browser asks before it sends a request with a method.

        None where a rule takes OPTIONS by its name, or where none takes what is to come.
        """
        return self._routes.preflight(asked, path)


class _Routes(NamedTuple):
    """The rules by their routes; `methods` are those that a field may ask for in place of POST."""

    rules: tuple[CompiledRule, ...]
    table: RouteTable
    enforced: RouteTable
    methods: frozenset[str]
    others: OtherMethods
    tagged: frozenset[str] | None
    pass_unmatched: bool

    def preflight(self, asked: str, path: CanonicalPath) -> Decision | None:
        reached, enforced = self._at(path)
        found = _found(reached, enforced, "OPTIONS")
        if found is not None and found[1].methods:
            return None
        taken = enforced.first(asked)
        if taken is None:
            return None
        other = self.others.preflight(enforced.patterns(), taken[0])
        if other is None:
            return None
        return Decision(None, ruled=True, other=other, tagged=self.tagged)

    def decide(
        self,
        method: str,
        path: CanonicalPath,
        websocket: bool,  # noqa: FBT001 - of a function with a cache
    ) -> Decision:
        reached, enforced = self._at(path)
        found = _found(reached, enforced, method, websocket=websocket)
        overridable = self._overridable(method, reached, None if found is None else found[0])
        if found is None:
            ruled = enforced.patterns()
            other = self.others.at(ruled, None)
            if websocket and (other is not None or enforced.first(method) is not None):
                # A handshake must not carry messages around the rules of its route.
                raise RejectedByRule("upgrade-on-ruled-route")
            if not self.pass_unmatched:
                raise RejectedByRule("no-rule")
            return Decision(
                None, overridable=overridable, ruled=bool(ruled), other=other, tagged=self.tagged
            )
        index, pattern = found
        compiled_rule = self.rules[index]
        captures = MappingProxyType(pattern.captures(path))
        if compiled_rule.rule.observes:
            ruled = enforced.patterns()
            other = self.others.at(ruled, None)
            if websocket and other is not None:  # as above: no rule in force reads its messages
                raise RejectedByRule("upgrade-on-ruled-route")
            return Decision(
                None,
                captures,
                observes=compiled_rule,
                overridable=overridable,
                pattern=pattern,
                ruled=bool(ruled),
                other=other,
                tagged=self.tagged,
            )
        if compiled_rule.rule.request is Verdict.REJECT:
            raise _rejected(compiled_rule.rule.name)
        other = None
        if not compiled_rule.takes_no_body and not self.others.closes(index):
            other = self.others.at(enforced.patterns(), (index, pattern))
        return Decision(
            compiled_rule,
            captures,
            overridable=overridable,
            pattern=pattern,
            other=other,
            tagged=self.tagged,
        )

    def _at(self, path: CanonicalPath) -> tuple[Reached, Reached]:
        """Return what all rules have at a path, and what those that are in force have."""
        enforced = self.enforced.at(path)
        if self.enforced is self.table:
            return enforced, enforced
        try:
            return self.table.at(path), enforced
        except AmbiguousRequest:  # by names with dots in rules that only observe
            return enforced, enforced

    def _overridable(self, method: str, reached: Reached, taking: int | None) -> bool:
        if method != _OVERRIDDEN:
            return False
        takers = reached.takers(self.methods)
        return any(one != taking and self.rules[one].guards for one in takers)


def _found(
    reached: Reached, enforced: Reached, method: str, *, websocket: bool = False
) -> tuple[int, Pattern] | None:
    """Return the first match; raise AmbiguousRequest where rules that are in force disagree."""
    try:
        return reached.first(method, websocket=websocket)
    except AmbiguousRequest:
        return enforced.first(method, websocket=websocket)


def _rejected(rule: str) -> RejectedByRule:
    """Return the refusal of a rule: who raises it has no name for it, so that no cycle is made."""
    refusal = RejectedByRule("rule-rejects")
    refusal.rule = rule
    return refusal


def _tagged(rules: Sequence[Rule]) -> frozenset[str] | None:
    """Return the members in which rules in force keep tags; None where they make none.

    Those that only search have answers with tags as well.
    """
    in_force = [rule for rule in rules if not rule.observes]
    items = [item for rule in in_force for item in rule.indexed]
    members = frozenset(item.tags_member for item in items if item.tags_member is not None)
    tagged = items or any(block.search for rule in in_force for block in rule.blocks)
    return members if tagged else None


def _compile_all(rules: Sequence[Rule], sealed: frozenset[str]) -> Iterator[CompiledRule]:
    """Yield each rule compiled, with its views by the names of callers; equal ones are one."""
    if not any(one.callers for one in rules):
        yield from (_compile(one, sealed) for one in rules)
        return
    from .views import returns, view, viewers  # noqa: PLC0415 - as above

    callers = {name for rule in rules for name in viewers(rule)}
    back = {name: returns(rules, name) for name in callers}
    for rule in rules:
        known: dict[tuple[Rule, CallerAccess | None], CompiledRule] = {}
        views: dict[str, CompiledRule] = {}
        for name in viewers(rule):
            seen, access = both = view(rule, name, back[name])
            if both not in known:
                known[both] = replace(_compile(seen, sealed), access=access)
            views[name] = known[both]
        yield replace(_compile(rule, sealed), views=views)


def _compile(rule: Rule, sealed: frozenset[str]) -> CompiledRule:
    response = _compiled(rule, rule.blocks_of("response"), "response")
    keeps = tuple(_kept_names(rule, response))
    blocks = rule.blocks_of("request")
    if not blocks and keeps:
        # The response's names are in the request's body: read it, change nothing.
        allowed = all(one.block.elsewhere_allowed for one in response)
        others: Others = "pass" if rule.query is None else "refuse"
        blocks = (Block(elsewhere_allowed=allowed, others=others, query=rule.query),)
    request = _compiled(rule, blocks, "request", keeps)
    several = len(request) > 1 or any(one.when for one in request)
    if several and any(one.in_head for one in request):
        # Without a body the first block would be taken, and what the others select would pass.
        raise InvalidExpression("`query:` and `header:` stand in a rule's only block")
    if any(one.block.search for one in request):
        for one in response:
            one.flat = None  # what answers repeat of a search is looked for
    several = len(response) > 1 or any(one.when for one in response)
    if several and any(one.traits.changes_head for one in response):
        raise InvalidExpression("`header:` stands in the only block of responses")
    if any(one.websocket for one in rule.patterns):
        _refuse_misfits(request, response, keeps)
    by_caller = rule.by_caller
    varies = tuple(sorted({*_varies(response), *(rule.deciding if by_caller else ())}))
    return CompiledRule(
        rule,
        request,
        response,
        varies,
        seals_response=any(one.block.encrypt for one in response),
        opens_response=any(one.block.decrypt for one in response),
        by_caller=by_caller,
        names=_of_head((*request, *response)),
        query=closed_query(rule, sealed),
        headers=closed_headers(rule),
        asks={
            ask: part
            for one in (*request, *response)
            for part, source in one.sources.items()
            if one.needs(part)
            for ask in ask_sources(source)
        },
    )


def _compiled(
    rule: Rule, blocks: tuple[Block, ...], direction: Direction, keeps: tuple[JsonSource, ...] = ()
) -> CompiledBlocks:
    return tuple(
        CompiledBlock(one, rule.names, direction, keeps=keeps, shape=shape)
        for one in blocks
        for shape in shapes(one)
    )


def _of_head(compiled_blocks: CompiledBlocks) -> NamesOfHead | None:
    """Return what reads the names in the head of a rule's requests; None where it has none."""
    names = tuple(_names_of_head(compiled_blocks))
    if not names:
        return None
    allowed = all(one.block.elsewhere_allowed for one in compiled_blocks)
    sources = {
        one.sources[part] for one in compiled_blocks for part in one.sources if one.needs(part)
    }
    replaced = any(isinstance(one, FirstSource) for one in sources)
    ignored = all(one.block.cookies_ignored for one in compiled_blocks)
    return NamesOfHead(names, replaced=replaced, elsewhere_allowed=allowed, cookies_ignored=ignored)


def _names_of_head(compiled_blocks: CompiledBlocks) -> Iterator[NameSource]:
    """Yield the names outside of bodies that bind a value, those that are constant aside."""
    for one in compiled_blocks:
        for part, source in one.sources.items():
            if one.needs(part):
                yield from (name for name in name_sources(source) if name.place != "const")


def _refuse_misfits(
    request: CompiledBlocks, response: CompiledBlocks, keeps: tuple[JsonSource, ...]
) -> None:
    """Raise InvalidExpression for what the messages of a WebSocket do not have."""
    if keeps:
        raise InvalidExpression("a WebSocket has no one request to keep a name from")
    named = (source for one in (*request, *response) for source in one.sources.values())
    if any(True for source in named for _ in ask_sources(source)):
        raise InvalidExpression("a WebSocket outlives a name that the backend was asked for")
    if any(one.traits.changes_head for one in response) or any(
        one.in_head or one.selects_names for one in (*request, *response)
    ):
        raise InvalidExpression("no message of a WebSocket has pairs, parts or headers")


def _varies(response: CompiledBlocks) -> Iterator[bytes]:
    """Yield the headers with names that bind a value of a response."""
    for one in response:
        for part, source in one.sources.items():
            if one.needs(part):
                for name in name_sources(source):
                    if name.place == "header":
                        yield name.name.title().encode()
                    elif name.place in {"jwt-unverified", "caller"}:
                        yield b"Authorization"
                if any(True for _ in ask_sources(source)):
                    yield from (b"Authorization", b"Cookie")


def _kept_names(rule: Rule, response: CompiledBlocks) -> Iterator[JsonSource]:
    """Yield the names in the request's body that an answer needs."""
    for part in NAMED_PARTS:
        if any(part not in one.from_message and one.needs(part) for one in response):
            yield from json_sources(giving(rule.names.get(part)))

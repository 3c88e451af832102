"""From elements of a list to the messages that write them back, by the rules of the sidecar.

The rule of the write says which values are sealed, in which form and for which context: each is
sealed as the sidecar would seal it, so the message is the one that it would send.
The rule of the list says what opens. A token that only this rule opens is `former`: no rule would
seal it where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from ...core.compiled.rule_table import Decision, RuleTable
from ...core.compiled.views import OPERATOR
from ...core.crypto.context import Context
from ...core.crypto.token import CTY_JSON, Form, Token, without_tags
from ...core.errors import TrafficError, UnfitValue
from ...core.formats.embedded_tokens import FoundToken, around
from ...core.http.message import Headers, RequestHead, ResponseHead
from ...core.http.path import canonical
from ...core.planning.asked import name_in
from ...core.planning.block_choice import choose_response
from ...core.planning.exchange import Exchange
from ...core.planning.plan import Plan
from ...core.transform import plan_request, plan_response
from ...core.values.carry_out import CarriedOut
from ...core.values.hows import How, Open, Seal, Span
from ...core.values.key_needs import KeysInUse
from ...core.values.sealing import fitting
from ...core.values.table import Values, lookup, splice, token_in
from ...keys.sessions.sessions import Sessions
from ..job.collections import HttpCollection
from ..job.model import DEFAULT_ROWS, Verb
from .cells import Stored
from .sealing import RunSessions
from .states import Outcome
from .tag_members import EMPTY, NONE, TagsHolder, holder_of, taken_out
from .treatment import ChangedValue, Key, StoredRow, Treated
from .value_treatment import Opened, Value, ValueTreatment, token_of
from .write_body import WriteBody, write_body

if TYPE_CHECKING:  # loaded with rules that have an index
    from ...core.search.model import FieldIndex
    from ...core.search.tags import IndexKeys

_OK: Final = 200


class ListedRow(NamedTuple):
    """What a row of a collection is made of: where it is written, and where it was listed.

    `before` and `behind` are what is around the elements in the answer of type `media_type`.
    """

    address: str
    listed: str
    media_type: str
    element: bytes
    before: bytes
    behind: bytes

    def row(self, key: Key) -> StoredRow:
        """Return it as a row."""
        names, cells = (self.address, self.listed, self.media_type), self[3:]
        return StoredRow(key, names, cells)

    @classmethod
    def of(cls, row: StoredRow) -> ListedRow:
        """Return what a row is made of."""
        return cls(*row.names, *row.cells)  # type: ignore[arg-type]  # what `row` made


Changes = Sequence[Span]
"""What changes in the body of a write for one value, members of tags aside."""


class _Found(NamedTuple):
    """A value of a message: its label, and the row that is for it.

    A change by the row is `shift` bytes behind in the body; None: the body does not have it. The
    tokens within a value that is `parted` are values of their own.
    """

    label: int
    value: Value
    row: Values
    shift: int | None = 0
    parted: bool = False

    @property
    def how(self) -> How:
        """How the value is treated."""
        return self.row.hows[0]


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes one value anew, as the rules do."""

    found: _Found
    keys: KeysInUse
    now: float
    lookalikes: bool
    holder: TagsHolder | None = None

    @property
    def form(self) -> Form:
        """The wire form that the rule of the write says."""
        how = self.found.how
        return how.item.form if isinstance(how, Seal) else "jwe"

    def seal(self, value: Stored, _: Context, keys: KeysInUse, exp: int | None) -> Changes:
        """Return the change that the sidecar would make; its rule says when the value ends."""
        how, row = self.found.how, self.found.row
        assert isinstance(how, Seal)  # noqa: S101 - others have no context to be sealed for
        if exp is not None:
            raise UnfitValue("token-ends")
        start, end = row.starts[0], row.ends[0]
        if how.between and value.is_json:
            how = how._replace(between=False, quoted=True)
            start, end = _span(row, 0)
        cty = CTY_JSON if value.is_json else None
        alone = Values()
        alone.add(how, row.contexts[0], start, end, value.text, cty)
        sealed = self._changed(alone)
        if self.holder is not None:
            from ...core.search import tags  # noqa: PLC0415 - loaded with rules that have an index

            item, scope = how.item, cast("Context", row.contexts[0]).scope
            text, index = fitting(item, value.text, cty), cast("FieldIndex", item.index)
            made = tags.of_value(index, keys.keys.standing.index, scope, item.field, text)
            self.holder.raw = b'"%b"' % tags.listed(made).encode()
        return (sealed,)

    def open(self, opened: Opened) -> Changes:
        """Return the change to what was sealed; one that a page must not have is none."""
        found = self.found
        row, how = found.row, found.how
        if isinstance(how, Seal):
            opening = Open(how.block, "json", None, spells=how.spells)
            context, text = found.value.contexts[opened.at], found.value.stored.string
            start, end = _span(row, 0)
            row = Values()
            row.add(opening, context, start, end, lookup(text))
        if found.shift is None:
            raise UnfitValue("not-written")
        start, end, text = self._changed(row)
        if self.holder is not None and self.holder.raw not in NONE:
            self.holder.raw = EMPTY
        return ((start + found.shift, end + found.shift, text),)

    def tagged(
        self, value: Stored, opened: Opened | None, keys: Sequence[IndexKeys], verb: Verb
    ) -> Changes | None:
        """Return the change of a token with other tags than its rule asks for; None for none."""
        how, row = self.found.how, self.found.row
        if not isinstance(how, Seal) or how.item.index is None:
            return None
        if verb == "verify" and opened is None:
            return None
        from ...core.search import tags  # noqa: PLC0415 - loaded with rules that have an index

        found, item = list[str](), how.item
        if opened is not None and verb != "drop-index":
            if opened.text.is_json:
                raise UnfitValue("not-a-string")
            scope, text = opened.context.scope, opened.text.text
            found = tags.of_value(how.item.index, keys, scope, item.field, text)
        if item.tags_member is not None:
            return self._beside(tags.listed(found).encode(), verb)
        had, new = value.string, without_tags(value.string)
        if found:
            new = tags.within(item.max_chars, tags.behind(new.decode(), found), item.field)
        if new == had:
            return None
        for spell in how.spells:
            new = spell(new)
        return ((row.starts[0], row.ends[0], new),)

    def _beside(self, tags: bytes, verb: Verb) -> Changes | None:
        """Change the member beside a token; return None where it is as it is to be."""
        holder, raw = self.holder, b'"%b"' % tags
        if holder is None:
            raise UnfitValue("tags-in-a-member")
        if raw == holder.raw or (verb == "drop-index" and holder.raw in NONE):
            return None
        if verb != "verify":
            holder.raw = raw
        return ()

    def _changed(self, row: Values) -> Span:
        """Return what a row comes to; raise as that does, or UnfitValue where it stays."""
        done = CarriedOut(row, self.keys.keys, self.now)
        if done.failed is not None:
            raise done.failed
        (text,) = done.texts
        if text is None:
            raise UnfitValue("not-written")
        return row.starts[0], row.ends[0], text


_Read = tuple[WriteBody, list[_Found], list[TagsHolder]]


class RuleTreatment:
    """Treats the elements of a collection with a verb. `plan` is `seal`, without writing.

    `headers` are those of every request.
    """

    def __init__(  # noqa: PLR0913 - the rules, the job, and how
        self,
        rules: RuleTable,
        headers: Headers,
        collection: HttpCollection,
        *,
        verb: Verb,
        sessions: Sessions,
        sealing: RunSessions,
        only: str | None = None,
    ) -> None:
        """Begin with the rules of a listener; `only` is as of `ValueTreatment`."""
        self._rules = rules
        self._headers = headers
        self._type = (b"Content-Type", collection.media_type.encode())
        self._collection = collection
        self._labels = {one: at for at, one in enumerate(collection.labels)}
        self._verb = verb
        self._values = ValueTreatment(verb, sessions, sealing, only)

    async def treat(self, rows: Sequence[StoredRow]) -> list[Treated]:
        """Return what each element is and is to be.

        Raises KeyUnavailable where an ephemeral session must be asked for and the store fails.
        """
        treated: list[Treated] = []
        for at in range(0, len(rows), DEFAULT_ROWS):
            some = rows[at : at + DEFAULT_ROWS]
            read = [self._read(ListedRow.of(row)) for row in some]
            found = [
                one.value
                for message in read
                if not isinstance(message, Outcome)
                for one in message[1]
            ]
            keys, now = await self._values.keys(found), self._values.now()
            treated += [
                self._treated(row, message, keys, now)
                for row, message in zip(some, read, strict=True)
            ]
        return treated

    def _read(self, row: ListedRow) -> _Read | Outcome:
        """Return the body of the write and its values, or why there is none."""
        try:
            exchange = self._writing(row)
            rule = exchange.decision.rule
            body, holders = write_body(self._collection, row.element), list[TagsHolder]()
            if rule is not None and any(one.tags_member is not None for one in rule.indexed):
                body, holders = taken_out(body, rule.indexed)
            plan = plan_request(exchange, body.text)
            reads = self._read_plan(row)
        except TrafficError as error:
            return Outcome("unfit", "", error.reason)
        return body, self._found(row, body, plan, reads), holders

    def _writing(self, row: ListedRow) -> Exchange:
        method, headers = self._collection.write.method, (*self._headers, self._type)
        exchange = self._exchange(RequestHead(method, row.address, None, headers))
        for source in exchange.asks:  # the backend has told it with the list
            exchange.asked[source] = name_in(source, row.element)
        return exchange

    def _read_plan(self, row: ListedRow) -> Plan | None:
        """Return what the rule of the list does to an answer that has this element alone."""
        path, _, query = row.listed.partition("?")
        exchange = self._exchange(RequestHead("GET", path, query or None, self._headers))
        head = ResponseHead(_OK, b"", ((b"Content-Type", row.media_type.encode()),))
        compiled = choose_response(exchange, head)
        if compiled is None:
            return None
        answer = b"".join((row.before, row.element, row.behind))
        return plan_response(exchange, compiled, head, answer, cuts=False)

    def _exchange(self, head: RequestHead) -> Exchange:
        """Return an exchange under the rule that takes a request, be it in mode `observe`."""
        decision = self._rules.decide(head.method, canonical(head.path))
        rule = decision.compiled_rule or decision.observes
        return Exchange(Decision(rule, decision.captures).seen_by(OPERATOR), head)

    def _found(
        self, row: ListedRow, body: WriteBody, plan: Plan, reads: Plan | None
    ) -> list[_Found]:
        """Return what the write seals, and tokens elsewhere that only the list's rule opens."""
        opening = list(_opening(row, reads))
        found: list[_Found] = []
        inside: set[int] = set()
        values = plan.values
        for number, how in enumerate(values.hows):
            text = values.what[number]
            if not isinstance(how, Seal) or not isinstance(text, bytes) or number in values.heads:
                continue
            stored = Stored(text, is_json=values.ctys[number] is not None)
            token, (start, end) = token_of(stored), _span(values, number)
            mine = [
                at
                for at, one in enumerate(opening)
                if (shift := body.shift(one.start, one.end)) is not None
                and start <= one.start + shift
                and one.end + shift <= end
            ]
            contexts: tuple[Context | None, ...] = (values.contexts[number],)
            parted = token is None and self._verb == "open" and bool(mine)
            if not parted:
                inside.update(mine)
            if token is not None:
                contexts += tuple(opening[at].row.contexts[0] for at in mine)
            label = self._labels[f"{self._collection.name} {how.item.selector.text}"]  # type: ignore[union-attr]  # the reader lets none but JSON selectors pass
            value = Value(stored, token, contexts)
            found.append(_Found(label, value, values.only(number), parted=parted))
        return found + [
            self._elsewhere(row, body, one) for at, one in enumerate(opening) if at not in inside
        ]

    def _elsewhere(self, row: ListedRow, body: WriteBody, one: _Opening) -> _Found:
        stored = Stored(row.element[one.start : one.end].strip(b'"'))
        value = Value(stored, one.token, (None, one.row.contexts[0]))
        shift = body.shift(one.start, one.end)
        shift = None if shift is None else shift - len(row.before)
        return _Found(len(self._labels) - 1, value, one.row, shift)

    def _treated(
        self,
        row: StoredRow,
        read: _Read | Outcome,
        keys: KeysInUse,
        now: float,
    ) -> Treated:
        made = Treated(row)
        if isinstance(read, Outcome):
            made.kept.append((0, read))
            return made
        body, values, holders = read
        changes: list[Span] = []
        for one in values:
            how, holder = one.row.hows[0], None
            if holders and isinstance(how, Seal):
                holder = holder_of(
                    holders, how.item.tags_member, one.row.starts[0], one.row.ends[0]
                )
            writer = _Writer(one, keys, now, self._collection.lookalikes, holder)
            before, after, change = self._values.treat(writer, one.value, keys, now)
            if change is None:
                before = before._replace(reason="") if one.parted else before
                made.kept.append((one.label, _read_by_clients(one.value, before)))
            else:
                made.changed.append(ChangedValue(one.label, before, after))
                changes += change
        if made.changed:
            changes += [span for one in holders for span in one.put_in()]
        made.cells.append(splice(body.text, sorted(changes)) if changes else None)
        return made


def _read_by_clients(value: Value, outcome: Outcome) -> Outcome:
    """Return an outcome; a token that the rule of the list does not open is not where it should."""
    current, *others = value.contexts
    if outcome.state == "sealed" and current not in others:
        return Outcome("misplaced", outcome.kek, "not-read")
    return outcome


class _Opening(NamedTuple):
    """A token that the rule of the list opens, by where it is in the element."""

    start: int
    end: int
    token: Token
    row: Values


def _opening(row: ListedRow, plan: Plan | None) -> list[_Opening]:
    if plan is None:
        return []
    first, last = len(row.before), len(row.before) + len(row.element)
    found: list[_Opening] = []
    values = plan.values
    for at, how in enumerate(values.hows):
        token = token_in(values.what[at])
        if isinstance(how, Open) and token is not None and at not in values.heads:
            start, end = _span(values, at)
            if first <= start and end <= last:
                found.append(_Opening(start - first, end - first, token, values.only(at)))
    return found


def _span(values: Values, row: int) -> tuple[int, int]:
    """Return where a value, or a token in a text, begins and ends in the body."""
    what, (start, end) = values.what[row], values.span(row)
    if isinstance(what, FoundToken):
        before, behind = around(what)
        return start + before, end - behind
    return start, end

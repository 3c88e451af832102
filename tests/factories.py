"""Builders of what most tests need: rules, messages, sessions, and the keys a plan asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Scope
from proxy.core.crypto.derivation import session_key
from proxy.core.crypto.secret import IndexSecret, Kek, SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.crypto.token import Form, KeyId
from proxy.core.errors import IndexIncomplete, MessageError
from proxy.core.expressions import routes
from proxy.core.expressions.selectors import JsonSelector, parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.body_format import Kind
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.block_choice import choose_response
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.plan import Plan, Step
from proxy.core.planning.treatment import StreamBody, StreamRecords, treat_request
from proxy.core.rules.model import Behaviour, Block, Item, Names, Others, Part, Rule, Verdict
from proxy.core.search.tags import IndexKeys
from proxy.core.transform import Applied, apply, plan_request, plan_response
from proxy.core.values.key_needs import Keys, Needs, Unrevoked

if TYPE_CHECKING:  # what tests the core alone does not load the log
    from proxy.telemetry.logs.access_line import MessageLine

NOW = 1_800_000_000
KEK = Kek(bytes(range(32)))
KEK_ID = "k1"
KEK_NUMBER = 1
EPHEMERAL_KEY = SessionKey(bytes(range(32, 64)))
SCOPE = Scope("clinic", "c1")
USUAL_PARTS: frozenset[Part] = frozenset({"tenant", "conversation", "field"})
USUAL_NAMES = Names(
    tenant=parse_source("const:clinic"), conversation=parse_source("$.conversationId")
)
INDEX_KEYS = IndexKeys(IndexSecret(b"i" * 32), 1)
JSON_TYPE = ((b"Content-Type", b"application/json"),)


def a_sid(number: int = 0) -> bytes:
    """Return a session id that began ten minutes before NOW."""
    return (NOW - 600).to_bytes(4) + number.to_bytes(8)


def a_session(
    scope: Scope = SCOPE, *, sid: bytes | None = None, ephemeral: bool = False
) -> Session:
    """Return a session of the one KEK, or one with a random key that the store would hold."""
    sid = sid or a_sid()
    if ephemeral:
        return Session(EPHEMERAL_KEY, sid=sid, scope=scope)
    return Session(
        session_key(KEK, sid, scope), sid=sid, scope=scope, kek_id=KEK_ID, kek_number=KEK_NUMBER
    )


def forged(token: str) -> str:
    """Return a token in the form `jwe` with another tag, which is spelled as canonically."""
    return token[:-1] + ("A" if token[-1] != "A" else "Q")


def keys_for(needs: Needs, *, ephemeral: bool = False) -> Keys:
    """Return what the keys would answer if nothing but the KEK `k1` were known."""
    sealing = {scope: a_session(scope, ephemeral=ephemeral) for scope in needs.seals}
    opening: dict[tuple[Scope, KeyId], Session] = {
        (scope, key_id): a_session(scope, sid=key_id.sid, ephemeral=_is_ephemeral(key_id))
        for scope, key_id in needs.opens
        if _is_ephemeral(key_id) or key_id.kek_id == KEK_ID or key_id.kek_number == KEK_NUMBER
        if key_id.sid
    }
    for scope, key_id in needs.opens:
        if not key_id.sid:
            opening[scope, key_id] = INDEX_KEYS.equal(scope)
    return Keys(sealing, opening, standing=Indexing())


class Indexing(Unrevoked):
    """Of sessions that nobody revokes, with the one index secret."""

    @property
    def index(self) -> tuple[IndexKeys, ...]:
        return (INDEX_KEYS,)

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        if seeks:
            raise IndexIncomplete("being-sealed-anew")
        return INDEX_KEYS.equal(scope)


def _is_ephemeral(key_id: KeyId) -> bool:
    return key_id.kek_id is None and key_id.kek_number is None


def an_item(
    selector: str,
    *,
    field: str | None = None,
    bind: Iterable[Part] = USUAL_PARTS,
    form: Form = "jwe",
    max_chars: int | None = None,
    min_chars: int | None = None,
    optional: bool = False,
    purpose: str | None = None,
) -> Item:
    """Return an item; its field is the selector's last member name unless given."""
    parsed = parse_selector(selector)
    if field is None:
        named = parsed.field if isinstance(parsed, JsonSelector) else None
        field = named or selector
    return Item(
        parsed,
        field,
        frozenset(bind),
        form,
        max_chars,
        min_chars=min_chars,
        optional=optional,
        purpose=purpose,
    )


def items(*selectors: str | Item) -> tuple[Item, ...]:
    """Return items, `optional $.x` among them."""
    return tuple(
        one
        if isinstance(one, Item)
        else an_item(one.removeprefix("optional "), optional=one.startswith("optional "))
        for one in selectors
    )


def a_block(
    *,
    encrypt: Iterable[str | Item] = (),
    decrypt: Iterable[str | Item] = (),
    plain: Iterable[str] | None = None,
    others: Others = "refuse",
    names: Names | None = None,
    types: tuple[str, ...] = (),
    statuses: tuple[tuple[int, int], ...] = (),
) -> Block:
    """Return a block; what is rarer is set with dataclasses.replace.

    It is closed where `plain` lists something, be it nothing.
    """
    closed = {} if plain is None else closing(plain, others)
    return Block(
        encrypt=items(*encrypt),
        decrypt=items(*decrypt),
        names=names or Names(),
        types=types,
        statuses=statuses,
        **closed,
    )


def closing(plain: Iterable[str] = (), others: Others = "refuse") -> dict[str, Any]:
    """Return what closes a block that lists these places, and no name of a query."""
    rest = an_item("$", field="$")
    selectors = tuple(map(parse_selector, plain))
    return {"plain": selectors, "others": others, "rest": rest, "query": frozenset[str]()}


def a_rule(
    *patterns: str,
    request: Behaviour | Block = Verdict.PASS,
    response: Behaviour | Block = Verdict.PASS,
    names: Names = USUAL_NAMES,
    name: str = "rule",
) -> Rule:
    """Return a rule for `POST /api/messages` unless other patterns are given."""
    return Rule(
        name=name,
        patterns=tuple(routes.parse_pattern(one) for one in patterns or ("POST /api/messages",)),
        names=names,
        request=(request,) if isinstance(request, Block) else request,
        response=(response,) if isinstance(response, Block) else response,
    )


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it comes: its head and its whole body."""

    head: RequestHead
    body: bytes


def a_message(
    body: bytes | str = b'{"conversationId":"c1","content":"hello"}',
    *,
    method: str = "POST",
    target: str = "/api/messages",
    headers: Headers = JSON_TYPE,
) -> Message:
    """Return a request to the route of `a_rule`."""
    path, mark, query = target.partition("?")
    head = RequestHead(method, canonical(path).text, query if mark else None, headers)
    return Message(head, body.encode() if isinstance(body, str) else body)


def a_response(status: int = 200, headers: Headers = JSON_TYPE) -> ResponseHead:
    """Return the head of a response."""
    return ResponseHead(status, b"OK", headers)


@dataclass(slots=True)
class Trip:
    """One request on its way through the rules, and its answer."""

    rules: tuple[Rule, ...]
    message: Message
    now: float = NOW
    ephemeral: bool = False
    exchange: Exchange = field(init=False)

    def __post_init__(self) -> None:
        """Decide."""
        head = self.message.head
        book = RuleTable(self.rules, pass_unmatched=True)
        self.exchange = Exchange(book.decide(head.method, canonical(head.path)), head)

    def request(self) -> Applied:
        """Return what becomes of the request."""
        plan = plan_request(self.exchange, self.message.body)
        return apply(plan, keys_for(plan.needs, ephemeral=self.ephemeral), self.now)

    def response(self, body: bytes | str, head: ResponseHead | None = None) -> Applied | None:
        """Return what becomes of a response, or None where it passes unread."""
        head = head or a_response()
        compiled = choose_response(self.exchange, head)
        if compiled is None:
            return None
        body = body.encode() if isinstance(body, str) else body
        plan = plan_response(self.exchange, compiled, head, body)
        return apply(plan, keys_for(plan.needs), self.now)


def flowing_request(exchange: Exchange, length: int | None, limit: int) -> CompiledBlock | None:
    """Return the block that changes a request's body while it passes, if one does."""
    treatment = treat_request(exchange, length, limit)
    return treatment.block if isinstance(treatment, StreamBody) else None


def streaming_request(
    exchange: Exchange, length: int | None, limit: int
) -> tuple[CompiledBlock, Kind] | None:
    """Return the block that takes a request record by record, and their kind, if one does."""
    treatment = treat_request(exchange, length, limit)
    return (treatment.block, treatment.kind) if isinstance(treatment, StreamRecords) else None


def streamed(steps: Iterable[Step]) -> Iterator[bytes]:
    """Yield what becomes of the steps of a stream, as far as it goes; raise what ends it."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
            continue
        assert not isinstance(step, Plan)  # records are planned by whoever has the time
        try:
            plan = step.plan()
            done = None if plan is None else apply(plan, keys_for(plan.needs), NOW).forwardable
        except MessageError:
            halves = step.halves()
            if not halves:
                raise
            yield from streamed(halves)
        else:
            yield (done and done.body) or b""


def send(rule: Rule, message: Message, *, now: float = NOW) -> Applied:
    """Return what becomes of a request under one rule."""
    return Trip((rule,), message, now).request()


def sent(rule: Rule, message: Message, *, now: float = NOW) -> bytes:
    """Return the body of a request after one rule."""
    body = send(rule, message, now=now).forwardable.body
    assert body is not None
    return body


def reply(rule: Rule, body: bytes | str, head: ResponseHead | None = None) -> Applied:
    """Return what becomes of a response to the usual request."""
    trip = Trip((rule,), a_message())
    if trip.exchange.decision.reads_request:
        trip.request()
    applied = trip.response(body, head)
    assert applied is not None
    return applied


def replied(rule: Rule, body: bytes | str, head: ResponseHead | None = None) -> bytes:
    """Return the body of a response to the usual request."""
    answer = reply(rule, body, head).forwardable.body
    assert answer is not None
    return answer


def with_block(rule: Rule, **changes: object) -> Rule:
    """Return the rule with its request's blocks changed."""
    assert isinstance(rule.request, tuple)
    blocks = tuple(replace(block, **changes) for block in rule.request)  # type: ignore[arg-type]  # names of fields
    return replace(rule, request=blocks)


@dataclass
class Ear:
    """A reporter that remembers."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lines: list[MessageLine] = field(default_factory=list)

    def report(self, event: str, **fields: object) -> None:
        self.heard.append((event, fields))

    def messages(self, lines: Sequence[MessageLine]) -> None:
        self.lines.extend(lines)
        self.heard.extend((line.event, line.fields()) for line in lines)

    @property
    def events(self) -> list[str]:
        """The names of what was heard."""
        return [event for event, _ in self.heard]

    def all(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of every event of that name."""
        return [fields for name, fields in self.heard if name == event]

    @property
    def last(self) -> dict[str, Any]:
        return self.heard[-1][1]

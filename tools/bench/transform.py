"""What one message costs between socket and socket: find, seal, splice, and the way back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto import derivation, sealed_stream
from proxy.core.crypto.context import KIND_STREAM, Context, Scope
from proxy.core.crypto.secret import Kek
from proxy.core.crypto.session_cipher import Session
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import Whole, parse_json_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.formats.json import Selection
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.transform import apply, plan_request, plan_response
from proxy.core.values.key_needs import Keys, Needs

from .results import Step
from .timing import measure
from .works import a_message

HEADERS = ((b"Content-Type", b"application/json"),)
KEK = Kek(os.urandom(32))
SID = int(time.time()).to_bytes(4) + os.urandom(8)
BOUND: frozenset[Part] = frozenset({"tenant", "conversation"})


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement: what it is, what it should cost at most (None: no target), what it does."""

    name: str
    target: float | None
    function: Callable[[], object]


def run() -> list[Step]:
    """Measure every case."""
    return [Step(case.name, case.target, measure(case.function)) for case in cases()]


def cases() -> list[Case]:
    """Return what is measured."""
    from . import callers, opens  # noqa: PLC0415 - they build on the tests, which profile.py lacks

    small, large, rows = a_message(1024), a_large_message(1024 * 1024), a_list(50)
    selection = Selection((parse_json_selector("$.content"),))
    return [
        Case("1 KiB: find, seal, splice one field", 20.0, _sealing(selection, small)),
        Case("1 MiB: find, seal, splice one small field at the end", 15_000.0, _last(large)),
        Case("1 MiB: seal as a stream (700 MB/s)", 1_500.0, _framing(large)),
        Case("1 KiB: whole request (plan, cached keys, apply)", None, _request(small)),
        Case("1 KiB: whole response (plan, cached keys, apply)", None, _response(small)),
        Case("list of 50 messages of 256 B: open all (`tokens`)", None, _list(rows)),
        *(Case(*one) for one in callers.cases()),
        Case("audit: a line about a message that opens something", 3.0, opens.audited()),
        Case("match a path", None, lambda: BOOK.decide("POST", canonical("/api/messages"))),
    ]


def a_large_message(size: int) -> bytes:
    """Return a list of messages of that many bytes, with one more field at its end."""
    row = json.loads(a_message(320))
    rows = [row] * (size // (len(json.dumps(row)) + 2))
    return json.dumps({"data": rows, "content": "the last one"}).encode()


def a_list(count: int) -> bytes:
    """Return a list of sealed messages, as a backend would."""
    exchange = _exchange()
    plan = plan_request(exchange, a_message(256))
    sealed = apply(plan, _keys(plan.needs), time.time()).forwardable.body
    return b'{"data": [' + b", ".join([sealed or b""] * count) + b"]}"


def _session(scope: Scope, sid: bytes) -> Session:
    key = derivation.session_key(KEK, sid, scope)
    return Session(key, sid=sid, scope=scope, kek_id="k1", kek_number=1)


def _keys(needs: Needs) -> Keys:
    return Keys(
        {scope: _session(scope, SID) for scope in needs.seals},
        {(scope, key): _session(scope, key.sid) for scope, key in needs.opens},
    )


def _sealing(selection: Selection, body: bytes) -> Callable[[], object]:
    """Return the bare work: no rule, no head, a context at hand."""
    scope = Scope("clinic", "c-1842")
    session = _session(scope, SID)
    context = Context(scope)

    def work() -> bytes:
        (one,) = selection.find(body).found[0]
        token = session.seal(body[one.start + 1 : one.end - 1], context)
        return b'%b"%b"%b' % (body[: one.start], token, body[one.end :])

    return work


def _framing(body: bytes) -> Callable[[], object]:
    """Return the sealing of a whole body as a frame, its head and a key of its own included."""
    scope = Scope("clinic", "c-1842")
    session = _session(scope, SID)
    context = Context(scope, kind=KIND_STREAM)

    def work() -> bytes:
        head, sealer = sealed_stream.begin(session, context, "application/json")
        return b"".join((head, sealer.update(body), sealer.finish()))

    return work


def _last(body: bytes) -> Callable[[], object]:
    return _sealing(Selection((parse_json_selector("$.content"),)), body)


def _request(body: bytes) -> Callable[[], object]:
    exchange = _exchange()
    keys = _keys(plan_request(exchange, body).needs)

    def work() -> object:
        return apply(plan_request(_exchange(), body), keys, 0.0)

    return work


def _response(body: bytes) -> Callable[[], object]:
    exchange = _exchange()
    plan = plan_request(exchange, body)
    sealed = apply(plan, _keys(plan.needs), 0.0).forwardable.body or b""
    return _opening(exchange, sealed, 0)


def _list(body: bytes) -> Callable[[], object]:
    exchange = _exchange()
    plan_request(exchange, a_message(256))
    return _opening(exchange, body, 1)


def _opening(exchange: Exchange, body: bytes, block: int) -> Callable[[], object]:
    head = ResponseHead(200, b"OK", HEADERS)
    compiled_rule = exchange.decision.compiled_rule
    if compiled_rule is None:
        message = "the benchmark's rule matches"
        raise AssertionError(message)
    compiled = compiled_rule.response[block]
    keys = _keys(plan_response(exchange, compiled, head, body).needs)

    def work() -> object:
        return apply(plan_response(exchange, compiled, head, body), keys, time.time())

    return work


def _exchange() -> Exchange:
    head = RequestHead("POST", "/api/messages", None, HEADERS)
    return Exchange(BOOK.decide("POST", PATH), head)


_CONTENT = Item(parse_json_selector("$.content"), "content", BOUND)
RULES = (
    Rule(
        "send",
        (parse_pattern("POST /api/messages"),),
        names=Names(parse_source("const:clinic"), parse_source("$.conversationId")),
        request=(Block(encrypt=(_CONTENT,)),),
        response=(
            Block(decrypt=(_CONTENT,)),
            Block(decrypt=(Item(Whole.TOKENS, "tokens", BOUND),)),
        ),
    ),
)
BOOK = RuleTable(RULES, pass_unmatched=True)
PATH = canonical("/api/messages")

"""A target for messages that two ways can plan: they find the same, or one leaves it."""

from __future__ import annotations

from typing import Final

from proxy.core.compiled.block import CompiledBlock
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.edits.edits import OpenEdit
from proxy.core.errors import InvalidBody, OpenFailed, SealyardError
from proxy.core.expressions import routes, selectors, sources
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.planner import plan_request, plan_response
from proxy.core.rules.model import Block, Item, Names, Part, Rule

_BIND: Final[frozenset[Part]] = frozenset({"tenant", "conversation", "field"})
_JSON: Final[Headers] = ((b"Content-Type", b"application/json"),)
_NAMES: Final = Names(sources.parse_source("const:clinic"), sources.parse_source("$.id"))


def _item(selector: str, *, optional: bool = False) -> Item:
    parsed = selectors.parse_selector(selector)
    field = parsed.field if isinstance(parsed, selectors.JsonSelector) else None
    return Item(parsed, field or selector, _BIND, optional=optional)


def _book() -> RuleTable:
    blocks = Block(
        encrypt=(_item("$.text", optional=True), _item("$.list[*].text", optional=True)),
        decrypt=(_item("$.sealed", optional=True), _item("$.deep.sealed", optional=True)),
    )
    rule = Rule(
        "fuzzed", (routes.parse_pattern("POST /m"),), _NAMES, request=(blocks,), response=(blocks,)
    )
    return RuleTable((rule,), pass_unmatched=True)


_BOTH: Final = (_book(), _book())


def _generally(book: RuleTable) -> None:
    for rule in book.rules:
        for one in (*rule.request, *rule.response):
            one.ordinary = None


_generally(_BOTH[1])


def ordinary(data: bytes) -> None:
    """Both ways plan the same edits and keys, keep the same names, or refuse for the same cause."""
    found = [_outcome(book, data) for book in _BOTH]
    if found[0] != found[1]:
        raise AssertionError("the ordinary way and the general way differ")


def _outcome(book: RuleTable, body: bytes) -> object:
    exchange = Exchange(
        book.decide("POST", canonical("/m")), RequestHead("POST", "/m", None, _JSON)
    )
    compiled_rule = exchange.decision.compiled_rule
    return [
        _plan(exchange, compiled, body)
        for compiled in (None, *(compiled_rule.response if compiled_rule is not None else ()))
    ]


def _plan(exchange: Exchange, compiled: CompiledBlock | None, body: bytes) -> object:
    try:
        if compiled is None:
            plan = plan_request(exchange, body)
        else:
            answer = ResponseHead(200, b"OK", _JSON)
            plan = plan_response(exchange, compiled, answer, body)
    except InvalidBody as error:
        return type(error)  # what is bad in two ways is refused for the one that is met first
    except SealyardError as error:
        return type(error), error.reason
    edits = [
        (one.start, one.end, one.context, one.token.reason)
        if isinstance(one, OpenEdit) and isinstance(one.token, OpenFailed)
        else one
        for one in plan.edits
    ]
    names = {source.selector.text: text for source, text in exchange.facts.items()}
    return edits, plan.needs, plan.body, names


def ordinary_seeds() -> list[bytes]:
    """Return messages with the names of the rule, tokens among their values."""
    return [
        b'{"id":"c1","text":"hello"}',
        b' {"text" : "\\n\\"\\\\", "id":\t"c1", "deep": {"sealed": "sy1."}}\n',
        b'{"id":"c1","list":[{"text":"a"},{"text":null},{"x":1},{"text":1.50}]}',
        b'{"id":"\xc3\xa9","sealed":"eyJ0eXAiOiJzeTEi..","Text":1,"t\\u0065xt":2}',
    ]

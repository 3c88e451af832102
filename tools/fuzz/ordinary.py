"""A target for messages changed without a plan: it comes to what the plan does, or leaves them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.secret import SessionKey
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import SealyardError
from proxy.core.expressions import routes, selectors, sources
from proxy.core.http.message import Headers, RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.plan import Plan
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.transform import (
    Changed,
    Forwardable,
    Frame,
    Lacking,
    Prepared,
    apply,
    plan_request,
    plan_response,
    prepare_request,
    prepare_response,
)
from proxy.core.values.key_needs import Keys, Needs

_TOKEN: Final = re.compile(rb"(eyJ0eXAi[\w-]*)\.\.[\w-]+\.[\w-]*\.[\w-]+")
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


_BOOK: Final = _book()
_WALKED: Final = _book()
for _rule in _WALKED.rules:
    for _block in (*_rule.request, *_rule.response):
        _block.flat = None  # so that its plans walk each text
_KEY: Final = SessionKey(bytes(32))
_ANSWER: Final = ResponseHead(200, b"OK", _JSON)
_SID: Final = bytes(12)


class _Warm:
    """Keys that are always at hand, and what was asked of them."""

    def __init__(self) -> None:
        self.needs: Needs | None = None

    def resolve_warm(self, needs: Needs) -> Keys:
        """Return sessions for all."""
        self.needs = needs
        sealing = {one: Session(_KEY, sid=_SID, scope=one) for one in needs.seals}
        opening = {need: Session(_KEY, sid=need[1].sid, scope=need[0]) for need in needs.opens}
        return Keys(sealing, opening)

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Remember nothing."""


def ordinary(data: bytes) -> None:
    """What is prepared does what the plan does, keeps the same names, or leaves the message."""
    exchange, walked = (
        Exchange(one.decide("POST", canonical("/m")), RequestHead("POST", "/m", None, _JSON))
        for one in (_BOOK, _WALKED)
    )
    keys = _Warm()
    prepared = prepare_request(exchange)
    found = prepared.change(data, keys, 0.0) if isinstance(prepared, Prepared) else None
    assert not isinstance(found, Lacking)  # noqa: S101 - its keys are at hand
    _compare(found, keys, lambda: plan_request(walked, data))
    if found is not None and found.kept != walked.kept:
        raise AssertionError("other names are kept than by the plan")
    treatment, walking = (treat_response(one, _ANSWER) for one in (exchange, walked))
    assert isinstance(treatment, ReadResponse)  # noqa: S101 - the rule reads all responses
    assert isinstance(walking, ReadResponse)  # noqa: S101 - as above
    keys = _Warm()
    prepared = prepare_response(exchange, treatment, _ANSWER)
    kept = walked.kept
    found = prepared.change(data, keys, 0.0, kept) if isinstance(prepared, Prepared) else None
    assert not isinstance(found, Lacking)  # noqa: S101 - as above
    _compare(found, keys, lambda: plan_response(walked, walking.block, _ANSWER, data))


def _compare(found: Changed | None, keys: _Warm, plan: Callable[[], Plan]) -> None:
    if found is None:
        with suppress(SealyardError):
            plan()  # it keeps names for the response
        return
    planned = plan()
    applied = apply(planned, _Warm().resolve_warm(planned.needs), 0.0)
    theirs = _sent(applied.forwardable), applied.counts, planned.needs
    if (_sent(found), found.counts, keys.needs or Needs({})) != theirs:
        raise AssertionError("what is prepared and the plan differ")


def _sent(message: Forwardable) -> object:
    """Return what goes on of a message, without what is drawn at random."""
    body = _TOKEN.sub(rb"\1", message.body or b"")
    return body, *(getattr(message.frame, name) for name in Frame.__slots__)


def ordinary_seeds() -> list[bytes]:
    """Return messages with the names of the rule, tokens among their values."""
    return [
        b'{"id":"c1","text":"hello"}',
        b' {"text" : "\\n\\"\\\\", "id":\t"c1", "deep": {"sealed": "sy1."}}\n',
        b'{"id":"c1","list":[{"text":"a"},{"text":null},{"x":1},{"text":1.50}]}',
        b'{"id":"\xc3\xa9","sealed":"eyJ0eXAiOiJzeTEi..","Text":1,"t\\u0065xt":2}',
    ]

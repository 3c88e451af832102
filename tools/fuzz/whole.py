"""One message through a rule and back, with all that can be seen of it as a value.

`tools.fuzz.forms` loads this module twice, with the native leaves and without, and compares.
"""

from __future__ import annotations

from typing import Final

from proxy.core import leaves
from proxy.core.compiled.rule_table import RuleTable
from proxy.core.crypto.context import Scope
from proxy.core.crypto.derivation import session_key
from proxy.core.crypto.secret import Kek
from proxy.core.crypto.session_cipher import Session
from proxy.core.errors import SealyardError
from proxy.core.expressions import routes, selectors, sources
from proxy.core.http.message import RequestHead, ResponseHead
from proxy.core.http.path import canonical
from proxy.core.planning.exchange import Exchange
from proxy.core.planning.treatment import ReadResponse, treat_response
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from proxy.core.transform import apply, plan_request, plan_response
from proxy.core.values.key_needs import Keys, Needs

FORM: Final = leaves.FORM

_NOW: Final = 1_800_000_000
_SCOPE: Final = Scope("clinic", "c1")
_SID: Final = (_NOW - 600).to_bytes(4) + bytes(8)
_SESSION: Final = Session(
    session_key(Kek(bytes(range(32))), _SID, _SCOPE),
    sid=_SID,
    scope=_SCOPE,
    kek_id="k1",
    kek_number=1,
)
_BIND: Final[frozenset[Part]] = frozenset({"tenant", "conversation", "field"})
_HEADERS: Final = ((b"Content-Type", b"application/json"),)
_NAMES: Final = Names(
    tenant=sources.parse_source("const:clinic"), conversation=sources.parse_source("const:c1")
)


def _block(*texts: str) -> Block:
    return Block(
        encrypt=tuple(_item(one) for one in texts), decrypt=tuple(_item(one) for one in texts)
    )


def _item(text: str) -> Item:
    return Item(selectors.parse_selector(text), "f", _BIND, optional=True)


def _rule(name: str, sealed: Block, opened: Block) -> Rule:
    pattern = routes.parse_pattern(f"/{name}")
    return Rule(name, (pattern,), _NAMES, request=(sealed,), response=(opened,))


_PLAIN: Final = _block("$.text", "$.list[*].text")
_DEEP: Final = _block("$..content", "$.a[0].b")
_NESTED: Final = _block("$.text json:$.note", "$.list[*].text json:$..content")
_BASE64: Final = Item(selectors.parse_selector("$.content"), "f", _BIND, "base64", optional=True)
_TABLE: Final = RuleTable(
    (
        _rule("plain", Block(encrypt=_PLAIN.encrypt), Block(decrypt=_PLAIN.decrypt)),
        _rule("deep", Block(encrypt=_DEEP.encrypt), Block(decrypt=_DEEP.decrypt)),
        _rule("tokens", Block(encrypt=_DEEP.encrypt), Block(decrypt=(_item("tokens"),))),
        _rule("nested", Block(encrypt=_NESTED.encrypt), Block(decrypt=_NESTED.decrypt)),
        _rule("base64", Block(encrypt=(_BASE64,)), Block(decrypt=(_item("tokens"),))),
    ),
    pass_unmatched=False,
)
RULES: Final = ("plain", "deep", "tokens", "nested", "base64")


def outcomes(rule: str, body: bytes) -> list[object]:
    """Return what is forwarded of a request, of its echo, and of the same bytes as a response."""
    head = RequestHead("POST", f"/{rule}", None, _HEADERS)
    trip = Exchange(_TABLE.decide("POST", canonical(f"/{rule}")), head)
    sealed = _request(trip, body)
    echo = [_response(trip, sealed)] if isinstance(sealed, bytes) else []
    return [sealed, *echo, _response(trip, body)]


def _request(trip: Exchange, body: bytes) -> object:
    try:
        plan = plan_request(trip, body)
        return apply(plan, _keys(plan.needs), _NOW).forwardable.body
    except SealyardError as error:
        return type(error).__name__, error.reason


def _response(trip: Exchange, body: bytes) -> object:
    response = ResponseHead(200, b"OK", _HEADERS)
    treatment = treat_response(trip, response)
    if not isinstance(treatment, ReadResponse):
        return None
    try:
        plan = plan_response(trip, treatment.block, response, body)
        done = apply(plan, _keys(plan.needs), _NOW)
    except SealyardError as error:
        return type(error).__name__, error.reason
    return done.forwardable.body, sorted(done.counts.items())


def _keys(needs: Needs) -> Keys:
    opening = {need: _SESSION for need in needs.opens if need[1].sid == _SID}
    return Keys(sealing=dict.fromkeys(needs.seals, _SESSION), opening=opening)

"""Ways: what is done to the messages of one head under one rule, decided once for all of them.

The general way plans each message and applies the plan. Where it would take plain JSON, a way does
the same to its body in fewer steps. All that the head decides is decided when the way is made; what
the body decides is checked for each message. A way never refuses a message: what it does not take
for certain goes the general way from its beginning, which alone tells what is wrong with it.
"""

from __future__ import annotations

from typing import TypeAlias

from ..compiled.block import CompiledBlock
from ..errors import SealyardError
from ..http.message import RequestHead, ResponseHead
from ..planning.exchange import Exchange, Kept
from ..planning.find import refuse_in_head
from ..planning.treatment import Pass, ReadResponse, ResponseTreatment
from .forwardable import Changed, Frame, mint_changed
from .json_way import JsonWay, WarmKeys
from .passing import pass_request, pass_response


class PassingWay:
    """The way of messages whose body passes unread."""

    __slots__ = ("_changed",)

    def __init__(self, frame: Frame) -> None:
        self._changed = mint_changed(frame, None, {})

    def change(self, body: bytes, now: float, kept: Kept = ()) -> Changed:
        """Return the message, the same each time."""
        return self._changed


Way: TypeAlias = PassingWay | JsonWay


class Ways:
    """Makes the ways of one rule table's messages, whose keys come from one source."""

    __slots__ = ("_keys",)

    def __init__(self, keys: WarmKeys) -> None:
        """Take where keys come from."""
        self._keys = keys

    def request(self, exchange: Exchange) -> Way | None:
        """Return the way of requests with the head of this one; None where there is none.

        Their bodies must be within the limits of the listener and of the rule.
        """
        decision = exchange.decision
        if decision.observes is not None:
            return None
        try:
            if not decision.reads_request:
                return PassingWay(pass_request(exchange).frame)
            return self._reading(exchange)
        except (SealyardError, KeyError):
            return None

    def response(
        self,
        exchange: Exchange,
        treatment: ResponseTreatment,
        head: ResponseHead,
        *,
        bodiless: bool = False,
    ) -> Way | None:
        """Return the way of responses with this head that are treated so; None for no way.

        They answer requests with the head of this exchange.
        """
        try:
            if isinstance(treatment, Pass):
                return PassingWay(pass_response(exchange, head, bodiless=bodiless).frame)
            if not isinstance(treatment, ReadResponse) or not _is_plain(treatment.block, head):
                return None
            return JsonWay(exchange, treatment.block, head, self._keys)
        except (SealyardError, KeyError):
            return None

    def _reading(self, exchange: Exchange) -> JsonWay | None:
        compiled_rule = exchange.decision.compiled_rule
        head = exchange.head
        compiled = compiled_rule.request[0] if compiled_rule is not None else None
        if compiled is None or not _is_plain(compiled, head):
            return None
        # It is read whole: the block does nothing while a body streams. And no backend looks into
        # JSON for the field that overrides a method.
        exchange.refuse_unclear()
        refuse_in_head(exchange, compiled, head)
        if exchange.elsewhere:
            return None  # a name must be the same there
        return JsonWay(exchange, compiled, head, self._keys)


def _is_plain(compiled: CompiledBlock, head: RequestHead | ResponseHead) -> bool:
    return compiled.plain_json is not None and head.facts.plain_json

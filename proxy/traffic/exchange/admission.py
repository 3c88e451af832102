"""A request between the gate and the rules: which rule takes it, and whether all agree on that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ...core.compiled.rule_table import Decision, RuleTable
from ...core.errors import AmbiguousRequest, TrafficError
from ...core.planning.exchange import Exchange
from ...core.planning.overrides import asked_in_query, may_ask_in_body, refuse_rerouting
from ..http1.forwarding_headers import Forwarding
from ..http1.gate import Admitted
from ..http1.pointing_headers import LocationRewrite
from ..upstream.permits import Claim


class Raised(NamedTuple):
    """What becomes of a request once the rules that only observe are a step up.

    That is `decision`, or, where it is None, a refusal for this `reason`.
    """

    decision: Decision | None
    reason: str = ""


@dataclass(slots=True)
class AdmittedExchange:
    """A request that passed the gate: which rule takes it, and how it is forwarded.

    `location_rewrite` makes a Location of the upstream point where this client reaches it. `claim`
    names who asks for a permit of the upstream. `raised` is None where no rule only observes.
    """

    request: Final[Admitted]
    exchange: Final[Exchange]
    forwarding: Final[Forwarding]
    location_rewrite: Final[LocationRewrite]
    claim: Final[Claim]
    raised: Final[Raised | None] = None

    @property
    def reads_messages(self) -> bool:
        """Whether it asks for a WebSocket whose messages a rule reads."""
        decision = self.exchange.decision
        return self.request.websocket and (decision.reads_request or decision.may_read_response)


def raised(rule_table: RuleTable | None, request: Admitted) -> Raised | None:
    """Return what a table without observing rules decides; None where there is no such table."""
    if rule_table is None:
        return None
    try:
        decision = rule_table.decide(request.head.method, request.path, websocket=request.websocket)
        refuse_other_routes(rule_table, request, decision)
    except TrafficError as error:
        return Raised(None, error.reason)
    return Raised(decision)


def refuse_other_routes(rule_table: RuleTable, request: Admitted, decision: Decision) -> None:
    """Raise AmbiguousRequest where a backend may route a request to another rule.

    Frameworks let a header or a field of a query or form replace the method, and a header replace
    the path.
    """
    query = request.head.query
    if (
        (request.overrides or query)
        and rule_table.rules_path(request.path)
        and (request.overrides or asked_in_query(query))
    ):
        raise AmbiguousRequest("method-override")
    if request.reroutes:
        refuse_rerouting(rule_table, request.path, query, request.reroutes)
    if (
        decision.overridable
        and not decision.reads_request
        and request.framing.present
        and may_ask_in_body(request.head)
    ):
        detail = "A form could override the method: give POST a rule here, too."
        raise AmbiguousRequest("method-override", detail=detail)

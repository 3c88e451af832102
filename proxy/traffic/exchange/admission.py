"""A request between the gate and the rules: which rule takes it, and whether all agree on that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ...core.compiled.request_names import asked_in_query
from ...core.compiled.rule_table import Decision, RuleTable
from ...core.errors import AmbiguousRequest, TrafficError
from ...core.http.message import header_values
from ...core.planning.exchange import Exchange
from ...core.planning.overrides import may_ask_in_body, refuse_rerouting
from ..http1.forwarding_headers import Forwarding
from ..http1.gate import Admitted
from ..http1.pointing_headers import LocationRewrite
from ..upstream.permits import Claim

_ORIGIN: Final = b"origin"
_ASKED: Final = b"access-control-request-method"


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
        decision = decide(rule_table, request)
        refuse_other_routes(rule_table, request, decision)
        if (other := decision.other) is not None:
            other.refuse_names(request.head)
            if request.framing.length != 0:  # one in chunks may yet be empty
                other.refuse()
    except TrafficError as error:
        return Raised(None, error.reason)
    return Raised(decision)


def decide(rule_table: RuleTable, request: Admitted) -> Decision:
    """Return the decision of a table for a request, as `decide` of the table does.

    What a browser asks before it sends a request passes for that one (Fetch, section 4.8).
    """
    head = request.head
    if head.method == "OPTIONS" and _ORIGIN in head.names.places:
        asked = header_values(head.headers, _ASKED)
        preflight = (
            rule_table.preflight(asked[0].decode("latin-1"), request.path) if asked else None
        )
        if preflight is not None:
            return preflight
    return rule_table.decide(head.method, request.path, websocket=request.websocket)


def refuse_other_routes(rule_table: RuleTable, request: Admitted, decision: Decision) -> None:
    """Raise AmbiguousRequest where a backend may route a request to another rule.

    Frameworks let a header or a field of a query or form replace the method, and a header replace
    the path.
    """
    query = request.head.query
    if (request.overrides or query) and decision.ruled:
        for asked in (*request.overrides, *asked_in_query(query)):
            if not _agree(rule_table, request, decision, asked):
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


def _agree(rule_table: RuleTable, request: Admitted, decision: Decision, asked: str) -> bool:
    """Return whether a request would be decided alike with another method."""
    method = asked.strip().upper()
    if not method.isascii() or not method.isalpha():
        return False
    try:
        other = rule_table.decide(method, request.path)
    except TrafficError:
        return False
    alike = other.compiled_rule is decision.compiled_rule and other.observes is decision.observes
    return alike and (other.other is None) == (decision.other is None)

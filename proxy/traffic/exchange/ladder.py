"""The ladder of modes: what rules would refuse one step up, and what they do not cover.

A rule in mode `observe` would be a step up in `permissive`, one in `permissive` in `enforce`. What
is reported here lets an operator decide on that step. It never holds a value.

A message counts once for its rule, however much of it would be refused: what refuses the request
leaves no response to refuse. It counts at its end, and as soon as a part of it has passed whose end
may be hours away. What is refused as it is does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ...config.ladder_settings import LadderSettings
from ...core.compiled.rule_table import RuleTable
from ...core.http.message import Direction, Head, ResponseHead
from ...core.planning.plan import Plan
from ...core.rules.model import Rule
from ...core.values.outcomes import NO_TOKEN
from ..http1.gate import Admitted
from ..interfaces import Reporter
from ..message_record import Foretold, MessageRecord
from .admission import AdmittedExchange, Raised, raised
from .client_names import ClientNames
from .uncovered import NO_BODY, WEBSOCKET, PathShapes, kind_of_body

if TYPE_CHECKING:  # imported where rules observe
    from ...core.explain.dry_run import DryRunResult
    from .sensitive_members import SensitiveMembers


class Ladder:
    """Reports for the ladder of one listener. While it is not `on`, no response is looked at.

    Messages that no rule covers are reported where some rule only observes.
    """

    __slots__ = (
        "_climbing",
        "_listener",
        "_members",
        "_names",
        "_raised",
        "_reporter",
        "_shapes",
        "on",
    )

    def __init__(  # noqa: PLR0913 - what the steps hand in, once
        self,
        reporter: Reporter,
        listener: str,
        rule_table: RuleTable,
        *,
        shapes: PathShapes,
        wanted: LadderSettings,
        clock: Callable[[], float],
    ) -> None:
        self._reporter = reporter
        self._listener = listener
        self._raised = rule_table.raised
        self._shapes = shapes
        self._names = ClientNames(wanted.client_names)
        rules = [one.rule for one in rule_table.rules]
        self._climbing = frozenset(one.name for one in rules if _climbs(one))
        self._members: SensitiveMembers | None = None
        if wanted.finds_sensitive:
            from .sensitive_members import SensitiveMembers  # noqa: PLC0415 - only where it is wanted

            self._members = SensitiveMembers(reporter, listener, rules, shapes, clock)
        self.on: Final = self._raised is not None or self._members is not None

    def raised(self, request: Admitted) -> Raised | None:
        """Return what would become of a request one step up; None if no rule only observes."""
        return raised(self._raised, request)

    def called(self, admitted: AdmittedExchange, record: MessageRecord) -> None:
        """Note who has sent a request whose rule is below `enforce`."""
        if record.rule in self._climbing:
            headers = admitted.exchange.head.headers
            record.client_name = self._names.name(headers, admitted.forwarding.client)

    def passed(self, plan: Plan, record: MessageRecord, *, lasts: bool) -> None:
        """Note what mode `permissive` let pass of a message that may `last`.

        That is what its rule does not list, or a plain value that was to be opened.
        """
        unlisted, compiled = plan.values.unlisted, plan.compiled
        if unlisted is None and (compiled is None or compiled.block.keep_unopened):
            return
        reason = NO_TOKEN if unlisted is None else unlisted[0].reason
        record.foretell(Foretold(record.rule, record.direction, reason))
        if lasts:
            self._tell(record)

    def over(self, record: MessageRecord) -> None:
        """Report why a message that is over would have been refused one step up."""
        if record.event != "message.refused":
            self._tell(record)

    def tried(self, record: MessageRecord, direction: Direction, result: DryRunResult) -> None:
        """Note the result of a dry run, and why mode `permissive` would refuse the message."""
        record.observed(direction, result)
        self._tried(record, direction, result)

    def tried_message(
        self, record: MessageRecord, direction: Direction, result: DryRunResult, operations: str
    ) -> None:
        """Report the result of a dry run of one message of a WebSocket."""
        record.observed_message(self._reporter, direction, result, operations)
        self._tried(record, direction, result)
        self._tell(record)

    def looks(self) -> bool:
        """Return whether the next message is one that is looked at: one of a sample."""
        return self._members is not None and self._members.takes()

    def look(
        self,
        admitted: AdmittedExchange,
        head: ResponseHead,
        record: MessageRecord,
        bodies: tuple[bytes, bytes],
    ) -> None:
        """Report members that look sensitive in the bodies of request and response."""
        if self._members is None:
            return
        asked = admitted.exchange.head
        request, response = bodies
        heads: dict[Direction, tuple[Head, bytes]] = {
            "request": (asked, request),
            "response": (head, response),
        }
        self._members.look(record, asked.path, heads)

    def answered(
        self,
        admitted: AdmittedExchange,
        head: ResponseHead,
        record: MessageRecord,
        bodies: tuple[bytes, bytes] | None = None,
    ) -> None:
        """Record a message that no rule covers, or that would be refused for its head.

        `bodies` are those of request and response as they came, where nobody else looks at them.
        """
        exchange = admitted.exchange
        if bodies is not None and any(bodies) and self.looks():
            self.look(admitted, head, record, bodies)
        if admitted.raised is None:
            return
        if exchange.decision.rule is None:
            asked, answered = kind_of_body(exchange.head.facts), kind_of_body(head.facts)
            if asked != NO_BODY or answered != NO_BODY:
                record.uncovered(self._shapes.shape(exchange.head.path), asked, answered)
        self._refused_for_head(admitted.raised, admitted, record)

    def tunnelled(self, admitted: AdmittedExchange, record: MessageRecord) -> None:
        """Report a WebSocket that no rule covers, or that would be refused."""
        if admitted.raised is None:
            return
        if admitted.exchange.decision.rule is None:
            shape = self._shapes.shape(admitted.exchange.head.path)
            record.uncovered_messages(self._reporter, shape, WEBSOCKET)
        self._refused_for_head(admitted.raised, admitted, record)
        self._tell(record)

    def _refused_for_head(
        self, above: Raised, admitted: AdmittedExchange, record: MessageRecord
    ) -> None:
        """Note that some rule would refuse a request which does not take it now.

        Which of those that observe, is not known: no rule is named.
        """
        if above.decision is None and admitted.exchange.decision.observes is None:
            record.foretell(Foretold(None, "request", above.reason))

    def _tried(self, record: MessageRecord, direction: Direction, result: DryRunResult) -> None:
        if result.permissive is not None:
            record.foretell(Foretold(record.rule, direction, result.permissive))

    def _tell(self, record: MessageRecord) -> None:
        """Report what has been foretold and not been told."""
        for one in record.foretold[record.told :]:
            self._reporter.report(
                "message.would_refuse",
                request_id=record.request_id,
                listener=self._listener,
                **one._asdict(),
                client_name=record.client_name,
            )
        record.told = len(record.foretold)


def _climbs(rule: Rule) -> bool:
    """Return whether a rule is below `enforce`, or was when the configuration was loaded."""
    return rule.observes or any(one.permissive_until is not None for one in rule.blocks)

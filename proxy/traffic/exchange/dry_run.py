"""Dry runs: what a rule that only observes would do to messages that pass unchanged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ...core.errors import TrafficError
from ...core.explain.dry_run import opening_needs, refused, try_out
from ...core.formats.body_format import RecordFormat
from ...core.formats.table import RECORDS
from ...core.http.message import Direction, Headers
from ...core.planning.exchange import Exchange
from ...core.planning.plan import Plan
from ...core.planning.treatment import LookAt, Pass
from ...core.rules.model import Rule, Verdict
from ...core.values.key_needs import Keys
from ..http1.boundaries import streams_records
from ..http1.problem import deliberate
from ..message_record import MessageRecord
from ..policy import TRIED_BYTES
from ..slices import is_long
from .admission import AdmittedExchange
from .copies import Copies, TeeBody, TeeResponse
from .prepared_steps import KeySource, KnowsParticipants
from .steps import Steps

UNOBSERVED: Final = "too-long-to-observe"
_SUCCESS: Final = range(200, 300)


def raised_exchange(admitted: AdmittedExchange) -> tuple[Exchange | None, str]:
    """Return an exchange as the rule that observes it would have it one step up.

    It is None where the request would be refused before its body is read, for the reason beside it.
    Raises TypeError where no rule only observes.
    """
    if admitted.raised is None:
        raise TypeError("no rule only observes")
    decision, reason = admitted.raised
    if decision is None:
        return None, reason
    exchange = Exchange(decision, admitted.exchange.head)
    exchange.caller = admitted.exchange.caller
    return exchange, reason


def format_with_names(rule: Rule | None) -> RecordFormat | None:
    """Return the format of a rule's requests that names operations or events, if it has one."""
    blocks = () if rule is None else rule.blocks_of("request")
    formats = (RECORDS.get(block.format or "") for block in blocks)
    return next((one for one in formats if one is not None and one.has_names), None)


async def opening_keys(source: KeySource, plan: Plan) -> Keys:
    """Return the sessions that a dry run of a plan needs.

    Raises KeyUnavailable as the source does, and where the plan could not be sealed end to end
    since a sender or recipient has no key.
    """
    keys = await source.resolve(opening_needs(plan))
    ends = any(scope.parties is not None for scope in plan.needs.seals)
    if ends and isinstance(source, KnowsParticipants):
        await source.require_participants(plan.needs)
    return keys


class DryRun(Copies):
    """Tries a rule on a request and its response once both have passed, unchanged."""

    def __init__(self, steps: Steps, admitted: AdmittedExchange, record: MessageRecord) -> None:
        exchange, self._reason = raised_exchange(admitted)
        limit = 0
        if exchange is not None:
            limit = min(TRIED_BYTES, steps.body_limit(exchange.decision))
        super().__init__(steps.ladder, admitted, record, limit)
        self._steps = steps
        self._exchange = exchange
        self._asker = admitted.claim, admitted.forwarding
        self._next: Direction = "request"

    async def conclude(self, *, cut: bool = False) -> None:
        """Record what the rule would have done to both.

        Of a message that was `cut`, what has come whole is tried. A stream of records that has not
        was not observed, since the rule would have changed what passed of it.
        """
        request, response, exchange = self._request, self._response, self._exchange
        if self._steps.ladder.looks():
            await super().conclude(cut=cut)
        if exchange is None:
            self._steps.ladder.tried(self._record, "request", refused(self._reason))
            return
        if not await self._asked(exchange):
            return
        decision = exchange.decision
        self._count_unlisted(exchange, cut=cut)
        if request is not None and decision.reads_request and cut and not request.ended:
            self._cut_off("request", exchange.head.headers)
        elif request is not None and decision.reads_request:
            copy = request.copy
            if (named := format_with_names(decision.rule)) is not None:
                async with self._steps.slices.turn(long=is_long(copy)) as run:
                    self._record.named(await run(named.names, copy))
            await self._try(
                "request",
                request,
                plan=lambda: self._steps.plan_request(exchange, copy, request.framing),
            )
        else:
            self._try_head(exchange)
        self._next = "response"
        if decision.rule is not None and decision.rule.response is Verdict.REJECT:
            self._steps.ladder.tried(self._record, "response", refused("rule-rejects-response"))
        elif response is None or not decision.may_read_response:
            return
        elif cut and not (response.ended or response.bodiless):
            self._try_beginning(exchange, response)
        else:
            plan = partial(self._plan_response, exchange, response)
            await self._try("response", response, plan=plan)

    def give_up(self) -> None:
        """Record that what has not been tried was not observed."""
        self._steps.ladder.tried(self._record, self._next, refused(UNOBSERVED))

    async def _asked(self, exchange: Exchange) -> bool:
        """Ask the backend as the rule would; record why the message would have been refused."""
        try:
            if self._steps.asking is not None:
                await self._steps.asking.ask(exchange, *self._asker, self._record)
        except Exception as error:  # noqa: BLE001 - a dry run must not fail the message
            result = refused(deliberate(error).reason)
            self._steps.ladder.tried(self._record, "request", result)
            return False
        return True

    def _count_unlisted(self, exchange: Exchange, *, cut: bool) -> None:
        """Count the names of a request that succeeded and that its rule does not list."""
        request, response, unlisted = self._request, self._response, self._steps.unlisted
        compiled = exchange.decision.compiled_rule
        if cut or unlisted is None or response is None or compiled is None:
            return
        if response.head.status not in _SUCCESS or (request is not None and not request.whole):
            return
        unlisted.look(
            compiled,
            exchange.head,
            b"" if request is None else request.copy,
            client=self._admitted.forwarding.client,
            places=self._steps.place_names,
        )

    def _cut_off(self, direction: Direction, headers: Headers) -> None:
        if streams_records(headers):
            self._steps.ladder.tried(self._record, direction, refused(UNOBSERVED))

    def _try_beginning(self, exchange: Exchange, response: TeeResponse) -> None:
        """Record what the rule would have done by the head of a response whose end is not there."""
        try:
            if not isinstance(self._steps.treat_response(exchange, response), Pass):
                self._cut_off("response", response.head.headers)
        except TrafficError as error:
            self._steps.ladder.tried(self._record, "response", refused(error.reason))

    def _try_head(self, exchange: Exchange) -> None:
        """Record it if the head of a request that passes unread would have been refused."""
        try:
            exchange.refuse_unclear()
        except TrafficError as error:
            self._steps.ladder.tried(self._record, "request", refused(error.reason))

    def _plan_response(self, exchange: Exchange, response: TeeResponse) -> Plan | None:
        steps, head, body = self._steps, response.head, response.copy
        treatment = steps.treat_response(exchange, response)
        if isinstance(treatment, LookAt):
            head, treatment = steps.treat_seen(exchange, treatment, response, body)
        if isinstance(treatment, Pass):
            return None
        return steps.plan_response(exchange, treatment, head, body, response.framing)

    async def _try(
        self,
        direction: Direction,
        body: TeeBody | TeeResponse,
        *,
        plan: Callable[[], Plan | None],
    ) -> None:
        result = refused(UNOBSERVED)
        try:
            if body.whole:
                # What is compressed may be long whatever its length.
                async with self._steps.slices.turn(long=is_long(body.copy, coded=True)) as run:
                    made = await run(plan)
                    if made is None:
                        return
                    if made.settle is not None:
                        made.settle()
                    keys = await opening_keys(self._steps.keys, made)
                    result = await run(try_out, made, keys, self._steps.clock())
        except Exception as error:  # noqa: BLE001 - a dry run must not fail the message
            result = refused(deliberate(error).reason)
        self._steps.ladder.tried(self._record, direction, result)


def copies_of(steps: Steps, admitted: AdmittedExchange, record: MessageRecord) -> Copies | None:
    """Return what copies an exchange as it passes, where its rule observes or it is looked at."""
    if admitted.request.websocket:
        return None
    if admitted.exchange.decision.observes is not None:
        return DryRun(steps, admitted, record)
    return Copies(steps.ladder, admitted, record) if steps.ladder.looks() else None

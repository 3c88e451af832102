"""The steps of an exchange that never wait: gate, rules, treatment, plan, apply, report.

The handler waits between them, and a dry run takes those up to the plan. So both have the same gate
and the same treatment of a message.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from ...config.ladder_settings import LadderSettings
from ...config.limits import TrafficLimits
from ...config.settings import Network
from ...core.callers import VerifiedCaller
from ...core.compiled.rule_table import Decision, RuleTable
from ...core.errors import (
    OpenFailed,
    RejectedByRule,
    TrafficError,
    UnlistedName,
    Unopened,
)
from ...core.http.message import DIRECTIONS, Direction, ResponseHead
from ...core.planning.exchange import Exchange, Messages
from ...core.planning.mistyped_response import Look
from ...core.planning.plan import Plan
from ...core.planning.treatment import (
    HeadOnly,
    LookAt,
    ReadResponse,
    ResponseTreatment,
    SeenTreatment,
    StreamBody,
    treat_response,
    treat_seen,
)
from ...core.transform import (
    Applied,
    Forwardable,
    apply,
    plan_bodiless,
    plan_message,
    plan_request,
    plan_response,
)
from ...core.values.key_needs import NO_KEYS, Attempt, Keys
from ...telemetry.logs.access_line import METHODS, OTHER_METHOD
from ..byte_budget import ByteBudget
from ..http1.forwarding_headers import ForwardingHeaders, Peer
from ..http1.framing import Framing
from ..http1.gate import Admitted, RawRequest, admit
from ..http1.pointing_headers import LocationRewrite
from ..http1.problem import Problem, form_for, problem, status_of
from ..interfaces import OpensLog, Reporter, UpstreamResponse
from ..message_record import MessageRecord, MessageWatch
from ..policy import MOST_CLAIMS
from ..slices import Run, Slices
from ..turns import LoopLag
from ..upstream.permits import Claim
from .admission import AdmittedExchange, decide, refuse_other_routes
from .ladder import Ladder
from .place_names import PlaceNames, known_names
from .prepared_steps import KeySource, PreparedSteps
from .request_ids import RequestIds
from .uncovered import PathShapes, Unread

if TYPE_CHECKING:  # imported where the configuration has it
    from ...telemetry.body_shapes import Streamed
    from ...telemetry.tap import Piece, Tap
    from .announcements import Announcements, Begun
    from .asking import BackendNames
    from .unlisted_names import UnlistedNames

Watches = Callable[[MessageRecord], MessageWatch]
"""Returns what watches a message."""

CLIENT_CLOSED: Final = 499
"""What nginx logs for a client that went away. It is never sent."""
_TIMED: Final = 16
"""Of one message in so many it is measured how long its bodies take to change."""


class Steps(PreparedSteps):
    """The steps that the messages of one listener take. `name` is the listener's, for the log.

    `slices` are for those steps of a long message that would hold the event loop for long, and
    `budget` is for the memory of messages. `ladder` takes what is reported of rules below
    `enforce`, and of what no rule covers. `asking` learns the names that requests lack, where rules
    say how.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        rule_table: RuleTable,
        keys: KeySource,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        name: str,
        limits: TrafficLimits,
        trusted_proxies: Sequence[Network],
        upstream_names: frozenset[bytes],
        tap: Tap | None,
        lag: LoopLag,
        slices: Slices,
        budget: ByteBudget,
        announcements: Announcements | None,
        ladder: LadderSettings,
        add_request_id: bool,
        accept: frozenset[str] = frozenset(),
        watches: Watches | None = None,
        opens: OpensLog | None = None,
        place_key: bytes | None = None,
        unlisted: UnlistedNames | None = None,
    ) -> None:
        self._known_names = known_names(one.rule for one in rule_table.rules)
        self.place_names = PlaceNames(self._known_names, place_key or secrets.token_bytes(32))
        super().__init__(keys, tap, clock, slices, opens)
        self._watches = watches
        self._accept = accept
        self.request_ids: Final = RequestIds(rule_table, adds=add_request_id)
        self.reporter = reporter
        self.lag: Final = lag
        self.budget: Final = budget
        self._rule_table = rule_table
        self.unlisted: Final = unlisted
        self._name = name
        self._limits = limits
        self._names = upstream_names
        self.forwarding_headers = ForwardingHeaders(
            f"sealyard-{secrets.token_hex(4)}", trusted_proxies
        )
        self._shutting = frozenset(
            one.rule.name for one in rule_table.rules if one.rule.shuts_on_poison
        )
        self._of_graphql = frozenset(
            one.rule.name
            for one in rule_table.rules
            if one.request and all(each.block.format == "graphql" for each in one.request)
        )
        self._rewrite = lru_cache(maxsize=64)(partial(LocationRewrite, self._names))
        self._claims: dict[tuple[str, str, int], Claim] = {}
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)
        self.unread: Final = Unread(reporter, name)
        self._announcements = announcements
        self._with_packets = rules_with_packets(rule_table)
        if self._with_packets and announcements is None:
            from .announcements import Announcements  # noqa: PLC0415 - only for rules with packets

            self._announcements = Announcements(time.monotonic)
        self._shapes = PathShapes()
        self.asking: BackendNames | None = None
        self.ladder: Final = Ladder(
            reporter, name, rule_table, shapes=self._shapes, wanted=ladder, clock=clock
        )

    def record(self) -> MessageRecord:
        """Return the record of a new message."""
        number = next(self._numbers)
        record = MessageRecord(f"{self._prefix}-{number:x}", self._name)
        if self._watches is not None:
            record.watch = self._watches(record)
        if not number % _TIMED:
            record.changes = []
        return record

    def refusal(
        self, error: TrafficError, record: MessageRecord, raw: RawRequest | None = None
    ) -> Problem:
        """Record that a message was refused, and return the problem for its client.

        `raw` is the head of the request, if it was read.
        """
        operations = record.method == "POST" and record.rule in self._of_graphql
        self.note_refusal(error, record)
        return problem(
            error,
            record.request_id,
            direction=record.direction,
            now=self.clock(),
            trace_id=record.trace_id,
            named=bool(record.own_id) or self.request_ids.adds,
            form=form_for(raw, operations=operations),
        )

    def note_refusal(self, error: TrafficError, record: MessageRecord) -> None:
        """Record that a message was refused, what did not open, where an unlisted name stands."""
        if isinstance(error, OpenFailed):
            record.did_not_open(error.unopened or (Unopened(error.reason, b""),))
        record.refused(error, status_of(error, record.direction))
        if isinstance(error, UnlistedName) and error.path:
            place = self.place_names.spelled(error.path, in_query=error.in_query)
            record.refused_at(place)

    def report(self, records: Sequence[MessageRecord]) -> None:
        """Write the lines of messages that are over, and report tokens that did not open.

        Only of the last message there may be such tokens. The answers have been sent by then, so
        that their timing does not reveal what is reported.
        """
        now = time.perf_counter()
        try:
            for record in records:
                record.over(now)
                if record.foretold:
                    self.ladder.over(record)
        finally:
            self.reporter.messages(records)
        if records[-1].unopened:
            self.report_unopened(records[-1])

    def let_in(self, raw: RawRequest, record: MessageRecord) -> Admitted:
        """Let a request through the gate; raise TrafficError where it does not pass."""
        self.request_ids.take(record, raw)
        if record.watch is not None:
            record.watch.arrived(raw.headers)
        if self._accept:
            from ..http1.accepted import accepted  # noqa: PLC0415 - loaded where it is configured

            raw = accepted(raw, self._accept)
        request = admit(raw)
        method = request.head.method
        record.method = method if method in METHODS else OTHER_METHOD
        return request

    def admit(  # noqa: PLR0913, PLR0917 - what is known of one request
        self,
        request: Admitted,
        raw: RawRequest,
        peer: Peer,
        record: MessageRecord,
        caller: VerifiedCaller | None,
        refuse_if_busy: Callable[[Claim], None],
    ) -> AdmittedExchange:
        """Find the rule of a request, before its body is read.

        Raises:
            TrafficError: A rule refuses it, or `refuse_if_busy` does.
        """
        if request.via:
            self.forwarding_headers.refuse_loop(raw.headers)
        if caller is not None:
            record.caller = caller.name
        exchange = Exchange(self._decide(request, record), request.head)
        if caller is not None:
            exchange.caller = caller
        if self.opens is not None and opens(exchange):
            self.opens.admit(caller)
        record.exchange = exchange
        if record.watch is not None:
            record.watch.admitted(exchange.decision)
        client = self.forwarding_headers.client(raw, peer) if caller is None else _named(caller)
        claim = self._claim(exchange, client)
        refuse_if_busy(claim)  # nothing more is made of what is refused
        forwarding = self.forwarding_headers.forwarding(raw, peer, request.host)
        admitted = AdmittedExchange(
            request,
            exchange,
            forwarding,
            self._rewrite(forwarding.place),
            claim,
            self.ladder.raised(request) if self.ladder.on else None,
        )
        self.ladder.called(admitted, record)
        return admitted

    def _claim(self, exchange: Exchange, client: str) -> Claim:
        """Return who asks for a permit; it is kept, since what is known of it is looked up once."""
        rule = exchange.decision.rule
        if rule is not None:
            key = client, f"rule {rule.name}", rule.connections
        else:
            key = client, self._shapes.shape(exchange.head.path), 0
        claim = self._claims.get(key)
        if claim is None:
            if len(self._claims) >= MOST_CLAIMS:
                self._claims.clear()
            claim = self._claims[key] = Claim(*key)
        return claim

    def treat_response(self, exchange: Exchange, response: UpstreamResponse) -> ResponseTreatment:
        """Return how a response is treated if all of its body is there.

        Raises:
            TrafficError: It cannot be read, or what comes may not be all of it.
        """
        return treat_response(
            exchange,
            response.head,
            length=response.framing.content_length,
            delimited=response.delimited,
            bodiless=response.bodiless,
        )

    def look(self, exchange: Exchange, treatment: LookAt, response: UpstreamResponse) -> Look:
        """Return a look at the body of a response, with nothing seen yet."""
        limit = self.body_limit(exchange.decision)
        length = response.framing.content_length
        # A body that ends with its connection may have been truncated: it is reported, never read.
        reads = response.delimited
        return Look(treatment.block, response.head, length, limit, reads=reads)

    def treat_seen(
        self, exchange: Exchange, treatment: LookAt, response: UpstreamResponse, body: bytes
    ) -> tuple[ResponseHead, SeenTreatment]:
        """Return the head of a response as rules read it, and its treatment, by its whole body."""
        look = self.look(exchange, treatment, response)
        look.feed(body)
        look.end()
        return treat_seen(exchange, response.head, look)

    def plan_request(
        self, exchange: Exchange, body: bytes, framing: Framing, watch: MessageWatch | None = None
    ) -> Plan:
        """Return what the rule does to the request; raise TrafficError where it cannot be done."""
        began = time.perf_counter()
        measured, begun = framing.length is not None, self._begin(exchange, "request")
        plan = plan_request(exchange, body, self._limits.body, measured=measured)
        if watch is not None:
            watch.planned(began, time.perf_counter())
        if begun is not None:
            plan.settle = begun.settler(exchange)
        return plan

    def plan_response(  # noqa: PLR0913, PLR0917 - a response in its parts
        self,
        exchange: Exchange,
        treatment: ReadResponse | StreamBody | HeadOnly,
        head: ResponseHead,
        body: bytes,
        framing: Framing,
        watch: MessageWatch | None = None,
    ) -> Plan:
        """Return what the rule does to a response of which all is there."""
        began = time.perf_counter()
        if type(treatment) is HeadOnly:
            return plan_bodiless(exchange, treatment.block, head)
        measured, begun = framing.content_length is not None, self._begin(exchange, "response")
        plan = plan_response(
            exchange, treatment.block, head, body, self._limits.body, measured=measured
        )
        if watch is not None:
            watch.planned(began, time.perf_counter())
        if begun is not None:
            plan.settle = begun.settler(exchange)
        return plan

    def reads_packets(self, decision: Decision) -> bool:
        """Return whether the rule reads packets, which may announce attachments."""
        return decision.rule is not None and decision.rule.name in self._with_packets

    def messages(self, exchange: Exchange, direction: Direction) -> Messages:
        """Return the messages of one direction of a WebSocket, which may go on with a session."""
        if self._announcements is None or not self.reads_packets(exchange.decision):
            return Messages(exchange, direction)
        return Messages(exchange, direction, self._announcements.of_socket(exchange, direction))

    def _begin(self, exchange: Exchange, direction: Direction) -> Begun | None:
        """Tell an exchange what its session awaits, where its rule reads packets."""
        if self._announcements is None or not self.reads_packets(exchange.decision):
            return None
        return self._announcements.begin(exchange, direction)

    def plan_message(self, messages: Messages, payload: bytes, *, binary: bool) -> Plan:
        """Return what the rule does to the next message of a WebSocket."""
        rule = messages.exchange.decision.rule
        self.refuse_shut(None if rule is None else rule.name)
        return plan_message(messages, payload, binary=binary)

    def warm(self, plan: Plan) -> Keys | None:
        """Return the keys of a plan if they are cached."""
        if plan.needs.seals or plan.needs.opens or plan.needs.seeks:
            return self.keys.resolve_warm(plan.needs)
        return NO_KEYS

    def apply(
        self, plan: Plan, keys: Keys, record: MessageRecord, *, piece: Piece = ""
    ) -> Forwardable:
        """Carry out a plan, which may be for one `piece` of a message."""
        began, now = time.perf_counter(), self.clock()
        if record.watch is not None:
            record.watch.carrying_out(plan, keys, now)
        return self._noted(apply(plan, keys, now), plan, keys, record, piece, began)

    async def carry_out(
        self, plan: Plan, record: MessageRecord, run: Run, *, piece: Piece = ""
    ) -> Forwardable:
        """Carry out a plan; wait for its keys if need be, and between slices if it `run`s so."""
        keys = await run(self.warm, plan)
        if keys is None:
            keys = await self.resolve(plan.needs, record)
        return await self.apply_in_turn(plan, keys, record, run, piece=piece)

    async def apply_in_turn(
        self, plan: Plan, keys: Keys, record: MessageRecord, run: Run, *, piece: Piece = ""
    ) -> Forwardable:
        """Do as `apply`, in slices if the work of the message is run so."""
        began, now = time.perf_counter(), self.clock()
        if record.watch is not None:
            record.watch.carrying_out(plan, keys, now)
        applied = await run(apply, plan, keys, now)
        return self._noted(applied, plan, keys, record, piece, began)

    def _noted(  # noqa: PLR0913, PLR0917 - what was done, and with what
        self,
        applied: Applied,
        plan: Plan,
        keys: Keys,
        record: MessageRecord,
        piece: Piece,
        began: float,
    ) -> Forwardable:
        """Return what may go on, once the rest of what came out is recorded."""
        if record.watch is not None:
            record.watch.carried_out()
        if plan.settle is not None:
            plan.settle()
        if applied.proven:
            self.keys.remember(applied.proven)
        if applied.unopened:
            record.did_not_open(applied.unopened)
        record.count(applied.counts, keys)
        if "plain" in applied.counts or "unlisted" in applied.counts:
            self.ladder.passed(plan, record, lasts=bool(piece))
        if applied.counts and not piece:
            record.changed(began)
        if self.opens is not None:
            opened = applied.counts, applied.proven, applied.tally, applied.shown
            record.note_opened(*opened, piece=bool(piece))
        if self.tap is not None and self.tap.watched:
            from ...telemetry.tap import Passing  # noqa: PLC0415 - loaded with the tap

            who = record.key, self._name, record.rule, record.method, record.direction
            names = self._known_names
            self.tap.body(Passing(*who, piece), *_sides(plan, applied), names, applied.counts)
        return applied.forwardable

    def body_limit(self, decision: Decision) -> int:
        """Return the largest body in bytes that a rule may read whole."""
        rule = decision.rule
        return self._limits.body if rule is None else min(self._limits.body, rule.max_body)

    def report_unopened(self, record: MessageRecord) -> None:
        """Report the tokens that did not open since the last report, if there are any."""
        if not record.unopened:
            return
        noted, record.unopened = record.unopened, ()
        rule = record.rule or ""
        for direction in DIRECTIONS:
            unopened = [one for on, one in noted if on == direction]
            shuts = rule in self._shutting
            if unopened:
                attempt = Attempt(self._name, rule, direction, record.request_id, shuts)
                self.keys.refused(unopened, attempt)

    @property
    def flow_limit(self) -> int | None:
        """The largest body in bytes that a rule may change while it passes; None: no limit."""
        return self._limits.stream

    def _decide(self, request: Admitted, record: MessageRecord) -> Decision:
        try:
            decision = decide(self._rule_table, request)
        except RejectedByRule as refusal:
            record.rule = refusal.rule
            raise
        record.rule = decision.rule.name if decision.rule is not None else None
        self.refuse_shut(record.rule)
        refuse_other_routes(self._rule_table, request, decision)
        return decision

    def refuse_shut(self, rule: str | None) -> None:
        """Raise RejectedByRule where a rule is shut since poison was opened."""
        if self.keys.shut and (self._name, rule) in self.keys.shut:
            raise RejectedByRule("poison-shut")


def opens(exchange: Exchange) -> bool:
    """Return whether its client may get opened values."""
    compiled_rule = exchange.decision.compiled_rule
    return compiled_rule is not None and any(one.block.decrypt for one in compiled_rule.response)


def _named(caller: VerifiedCaller) -> str:
    """Return the name of a caller for shares: no address has a line break in it."""
    return f"{caller.name}\n{caller.issuer}\n{caller.subject}"


def rules_with_packets(rule_table: RuleTable) -> frozenset[str]:
    """Return the names of the rules that read packets."""
    return frozenset(
        one.rule.name
        for one in rule_table.rules
        if any(block.packets is not None for block in (*one.request, *one.response))
    )


def _sides(plan: Plan, applied: Applied) -> tuple[bytes | Streamed | None, bytes | Streamed | None]:
    """Return a body before and after its change, or what it is where it streams and is not held."""
    if applied.forwardable.flow is None:
        return plan.body, applied.forwardable.body
    if plan.form is not None:
        return "form", "form"
    if "sealed" in applied.counts:
        return "body", "stream"
    return ("stream", "body") if "opened" in applied.counts else ("body", "body")

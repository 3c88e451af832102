"""The path of one message: gate, match, plan, keys, apply, forward, and the same on the answer."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Protocol

from ..config.limits import Timeouts, TrafficLimits
from ..config.settings import Network
from ..core import pipeline
from ..core.errors import AmbiguousRequest, RejectedByRule, TrafficError, UpstreamFailed
from ..core.exchange import Exchange
from ..core.forwardable import Forwardable
from ..core.message import Direction
from ..core.needs import Keys, Needs
from ..core.pipeline import Plan
from ..core.rulebook import Decision, Rulebook
from ..core.session import Session
from .gate import Admitted, admit
from .hop import Hop, Places
from .interfaces import Reporter, Request, RequestBody, Upstream, UpstreamResponse
from .problem import Problem, deliberate, problem, status_of
from .record import Record
from .response_head import refuse_parts, switching_head
from .tunnel import Tunnel

_NO_KEYS = Keys(sealing={}, opening={})
_CLIENT_CLOSED = 499
"""What nginx writes in its log for a client that went away; nobody receives it."""


class KeySource(Protocol):
    """Where the sessions of plans come from."""

    def resolve_warm(self, needs: Needs) -> Keys | None:
        """Return the sessions if they are at hand."""

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions, waiting for the store if need be."""

    def remember(self, sessions: Iterable[Session]) -> None:
        """Keep sessions under which a tag has verified."""


class Handler:
    """Answers the requests of one listener.

    `name` is the listener's, for the log. `rulebook` may be exchanged at any time; a request keeps
    the one it began with.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        rulebook: Rulebook,
        keys: KeySource,
        upstream: Upstream,
        reporter: Reporter,
        *,
        clock: Callable[[], float],
        name: str = "",
        limits: TrafficLimits | None = None,
        timeouts: Timeouts | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self.rulebook = rulebook
        self._keys = keys
        self._upstream = upstream
        self._reporter = reporter
        self._clock = clock
        self._name = name
        self._limits = limits or TrafficLimits()
        self._timeouts = timeouts or Timeouts()
        self._hop = Hop(f"sealyard-{secrets.token_hex(4)}", trusted_proxies)
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    async def handle(self, request: Request) -> None:
        """Answer one request, whatever happens; raise only when the client is gone."""
        record = Record(self._request_id(), self._name)
        try:
            await self._answer(request, record)
        except ConnectionError:
            record.status = _CLIENT_CLOSED
            raise
        except Exception as error:  # noqa: BLE001 - nothing may escape into a log or an answer
            refusal = self._refusal(deliberate(error), record)
            # What did not pass the gate may have more readings than one: never read on behind it.
            await request.refuse(refusal, close=not record.method)
        except BaseException:  # cancelled: the client is gone, or time is up
            record.status = _CLIENT_CLOSED
            raise
        finally:
            record.report(self._reporter)

    def reject(self, error: TrafficError) -> Problem:
        """Return the answer to what never came to be a request."""
        record = Record(self._request_id(), self._name)
        refusal = self._refusal(error, record)
        record.report(self._reporter)
        return refusal

    def _request_id(self) -> str:
        return f"{self._prefix}-{next(self._numbers):x}"

    def _refusal(self, error: TrafficError, record: Record) -> Problem:
        direction: Direction = record.direction
        record.refused(error, status_of(error, direction))
        return problem(error, record.request_id, direction=direction, now=self._clock())

    async def _answer(self, request: Request, record: Record) -> None:
        admitted = admit(request.raw, head_limit=self._limits.head)
        record.method = admitted.head.method
        if admitted.via:
            self._hop.refuse_loop(request.raw.headers)
        exchange = Exchange(self._decide(admitted, record), admitted.head)
        body = request.body(admitted.framing, expects_continue=admitted.expects_continue)
        crossing = self._hop.crossing(request.raw, request.peer, admitted.host)
        websocket = admitted.websocket
        try:
            message = await self._outgoing(exchange, body, record)
            record.sending()
            response = await self._upstream.send(
                message, body, crossing=crossing, websocket=websocket
            )
        finally:
            record.received = body.arrived
        try:
            record.responded(response.head.status)
            if response.head.status == HTTPStatus.SWITCHING_PROTOCOLS:
                await self._tunnel(request, response, record)
                return
            places = Places(self._upstream.names, crossing.place)
            message = await self._incoming(exchange, response, record)
            close = websocket or admitted.upgrade
            record.returned = await request.relay(message, response, places=places, close=close)
        except TrafficError:
            record.returned = response.arrived
            raise
        finally:
            record.received = max(record.received, body.arrived)
            response.close()

    def _decide(self, admitted: Admitted, record: Record) -> Decision:
        """Return what the rules say of a request, before its body is read."""
        decision = self.rulebook.decide(
            admitted.head.method, admitted.path, websocket=admitted.websocket
        )
        record.rule = decision.rule.name if decision.rule is not None else None
        if admitted.overrides and self.rulebook.rules_path(admitted.path):
            raise AmbiguousRequest("method-override")
        if admitted.websocket and (decision.reads_request or decision.may_read_response):
            # A tunnel would carry messages past the rule that should have read them.
            raise RejectedByRule("upgrade-on-ruled-route")
        return decision

    async def _outgoing(self, exchange: Exchange, body: RequestBody, record: Record) -> Forwardable:
        """Return the request as it may be forwarded."""
        decision = exchange.decision
        if not decision.reads_request:
            return pipeline.pass_request(exchange)
        limit = self._body_limit(decision)
        plan = pipeline.plan_request(exchange, await body.read(limit), limit)
        return await self._apply(plan, record)

    async def _incoming(
        self, exchange: Exchange, response: UpstreamResponse, record: Record
    ) -> Forwardable:
        """Return the response as it may be relayed."""
        head = response.head
        if response.bodiless or not exchange.decision.may_read_response:
            return pipeline.pass_response(exchange, head, bodiless=response.bodiless)
        refuse_parts(head)
        blueprint = pipeline.choose_response(exchange, head)
        if blueprint is None:
            return pipeline.pass_response(exchange, head, bodiless=False)
        if not response.delimited:
            # Cut and whole look alike (RFC 9112 section 8): half a body must not pass for all.
            raise UpstreamFailed("response-not-delimited")
        limit = self._body_limit(exchange.decision)
        plan = pipeline.plan_response(exchange, blueprint, head, await response.read(limit), limit)
        return await self._apply(plan, record)

    async def _apply(self, plan: Plan, record: Record) -> Forwardable:
        """Carry a plan out: the one wait between the two pure functions is for keys."""
        keys = _NO_KEYS
        if plan.needs.seals or plan.needs.opens:
            warm = self._keys.resolve_warm(plan.needs)
            keys = warm if warm is not None else await self._keys.resolve(plan.needs)
        applied = pipeline.apply(plan, keys, self._clock())
        if applied.proven:
            self._keys.remember(applied.proven)
        record.count(applied.counts)
        return applied.forwardable

    async def _tunnel(self, request: Request, response: UpstreamResponse, record: Record) -> None:
        """Let a WebSocket through; the upstream has agreed to it."""
        upstream = response.divert()
        client = await request.switch(switching_head(response.head))
        tunnel = Tunnel(client, upstream)
        try:
            await tunnel.run(idle=self._timeouts.tunnel, linger=self._timeouts.linger)
        finally:
            record.received, record.returned = tunnel.received, tunnel.sent

    def _body_limit(self, decision: Decision) -> int:
        rule = decision.rule
        return self._limits.body if rule is None else min(self._limits.body, rule.max_body)

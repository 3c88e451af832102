"""What a rule in mode `observe` would have done to one exchange, found out once it has passed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..core.apply import apply
from ..core.apply.apply import Plan
from ..core.errors import TrafficError
from ..core.explain.dry_run import Trial, needs_of_trial, trial_exchange, try_out
from ..core.http.message import Direction
from ..core.planning.exchange import Exchange
from ..core.rules.model import Verdict
from .course import Course
from .interfaces import RequestBody, UpstreamResponse
from .overheard import OverheardBody, OverheardResponse
from .problem import deliberate
from .record import Record

MOST_BYTES: Final = 1024 * 1024
"""A longer body passes unobserved, and so does a stream: the trial takes memory and time."""
UNOBSERVED: Final = "too-long-to-observe"


class Observation:
    """Overhears a request and its response; nothing of them waits for it or is changed."""

    def __init__(self, course: Course, exchange: Exchange, record: Record) -> None:
        self._course = course
        self._exchange = trial_exchange(exchange)
        self._record = record
        self._request: OverheardBody | None = None
        self._response: OverheardResponse | None = None

    def request(self, body: RequestBody) -> OverheardBody:
        """Return the request's body, to be sent in its place."""
        self._request = OverheardBody(body, self._limit)
        return self._request

    def response(self, response: UpstreamResponse) -> OverheardResponse:
        """Return the response, to be relayed in its place."""
        self._response = OverheardResponse(response, self._limit)
        return self._response

    async def conclude(self) -> None:
        """Note in the record what would have become of what passed."""
        request, response = self._request, self._response
        decision = self._exchange.decision
        if decision.rule is not None and decision.rule.request is Verdict.REJECT:
            self._record.observed("request", Trial({}, "rule-rejects"))
            return
        if request is not None and decision.reads_request:
            heard = request.heard
            await self._try(
                "request",
                whole=request.whole,
                plan=lambda: self._course.plan_request(self._exchange, heard, request.framing),
            )
        else:
            self._try_head()
        if decision.rule is not None and decision.rule.response is Verdict.REJECT:
            self._record.observed("response", Trial({}, "rule-rejects-response"))
        elif response is not None and decision.may_read_response:
            await self._try(
                "response", whole=response.whole, plan=lambda: self._plan_response(response)
            )

    def _try_head(self) -> None:
        """Note it where the head of a request that passes unread would have been refused."""
        try:
            self._exchange.refuse_unclear()
        except TrafficError as error:
            self._record.observed("request", Trial({}, error.reason))

    @property
    def _limit(self) -> int:
        return min(MOST_BYTES, self._course.body_limit(self._exchange.decision))

    def _plan_response(self, response: OverheardResponse) -> Plan | None:
        course, exchange, head = self._course, self._exchange, response.head
        blueprint = course.reading(exchange, response)
        if blueprint is not None:
            return course.plan_response(exchange, blueprint, response, response.heard)
        if (look := course.look(exchange, response)) is None:
            return None
        look.feed(response.heard)
        look.end()
        head, blueprint = apply.named(exchange, head, look)
        if blueprint is None:
            return None
        return apply.plan_response(exchange, blueprint, head, response.heard)

    async def _try(
        self, direction: Direction, *, whole: bool, plan: Callable[[], Plan | None]
    ) -> None:
        try:
            trial = Trial({}, UNOBSERVED)
            if whole and (made := plan()) is not None:
                keys = await self._course.keys.resolve(needs_of_trial(made))
                trial = try_out(made, keys, self._course.now())
            elif whole:
                return
        except Exception as error:  # noqa: BLE001 - a trial must not become the message's failure
            trial = Trial({}, deliberate(error).reason)
        self._record.observed(direction, trial)

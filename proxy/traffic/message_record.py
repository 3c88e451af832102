"""What is recorded about one message: its line in the log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from ..core.compiled.rule_table import Decision
from ..core.crypto.session_cipher import Session
from ..core.errors import TrafficError, Unopened
from ..core.http.message import Direction, Headers
from ..core.planning.exchange import Exchange
from ..core.planning.plan import Plan
from ..core.values.key_needs import NO_KEYS, Keys, Opening, Standing
from ..core.values.outcomes import GOT, NOTHING_GOT, Got, Outcome, Tally
from ..telemetry.logs.access_line import MessageLine, Outcomes, Refusal
from .interfaces import Reporter

if TYPE_CHECKING:  # imported where rules observe
    from ..core.explain.dry_run import DryRunResult

_REFUSED: Final = 400  # from this status on
_UNSEALED: Final[Mapping[Session, Standing]] = MappingProxyType({})
_NONE: Final[Mapping[str, str | int]] = MappingProxyType({})


class Foretold(NamedTuple):
    """Why a message would be refused one step up of `rule`; None: of some rule that observes."""

    rule: str | None
    direction: Direction
    reason: str


class MessageWatch:
    """What is told of one message as it goes, for traces and explanations. Here it is nothing.

    Of a message that is watched, every change is planned.
    """

    __slots__ = ()

    def arrived(self, headers: Headers) -> None:
        """Learn what the request has come with, before any of it is judged."""

    def admitted(self, decision: Decision) -> None:
        """Learn which rule takes it."""

    def planned(self, began: float, ended: float) -> None:
        """Learn when a body was planned (`time.perf_counter`); its keys are looked up now."""

    def without_keys(self, error: str) -> None:
        """Learn that no keys could be had, and the code of the error."""

    def carrying_out(self, plan: Plan, keys: Keys, now: float) -> None:
        """Learn of a plan that is carried out with these keys; `now` is in seconds since 1970."""

    def carried_out(self) -> None:
        """Learn that it has been carried out."""

    def refused(self, error: TrafficError, status: int) -> None:
        """Learn that the message is refused."""

    def responded(self, status: int) -> None:
        """Learn that the upstream has answered."""

    def over(self, now: float) -> None:
        """Learn that the message was over at `now` (`time.perf_counter`)."""


class MessageRecord(MessageLine):
    """The log line of one message, while its facts are gathered. It never holds a value.

    `client_name` is the configured name of its client, empty where none is asked for. `foretold` is
    why the message would be refused one step up, the first reason of each rule; so many of them are
    `told` already. `sealed` are the keys that have sealed something of the request, `sealed_before`
    the sessions of its other pieces. `exchange` is the one that it is about, once it is admitted.
    `opened` is what was opened and is still to be written down; `written_down` says that some was,
    and `withheld` that some of that did not go on. They are not in the line.
    """

    __slots__ = (
        "_began",
        "_responded",
        "_sent",
        "client_name",
        "direction",
        "exchange",
        "foretold",
        "opened",
        "sealed",
        "sealed_before",
        "told",
        "unopened",
        "watch",
        "withheld",
        "written_down",
    )

    def __init__(self, request_id: str, listener: str) -> None:
        self._began = time.perf_counter()
        self._sent = 0.0
        self._responded = 0.0
        self.client_name = ""
        self.foretold: tuple[Foretold, ...] = ()
        self.told = 0
        self.direction: Direction = "request"
        self.exchange: Exchange | None = None
        self.opened: tuple[Opening, ...] = ()
        self.written_down = False
        self.withheld = False
        self.sealed: Keys | None = None
        self.sealed_before: Mapping[Session, Standing] = _UNSEALED
        self.unopened: tuple[tuple[Direction, Unopened], ...] = ()
        self.request_id = request_id
        self.own_id = ""
        self.listener = listener
        self.method = ""
        self.rule = None
        self.status = 0
        self.request_bytes = 0
        self.response_bytes = 0
        self.duration_ms = 0.0
        self.request_outcomes = ()
        self.response_outcomes = ()
        self.observations = _NONE
        self.upstream_ms = None
        self.refusal = None
        self.trace_id = ""  # `sampled` is set and read with one
        self.changes = None
        self.switched = False
        self.caller = ""
        self.watch: MessageWatch | None = None

    def count(self, outcomes: Mapping[Outcome, int], keys: Keys = NO_KEYS) -> None:
        """Add how many values of this direction had which outcome, and what has sealed some."""
        # Nearly always there is one body in each direction.
        if self.direction == "request":
            if keys.sealing and not self.switched:  # an answer to a request says that this opens
                if self.sealed is None:
                    self.sealed = keys
                elif keys is not self.sealed:
                    more = dict.fromkeys(keys.sealing.values(), keys.standing)
                    self.sealed_before = {**self.sealed_before, **more}
            before = self.request_outcomes
            self.request_outcomes = _sum(before, outcomes) if before else tuple(outcomes.items())
        else:
            before = self.response_outcomes
            self.response_outcomes = _sum(before, outcomes) if before else tuple(outcomes.items())

    def note_opened(
        self,
        outcomes: Mapping[Outcome, int],
        sessions: Iterable[Session],
        tally: Tally,
        shown: Got = NOTHING_GOT,
        *,
        piece: bool = False,
    ) -> None:
        """Note what the client gets of which field, to be written down before any of it goes on.

        `shown` is of rules that tell callers apart, `tally` of all others. `piece` is as of
        `Opening`.
        """
        if GOT.isdisjoint(outcomes):
            return
        counts: dict[tuple[str, Outcome], int] = {**tally(), **shown}
        opened = sum(values for (_, how), values in counts.items() if how == "opened")
        if more := outcomes.get("opened", 0) - opened:  # those of a body opened as a stream
            counts["body", "opened"] = counts.get(("body", "opened"), 0) + more
        exchange = self.exchange
        who = (None, "") if exchange is None else (exchange.caller, exchange.purpose_of_use or "")
        where = self.listener, self.rule or "", self.direction, self.request_id
        self.opened = (*self.opened, Opening(*where, *who, tuple(sessions), counts, piece))

    def stands(self) -> bool:
        """Whether its answer may be relayed, as far as that is known without a wait.

        One that accepts the request says that what was sealed of it opens.
        """
        keys = self.sealed
        if keys is None or self.status >= _REFUSED:
            return True
        stands = keys.standing.stands
        for session in keys.sealing.values():  # nearly always one
            if not stands(session):
                return False
        before = self.sealed_before
        return not before or all(one.stands(session) for session, one in before.items())

    async def confirm(self) -> None:
        """See that its answer may be relayed; raise KeyUnavailable where it may not."""
        keys = self.sealed
        if keys is None or self.stands():
            return
        sealed = dict.fromkeys(keys.sealing.values(), keys.standing)
        for session, standing in {**self.sealed_before, **sealed}.items():
            await standing.confirm(session)

    def changed(self, began: float) -> None:
        """Note that a body has been changed from `began` (`time.perf_counter`) until now."""
        if self.changes is not None:
            self.changes.append((self.direction, time.perf_counter() - began))

    def asked(self, began: float) -> None:
        """Note that the backend was asked for a name since `began` (`time.perf_counter`)."""
        before = int(self.observations.get("asked_ms", 0))
        took = before + round((time.perf_counter() - began) * 1000)
        self.observations = {**self.observations, "asked_ms": took}

    def sending(self) -> None:
        """Note that the request goes upstream."""
        self._sent = time.perf_counter()

    def responded(self, status: int) -> None:
        """Note that the upstream has answered."""
        self._responded = time.perf_counter()
        self.status = status
        self.direction = "response"
        if self.watch is not None:
            self.watch.responded(status)

    def refused(self, error: TrafficError, status: int) -> None:
        """Note that the message was refused.

        The error itself is not kept: by its traceback it would hold the body, in a cycle.
        """
        self.refusal = Refusal(error.code, error.reason, self.direction)
        self.status = status
        if self.watch is not None:
            self.watch.refused(error, status)

    def refused_at(self, place: str) -> None:
        """Note where an unlisted name stands, spelled for the log."""
        self.observations = {**self.observations, "place": place}

    def observed(self, direction: Direction, result: DryRunResult) -> None:
        """Note what a rule that only observes would have done to one direction."""
        before = self.observations.get("observed")
        fields = dry_run_fields(direction, result)
        if before is not None:
            fields["observed"] = f"{before} {direction}"
        self.observations = {**self.observations, **fields}

    def foretell(self, foretold: Foretold) -> None:
        """Note why the message would be refused, unless it would be already."""
        if all(one.rule != foretold.rule for one in self.foretold):
            self.foretold += (foretold,)

    def named(self, operations: str) -> None:
        """Note which operations or events a request has, if any can be read."""
        if operations:
            self.observations = {**self.observations, "operations": operations}

    def observed_message(
        self, reporter: Reporter, direction: Direction, result: DryRunResult, operations: str
    ) -> None:
        """Report now what such a rule would have done to a message of a WebSocket."""
        fields = dry_run_fields(direction, result)
        if operations:
            fields["operations"] = operations
        reporter.report("message.observed", **self._who, **fields)

    def uncovered_messages(self, reporter: Reporter, route: str, kind: str) -> None:
        """Report now that no rule covers the messages of a WebSocket."""
        types = {"request_type": kind, "response_type": kind}
        reporter.report("message.observed", **{**self._who, "method": "WS"}, shape=route, **types)

    @property
    def _who(self) -> dict[str, object]:
        return {
            "request_id": self.request_id,
            "listener": self.listener,
            "method": self.method,
            "rule": self.rule,
        }

    def uncovered(self, route: str, request_type: str, response_type: str) -> None:
        """Note the shape and the types of a message that no rule covers."""
        types = {"request_type": request_type, "response_type": response_type}
        self.observations = {**self.observations, "shape": route, **types}

    def did_not_open(self, unopened: Iterable[Unopened]) -> None:
        """Note tokens that did not open."""
        self.unopened += tuple((self.direction, one) for one in unopened)

    def over(self, now: float) -> None:
        """Note that the message was over at `now` (`time.perf_counter`)."""
        self.duration_ms = (now - self._began) * 1000
        # A record may be kept for longer than keys should be.
        self.sealed, self.sealed_before = None, _UNSEALED
        if self._sent:
            self.upstream_ms = ((self._responded or now) - self._sent) * 1000
        if self.watch is not None:
            self.watch.over(now)

    @property
    def times(self) -> tuple[float, float, float]:
        """When it began, was sent, and was answered (`time.perf_counter`); 0 where it was not."""
        return self._began, self._sent, self._responded


def _sum(before: Outcomes, outcomes: Mapping[Outcome, int]) -> Outcomes:
    both = dict(before)
    for outcome, number in outcomes.items():
        both[outcome] = both.get(outcome, 0) + number
    return tuple(both.items())


def dry_run_fields(direction: Direction, result: DryRunResult) -> dict[str, str | int]:
    """Return as fields of an event what a rule would have done to a message."""
    before = "" if direction == "request" else "response_"
    fields: dict[str, str | int] = {
        f"{before}would_be_{outcome}": number for outcome, number in result.counts.items()
    }
    fields["observed"] = str(direction)
    if result.reason is not None:
        fields[f"{before}would_fail"] = result.reason
    return fields

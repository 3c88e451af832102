"""How many values each caller may open in a minute: one crawler with a valid role opens all."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...core.callers import VerifiedCaller
from ...core.errors import CallerOpensLimited
from ...core.values.key_needs import Opening
from ...core.values.outcomes import SHOWN
from ...keys.lru_map import BoundedMap
from ...process.rate_limit import RateLimit
from ..interfaces import OpensLog
from ..policy import MOST_VERDICTS, OPENS_SECONDS


class OpensLimit:
    """Counts what callers get as values or masks; those beyond their limit are refused.

    `most` has the limits by name, in values a minute for each subject. `then` is where it is
    written down. `counts` is by caller and outcome, and outlives a reload, as `begun` does: what
    each subject has left. `clock` returns seconds that never go back.
    """

    def __init__(
        self,
        most: Mapping[str, int],
        then: OpensLog | None,
        *,
        begun: BoundedMap[tuple[str, str, str, int], RateLimit],
        counts: dict[tuple[str, str], int],
        clock: Callable[[], float],
    ) -> None:
        self._most = most
        self._then = then
        self._begun = begun
        self._counts = counts
        self._clock = clock

    def admit(self, caller: VerifiedCaller | None) -> None:
        """Refuse a caller that has opened as much as it may; raise CallerOpensLimited."""
        limit = self._limit(caller)
        if caller is not None and limit is not None and limit.spent():
            self._count(caller, "limited", 1)
            raise CallerOpensLimited("caller-opens-limited")

    async def attempt(self, one: Opening) -> None:
        """Count what a message opens, then write it down.

        One of several messages may still be refused; a whole answer is not, once it is there.
        """
        if one.direction == "response":
            if one.piece:
                self.admit(one.caller)
            self.spend(one)
        if self._then is not None:
            await self._then.attempt(one)

    def spend(self, one: Opening) -> None:
        """Count what was opened."""
        limit = self._limit(one.caller)
        if one.caller is not None and limit is not None:
            values = sum(count for (_, how), count in one.counts.items() if how in SHOWN)
            limit.spend(values)
            self._count(one.caller, "opened", values)

    def over(self, request_id: str, *, delivered: bool) -> None:
        """Note that a message is over."""
        if self._then is not None:
            self._then.over(request_id, delivered=delivered)

    def _limit(self, caller: VerifiedCaller | None) -> RateLimit | None:
        if caller is None or (most := self._most.get(caller.name)) is None:
            return None
        who = caller.name, caller.issuer, caller.subject, most
        limit = self._begun.get(who)
        if limit is None:
            limit = RateLimit(most / OPENS_SECONDS, most, self._clock)
            self._begun.put(who, limit)
        return limit

    def _count(self, caller: VerifiedCaller, outcome: str, number: int) -> None:
        key = caller.name, outcome
        self._counts[key] = self._counts.get(key, 0) + number


def subjects() -> BoundedMap[tuple[str, str, str, int], RateLimit]:
    """Return where it is kept what each subject has left; it holds as many as verdicts."""
    return BoundedMap(MOST_VERDICTS)

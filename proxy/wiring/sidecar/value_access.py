"""Who may open and seal what by the admin API, by the callers and rules of all listeners."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...core.callers import VerifiedCaller
from ...core.crypto.context import Context
from ...core.crypto.token import Form
from ...core.errors import CallerKeysAway, CallersThrottled, CallerUnverified, TrafficError
from ...core.rules.audience import Shown
from ...core.rules.by_hand import Met, got_by_hand, refuse_sealing
from ...core.values.key_needs import Opening
from ...keys.operations.values import ByListener
from .lane import WiredLane


class RuledValues:
    """Decides by the rules in force (`ValueAccess`); `lanes` are the listeners by their names."""

    def __init__(self, lanes: Mapping[str, WiredLane]) -> None:
        self._lanes = lanes

    async def callers(self, credential: str | None) -> ByListener:
        """Return whose JWT it is at each listener that verifies it; nobody's without one.

        Raises CallerUnverified where none does, and as `Callers.verified`.
        """
        found: dict[str, VerifiedCaller] = {}
        if credential is None:
            return found
        token = credential.encode(errors="surrogatepass")
        refusal: TrafficError = CallerUnverified("no-callers")
        for name, lane in self._lanes.items():
            if lane.verifier is not None:
                try:
                    found[name] = await lane.verifier.of_token(token)
                except (CallerUnverified, CallersThrottled, CallerKeysAway) as error:
                    refusal = refusal if isinstance(refusal, CallerKeysAway) else error
        if not found:
            raise refusal
        return found

    def got(self, callers: ByListener, purpose: str, context: Context) -> Shown:
        """Do as `got_by_hand`."""
        return got_by_hand(self._met(callers), purpose, context)

    def refuse_sealing(
        self, callers: ByListener, purpose: str, context: Context, form: Form
    ) -> None:
        """Do as the function of this name."""
        refuse_sealing(self._met(callers), purpose, context, form)

    def admit(self, callers: ByListener) -> None:
        """Refuse a caller that has opened as much as it may; raise CallerOpensLimited."""
        for name, caller in callers.items():
            if (limit := self._lanes[name].opens_limit) is not None:
                limit.admit(caller)

    def spend(self, callers: ByListener, one: Opening) -> None:
        """Count what was opened towards the limits of the caller."""
        for name, caller in callers.items():
            if (limit := self._lanes[name].opens_limit) is not None:
                limit.spend(one._replace(caller=caller))

    def _met(self, callers: ByListener) -> Iterable[Met]:
        for name, lane in self._lanes.items():
            for rule in lane.rules:
                yield rule, callers.get(name)

"""Who may open and seal what by the admin API, by the callers and rules of all listeners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from ...core.callers import VerifiedCaller
from ...core.crypto.context import Context
from ...core.errors import CallerUnverified
from ...core.rules.audience import Shown
from ...core.rules.model import Rule
from .lane import WiredLane


class RuledValues:
    """Decides by the rules in force (`ValueAccess`); `lanes` returns the listeners."""

    def __init__(self, lanes: Callable[[], Iterable[WiredLane]]) -> None:
        self._lanes = lanes

    async def caller(self, credential: str | None) -> VerifiedCaller | None:
        """Return whose JWT it is by the first listener that verifies it; None without one.

        Raises CallerUnverified where none does, and as `Callers.verified`.
        """
        if credential is None:
            return None
        refusal = CallerUnverified("no-callers")
        for lane in self._lanes():
            if lane.verifier is None:
                continue
            try:
                return await lane.verifier.of_token(credential.encode(errors="surrogatepass"))
            except CallerUnverified as error:
                refusal = error
        raise refusal

    def got(self, caller: VerifiedCaller | None, purpose: str, context: Context) -> Shown:
        """Do as `got_by_hand`."""
        from ...core.rules.by_hand import got_by_hand  # noqa: PLC0415 - loaded with the first call

        return got_by_hand(self._rules(), caller, purpose, context)

    def refuse_sealing(self, caller: VerifiedCaller | None, context: Context) -> None:
        """Do as the function of this name."""
        from ...core.rules.by_hand import refuse_sealing  # noqa: PLC0415 - as above

        refuse_sealing(self._rules(), caller, context)

    def _rules(self) -> Iterable[Rule]:
        return chain.from_iterable(one.rules for one in self._lanes())

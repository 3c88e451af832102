"""States that last: the first line at once, and then one in ten minutes instead of one a second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..policy import MOST_STATES, RETOLD_SECONDS, STATE_SECONDS
from .event_keys import Event
from .processors import Clock


@dataclass(slots=True)
class _State:
    """When it began, was seen and was told last (seconds since 1970); `number` is not told yet."""

    began: float
    seen: float
    told: float
    number: int = 0


class Lasting:
    """Decides which lines of lasting states are written."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._states: dict[tuple[str, ...], _State] = {}

    def told(self, event: Event, fields: Mapping[str, object]) -> Mapping[str, object] | None:
        """Return the fields of the line to write now, or None for none.

        A state is an event with the same values under `event.lasts`. It has ended once it was not
        seen for a minute.
        """
        key = (event.name, *(str(fields.get(one)) for one in event.lasts))
        now = self._clock()
        state = self._states.pop(key, None)
        if state is None or not 0 <= now - state.seen < STATE_SECONDS:
            state = _State(now, now, now)
            shown: Mapping[str, object] | None = fields
        else:
            state.seen, state.number = now, state.number + 1
            shown = None
            if now - state.told >= RETOLD_SECONDS:
                shown = {**fields, "lasts_s": round(now - state.began), "number": state.number}
                state.told, state.number = now, 0
        self._states[key] = state  # the latest at the end
        if len(self._states) > MOST_STATES:
            del self._states[next(iter(self._states))]
        return shown

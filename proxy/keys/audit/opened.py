"""Who read what, and when: the lines about messages that opened something, asked for again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Any

from .line import ATTEMPTED, OVER
from .verification import Read


@dataclass(slots=True)
class Question:
    """Which lines are wanted. An empty member asks for nothing.

    `names` are those of conversations, `subjects` those of callers with the ids of their keys, and
    `since` and `until` in seconds since 1970; that of `until` is not wanted itself. Call it with
    each line in the order of the log.
    """

    event: str = ""
    names: Collection[str] = ()
    caller: str = ""
    subjects: Collection[tuple[str, str]] = ()
    since: float = -inf
    until: float = inf
    _delivered: dict[str, str] = field(init=False, default_factory=dict)

    def __call__(self, line: Read) -> bool:
        """Return whether a line is wanted; take note of what was delivered."""
        members = line.members
        if line.event == OVER and line.authentic:
            self._note(members)
        fits = self._is_of_event(line) and self._is_of_time(members) and self._is_about(members)
        if fits and line.event == ATTEMPTED:
            self._delivered.setdefault(_text(members.get("request_id")), "unknown")
        return fits

    def delivered(self, line: Read) -> Mapping[str, str]:
        """Return whether a line's message was handed over: `whole`, in `part` or `unknown`.

        It is `unknown` where the process was killed meanwhile, or still is at it.
        """
        if line.event != ATTEMPTED:
            return {}
        return {"delivered": self._delivered.get(_text(line.members.get("request_id")), "unknown")}

    def _note(self, members: Mapping[str, Any]) -> None:
        for how, word in (("delivered", "whole"), ("cut", "part")):
            for one in _texts(members.get(how)):
                if one in self._delivered:
                    self._delivered[one] = word

    def _is_of_event(self, line: Read) -> bool:
        return not self.event or line.event == self.event or line.event.startswith(f"{self.event}.")

    def _is_of_time(self, members: Mapping[str, Any]) -> bool:
        whenever = (self.since, self.until) == (-inf, inf)  # a million lines are not parsed
        return whenever or self.since <= _instant(members.get("at")) < self.until

    def _is_about(self, members: Mapping[str, Any]) -> bool:
        if self.caller and members.get("caller") != self.caller:
            return False
        who = _text(members.get("subject_hash")), _text(members.get("subject_key"))
        if self.subjects and who not in self.subjects:
            return False
        about = (_text(members.get("scope")), *_texts(members.get("scopes")))
        return not self.names or any(one in self.names for one in about)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, value)) if isinstance(value, list) else ()


def _instant(at: object) -> float:
    """Return the time of a line in seconds since 1970; before all others for what is none."""
    try:
        found = datetime.fromisoformat(_text(at))
    except ValueError:
        return -inf
    return -inf if found.tzinfo is None else found.timestamp()

"""How many requests may be under way, by whatever decides it."""

from __future__ import annotations

from typing import Final, Literal, Protocol

Outcome = Literal["answered", "failed", "cut", "timeout", "abandoned", "unconnected", "unsent"]
"""How a request ended. `answered`: all of the response came. `failed`, `timeout`: by the upstream.
`cut`: a new connection, before any response. `unconnected`: there was none. `abandoned`: the client
left, or the response did not come to its end. `unsent`: nothing was sent upstream."""


class Limit(Protocol):
    """How many requests may be under way at the upstream."""

    @property
    def value(self) -> int:
        """The number, at least 1."""

    def ended(self, seconds: float, outcome: Outcome, *, full: bool) -> None:
        """Learn how long a request was under way, how it ended, and whether others waited."""


class FixedLimit:
    """So many at any time."""

    __slots__ = ("value",)

    def __init__(self, value: int) -> None:
        self.value: Final = value

    def ended(self, seconds: float, outcome: Outcome, *, full: bool) -> None:
        """Learn nothing."""

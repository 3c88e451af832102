"""Who gets what of an opened value: a rule's answer for each caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Mask(NamedTuple):
    """How a text is hidden: so many grapheme clusters stay at its beginning and at its end.

    `length` is how many bullets stand for the rest, None for as many as it has. An `email` keeps
    the first cluster of its local part, and its domain.
    """

    first: int = 0
    last: int = 0
    length: int | None = None
    email: bool = False


Shown = Literal["value", "token", "absent", "refuse"] | Mask
"""What a caller gets: the value, a mask of it, its token, nothing, or no answer at all."""


@dataclass(frozen=True, slots=True)
class CallerAudience:
    """What callers get, by their names; all others get what `otherwise` says.

    `purpose` is the header that must say what for, in lower case; None: none is asked for.
    """

    shown: tuple[tuple[str, Shown], ...] = ()
    otherwise: Shown = "refuse"
    purpose: str | None = None

    def to(self, caller: str) -> Shown:
        """Return what a caller gets.

        Nobody without a credential gets what is written for others: `otherwise` is for them too.
        """
        return dict(self.shown).get(caller, self.otherwise)

    @property
    def outcomes(self) -> tuple[Shown, ...]:
        """Everything that anybody gets."""
        return (*(shown for _, shown in self.shown), self.otherwise)


def asks_for_purpose(shown: Shown) -> bool:
    """Return whether an outcome opens the value, so that it may need a purpose of use."""
    return shown == "value" or isinstance(shown, Mask)

"""Who gets what of an opened value: a rule's answer for each caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..callers import ANYONE


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
        """Return what a caller gets; values for clients without a credential are written out."""
        shown = dict(self.shown).get(caller)
        if shown is None and caller == ANYONE and self.otherwise == "value":
            return "refuse"
        return shown or self.otherwise

    def __str__(self) -> str:
        """Return who gets what, for a person."""
        pairs = [f"{name} {_word(shown)}" for name, shown in self.shown]
        return ", ".join([*pairs, f"others {_word(self.otherwise)}"])

    @property
    def outcomes(self) -> tuple[Shown, ...]:
        """Everything that anybody gets."""
        return (*(shown for _, shown in self.shown), self.otherwise)


def _word(shown: Shown) -> str:
    return "mask" if isinstance(shown, Mask) else shown


def asks_for_purpose(shown: Shown) -> bool:
    """Return whether an outcome opens the value, so that it may need a purpose of use."""
    return shown == "value" or isinstance(shown, Mask)

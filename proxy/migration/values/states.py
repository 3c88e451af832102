"""What became of each value, and how many of each there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from ..job.model import Verb

State = Literal[
    "sealed",
    "former",
    "misplaced",
    "plain",
    "unreadable",
    "lookalike",
    "nameless",
    "not-text",
    "not-json",
    "too-long",
    "unfit",
    "poison",
    "null",
    "absent",
    "unselected",
    "changed",
    "refused",
    "sealed-now",
    "resealed",
    "opened",
    "untagged",
    "indexed",
    "unindexed",
]
STATES: Final[dict[State, str]] = {
    "sealed": "opens for its binding",
    "former": "opens for a former binding",
    "misplaced": "a token of this tenant and conversation that is bound to something else",
    "plain": "not sealed",
    "unreadable": "begins like a token and does not open",
    "lookalike": "begins like a token, does not open, and is to be sealed as a text",
    "nameless": "the row lacks a name that binds it",
    "not-text": "the column holds something else than text",
    "not-json": "the column holds no JSON",
    "too-long": "the new value would not fit",
    "unfit": "the form has no place for it, or its names may not be sealed",
    "poison": "a poison token, which is to stay",
    "null": "there is no value",
    "absent": "the record has no such member",
    "unselected": "the cell holds nothing that `select` selects",
    "changed": "the row was changed meanwhile, and left as it is",
    "refused": "the backend or the database did not accept the new value",
    "sealed-now": "sealed by this run",
    "resealed": "sealed anew by this run",
    "opened": "opened by this run",
    "untagged": "sealed, and to be compared by other tags, or in another form or generation",
    "indexed": "given its tags by this run, or its form and generation",
    "unindexed": "freed of its tags by this run",
}
_DONE: Final[frozenset[State]] = frozenset(
    {
        "null", "absent", "unselected", "poison", "sealed-now", "resealed", "opened", "indexed",
        "unindexed",
    }
)  # fmt: skip
_MISSED: Final[frozenset[State]] = frozenset({"absent", "unselected"})
_GOOD: Final[dict[Verb, frozenset[State]]] = {
    "plan": _DONE | {"sealed", "plain", "lookalike"},
    "seal": _DONE | {"sealed"},
    "verify": _DONE | {"sealed"},
    "reseal": _DONE | {"sealed"},
    "open": _DONE | {"plain"},
    "scrub": _DONE | {"sealed"},
    "index": _DONE | {"sealed"},
    "drop-index": _DONE | {"sealed"},
}


HOLDS_ONE: Final = "holds-a-token"
"""The reason of a value within whose text a token is, be the value plain, sealed or opened."""


class Outcome(NamedTuple):
    """The state of a value; the KEK that opens it or that it names, and why it does not open.

    Of a value that needs another KEK still, since a token is within its text, HOLDS_ONE.
    """

    state: State
    kek: str = ""
    reason: str = ""


class Counted(NamedTuple):
    """How many values of a column have an outcome."""

    label: str
    outcome: Outcome
    values: int


class Tally:
    """Counts outcomes by column, and how long each column's new values are at most.

    `planned` is of a plan: how many rows would be written, and the bytes of their cells before and
    after.
    """

    __slots__ = ("_counts", "longest", "planned", "rows")

    def __init__(self) -> None:
        """Begin with none."""
        self._counts: Counter[tuple[str, Outcome]] = Counter()
        self.longest: dict[str, int] = {}
        self.planned = (0, 0, 0)
        self.rows = 0

    def add(self, label: str, outcome: Outcome, count: int = 1) -> None:
        """Count values."""
        self._counts[label, outcome] += count

    def grew(self, label: str, characters: int) -> None:
        """Note how long a new value is."""
        if characters > self.longest.get(label, 0):
            self.longest[label] = characters

    def plans(self, rows: int, before: int, after: int) -> None:
        """Count rows that would be written, and the bytes of their cells."""
        self.planned = (self.planned[0] + rows, self.planned[1] + before, self.planned[2] + after)

    def take(self, other: Tally) -> None:
        """Add another's counts."""
        self.plans(*other.planned)
        self._counts.update(other._counts)
        self.rows += other.rows
        for label, characters in other.longest.items():
            self.grew(label, characters)

    @property
    def values(self) -> Iterator[Counted]:
        """Yield the counts in a fixed order."""
        for (label, outcome), count in sorted(self._counts.items()):
            yield Counted(label, outcome, count)

    def of(self, state: State) -> int:
        """Return how many values have a state."""
        return sum(one.values for one in self.values if one.outcome.state == state)

    @property
    def nowhere(self) -> frozenset[str]:
        """Return the columns that no record has, or in which `select` finds nothing but nulls.

        What the job says of them is likely wrong.
        """
        labels: dict[str, set[State]] = {}
        for one in self.values:
            labels.setdefault(one.label, set()).add(one.outcome.state)
        return frozenset(
            label
            for label, states in labels.items()
            if states == {"absent"} or ("unselected" in states and states <= _MISSED | {"null"})
        )

    def left(self, verb: Verb) -> int:
        """Return how many values are not as the verb is to leave them, or are `nowhere`."""
        good, nowhere = _GOOD[verb], self.nowhere
        return sum(
            one.values
            for one in self.values
            if one.outcome.state not in good
            or (one.outcome.state in _MISSED and one.label in nowhere)
            or (verb == "open" and one.outcome.reason == HOLDS_ONE)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON holds them."""
        values = [[one.label, *one.outcome, one.values] for one in self.values]
        said = {"rows": self.rows, "values": values, "longest": self.longest}
        return said | ({"planned": self.planned} if any(self.planned) else {})

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Tally:
        """Return the tally that `to_json` gave."""
        made = cls()
        made.rows = int(said["rows"])
        made.longest = {str(label): int(size) for label, size in said["longest"].items()}
        made.plans(*said.get("planned", ()) or (0, 0, 0))
        for label, state, kek, reason, count in said["values"]:
            made.add(label, Outcome(state, kek, reason), count)
        return made

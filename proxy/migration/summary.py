"""What a run found, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from .job.model import Verb
from .values.states import STATES, Outcome, Tally


def lines(tally: Tally, verb: Verb) -> Iterator[str]:
    """Yield a line for each column and outcome, and one that says what is left."""
    for label, outcome, count in tally.values:
        yield f"{label}: {count:,} {_named(outcome)}"
    left = tally.left(verb)
    done = {"plan": "would be left", "verify": "not sealed"}.get(verb, "left")
    yield f"{tally.rows:,} rows, {left:,} values {done}"


def _named(outcome: Outcome) -> str:
    state = outcome.state
    kek = f" under {outcome.kek}" if outcome.kek else ""
    reason = f" ({outcome.reason})" if outcome.reason else ""
    return f"{state}{kek}{reason}: {STATES[state]}"

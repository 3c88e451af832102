"""What was measured, kept item by item, so that measuring one leaves the others alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

RESULTS: Final = Path(__file__).with_name("results.json")
VERDICTS: Final = {
    "ok": "the target is met",
    "ok short": "no failure, but the run was shorter or smaller than the target requires",
    "missed": "the target is not met",
    "missing": "not measured yet",
}

Form = Literal["short", "long"]


class Outcome(NamedTuple):
    """What a measurement said, and what that makes of the target: one of VERDICTS."""

    measured: str
    verdict: str


NOTHING: Final = Outcome("not measured yet", "missing")


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with the form that was run, when (UTC, to the minute), and on what."""

    form: Form
    at: str
    machine: str
    measured: str
    verdict: str


Results = dict[int, dict[Form, Result]]


def read(file: Path = RESULTS) -> Results:
    """Return the latest result of each item in each form."""
    if not file.exists():
        return {}
    return {
        int(number): {form: Result(**one) for form, one in forms.items()}
        for number, forms in json.loads(file.read_text()).items()
    }


def write(results: Results, file: Path = RESULTS) -> None:
    """Keep results, in the order of their numbers."""
    told = {
        str(number): {form: asdict(one) for form, one in sorted(results[number].items())}
        for number in sorted(results)
    }
    file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def telling(forms: Mapping[Form, Result]) -> Result | None:
    """Return the result that speaks for an item: the long form's, unless a later short one missed.

    A short run that finds nothing says less than a long one that found nothing before it.
    """
    long, short = forms.get("long"), forms.get("short")
    if long is None or short is None:
        return long or short
    return short if short.at > long.at and short.verdict == "missed" else long

"""The reasons in the log of a refused message: what causes each, and what to do."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple


class Reason(NamedTuple):
    """A reason under an error code: its cause, its remedy, and an example, all of them Markdown."""

    code: str
    reason: str
    cause: str
    remedy: str
    example: str


@cache
def reasons() -> tuple[Reason, ...]:
    """Return all reasons, by code."""
    text = Path(__file__).with_name("reasons.tsv").read_text("utf-8")
    return tuple(Reason(*line.split("\t")) for line in text.splitlines())


def explained(code: str, reason: str) -> Reason | None:
    """Return what is known of a reason; None for one of the operating system or of a defect."""
    return next((one for one in reasons() if (one.code, one.reason) == (code, reason)), None)

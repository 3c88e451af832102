"""What a check of the surroundings found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `text` says what to do where it is not ok.

    What may pass by itself is `passing`: it keeps nobody from starting.
    """

    check: str
    verdict: Verdict
    text: str
    passing: bool = False

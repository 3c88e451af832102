"""The keys of `log`: how much the log says of a rule's messages."""

from __future__ import annotations

from typing import Final

from . import shapes
from .fields import Fields
from .positions import Place
from .problems import Problems
from .settings import RuleLog
from .tables import Key, Table
from .values import choice, share

LEVELS: Final = ("info", "warning")

LOG: Final = Table(
    "log",
    "`log` of a rule or of `defaults`: which lines of its messages are written",
    (
        Key(
            "sample",
            "number above 0, up to 1",
            "Which share of the messages that went well is written; their lines carry it as"
            " `sample`. What was refused, failed or was cut off is always written, and counted are"
            " all.",
            shapes.SHARE,
            "1",
        ),
        Key(
            "level",
            "`info`, `warning`",
            "From which level on lines are written; `warning` leaves what was refused, failed or"
            " was cut off.",
            shapes.choice(LEVELS),
            "`info`",
        ),
    ),
)


def rule_log(place: Place | None, problems: Problems) -> RuleLog | None:
    """Return what `log` says, None where it is not there; what is wrong with it is told."""
    if place is None:
        return None
    fields = Fields(place, LOG, problems)
    sample_place, level_place = fields.get("sample"), fields.get("level")
    sample = None if sample_place is None else share(sample_place, problems)
    level = None if level_place is None else choice(level_place, LEVELS, problems)
    return RuleLog(1.0 if sample is None else sample, errors_only=level == "warning")

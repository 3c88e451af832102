"""The metrics of plain values that are still let through: until when, and how many are stored."""

from __future__ import annotations

from typing import Final

from .metric import Metric

PERMISSIVE_UNTIL: Final = Metric(
    "sealyard_permissive_until_timestamp_seconds",
    "soonest",
    ("listener", "rule"),
    "When the mode `permissive` of a rule ends, in seconds since 1970; absent for other rules.",
)
VERIFY_VALUES: Final = Metric(
    "sealyard_verify_values",
    "soonest",
    ("column", "state"),
    "Values that the reports in `keys.verify_reports` count, by column and by state: `sealed`,"
    " `plain` and others of `sealyard migrate`.",
)
VERIFY_AT: Final = Metric(
    "sealyard_verify_timestamp_seconds",
    "soonest",
    (),
    "When the oldest run of these reports began, in seconds since 1970; 0 where one is missing, or"
    " is no report of `verify` that this keyring signed.",
)

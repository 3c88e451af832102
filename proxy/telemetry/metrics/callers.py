"""The metrics of verified callers."""

from __future__ import annotations

from typing import Final

from .metric import Metric

VERIFICATIONS: Final = Metric(
    "sealyard_callers_total",
    "counter",
    ("listener", "caller", "outcome"),
    "Requests with credentials, by the name of the caller and the outcome: `verified` (now),"
    " `known` (before), `refused` (401), `throttled` (429) or `keys-away` (503). The name is empty"
    " where there is none.",
)
KEYS_AGE: Final = Metric(
    "sealyard_caller_keys_age_seconds",
    "gauge",
    ("listener", "host"),
    "How long ago the keys of an issuer were fetched. At 24 hours they are used no more.",
)

"""The metrics of the store: what it answers, how fast, and how full it is."""

from __future__ import annotations

from typing import Final

from .metric import FINE_SECONDS, Metric

STORE_ERRORS: Final = Metric(
    "sealyard_store_errors_total",
    "counter",
    ("store", "reason"),
    "Failed or invalid responses of the store.",
)
STORE_OPERATIONS: Final = Metric(
    "sealyard_store_operations_total",
    "counter",
    ("store", "result"),
    "Operations of the store, by result: `answered`, `failed`, or `rejected` by the circuit"
    " breaker.",
)
STORE_DURATION: Final = Metric(
    "sealyard_store_duration_seconds",
    "histogram",
    ("store", "operation"),
    "Time from an operation of the store to its result, a failure or the end of its time, by"
    " operation: `find`, `get_or_create`, `replace`, `revoke`, `note` or `keep`. Without the wait"
    " for a free place, and without operations that the circuit breaker rejected.",
    FINE_SECONDS,
)
STORE_BREAKER: Final = Metric(
    "sealyard_store_breaker",
    "gauge",
    ("store", "state"),
    "Processes whose circuit breaker is `closed` (normal operation), `open` (operations are"
    " rejected) or `half-open` (one operation is tried).",
)
STORE_OPENED: Final = Metric(
    "sealyard_store_breaker_opened_total",
    "counter",
    ("store",),
    "Times a circuit breaker opened.",
)
STORE_SUBSCRIBED: Final = Metric(
    "sealyard_store_subscribed",
    "gauge",
    ("store",),
    "Processes that are subscribed to the store's changes, so that rotations and revocations by"
    " other processes reach them at once. They reach the others within `revocation_max_age`.",
)
STORE_CLOCK_SKEW: Final = Metric(
    "sealyard_store_clock_skew_seconds",
    "soonest",
    ("store",),
    "By how many seconds the clock of the store is ahead of that of this process; negative where it"
    " is behind. Above 90 s either way, sessions are not shared and nothing can be revoked.",
)
STORE_ROOM: Final = Metric(
    "sealyard_store_room",
    "gauge",
    ("store", "state"),
    "Capacity for session keys and key packages (keys in memory, pages of 4 KiB in SQLite), `taken`"
    " and `free`. If nine tenths are taken, conversations without a key do not get one"
    " (`keys-full`).",
)

"""The metrics of overload: how busy and how healthy the backend is, and who waits for what."""

from __future__ import annotations

from typing import Final

from .metric import Metric

UPSTREAM_LIMIT: Final = Metric(
    "sealyard_upstream_limit",
    "gauge",
    ("listener",),
    "How many requests may be under way at the backend, as found by how long it takes to answer"
    " (at most `limits.connections`).",
)
UPSTREAM_REQUESTS: Final = Metric(
    "sealyard_upstream_requests",
    "gauge",
    ("listener", "state"),
    "Requests, by state: `under_way` at the backend, or `waiting` for a turn.",
)
UPSTREAM_LONG_LIVED: Final = Metric(
    "sealyard_upstream_long_lived",
    "gauge",
    ("listener", "kind"),
    "What lasts at the backend and does not count as requests under way, by kind: `websocket`,"
    " `event-stream` or `long-transfer`.",
)
UPSTREAM_WAITS: Final = Metric(
    "sealyard_upstream_waits_total",
    "counter",
    ("listener",),
    "Requests that had to wait for a turn at the backend, whether they got one or were refused.",
)
UPSTREAM_WAITED: Final = Metric(
    "sealyard_upstream_waited_seconds_total",
    "counter",
    ("listener",),
    "How long they waited, together.",
)
UPSTREAM_BREAKER: Final = Metric(
    "sealyard_upstream_breaker",
    "gauge",
    ("listener", "state"),
    "Processes whose circuit breaker towards the backend is `closed` (normal operation), `open`"
    " (requests are refused) or `half-open` (one request is tried).",
)
UPSTREAM_BREAKER_OPENED: Final = Metric(
    "sealyard_upstream_breaker_opened_total",
    "counter",
    ("listener",),
    "Times that a circuit breaker towards the backend opened.",
)
LOOP_LAG: Final = Metric(
    "sealyard_loop_lag_seconds",
    "gauge",
    (),
    "The longest turn of the event loop since the last scrape, summed over the workers: how long"
    " what arrives may wait before it is read.",
)

"""Drawn incidents: which alerts fire, after how long, and that no others do.

Each is drawn as the series that one sidecar exposes, 100 requests a second and one scrape a minute.
The same table stands in docs/how-to/operate.md, for those who carry the pager.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.telemetry.test_watching import ROOT

from .test_alerts import ALIVE, BROKEN, REFUSED, SERVED, here, judged, pytestmark

__all__ = ["pytestmark"]

BEGINS = 60
"""When an incident begins, in minutes."""
LASTS = 40
"""How long it is looked at."""
A_MINUTE = 6000
BUSY = BROKEN.replace("failed", "refused")
SLOW = SERVED.replace("2xx", "4xx").replace("forwarded", "refused")
SILENT = 'sealyard_clients_refused_total{listener="api",reason="workers"}'
WRITES = 'sealyard_uncovered_writes_total{listener="api"}'
SEQUENCE = "sealyard_audit_last_sequence"
LOSSES = "sealyard_audit_losses_total"
STORE = 'sealyard_store_errors_total{store="redis",reason="store-failed"}'
SUBSCRIBED = 'sealyard_store_subscribed{store="redis"}'
PENDING = "sealyard_pending_revocations"
LOADED = "sealyard_last_reload_successful"
UPSTREAM = (
    'sealyard_upstream_errors_total{listener="api",rule="send",code="upstream-failed",'
    'reason="connect"}'
)
RESTARTS = "sealyard_worker_restarts_total"
USUAL = {
    "up": f"1x{BEGINS + LASTS}",
    "sealyard_ready": f"1x{BEGINS + LASTS}",
    SERVED: f"0+{A_MINUTE}x{BEGINS + LASTS}",
    BROKEN: f"0x{BEGINS + LASTS}",
    SILENT: f"0x{BEGINS + LASTS}",
    WRITES: f"0x{BEGINS + LASTS}",
    SEQUENCE: f"100+1x{BEGINS + LASTS}",
    LOSSES: f"0x{BEGINS + LASTS}",
    SUBSCRIBED: f"1x{BEGINS + LASTS}",
    PENDING: f"0x{BEGINS + LASTS}",
    LOADED: f"1x{BEGINS + LASTS}",
    RESTARTS: f"0x{BEGINS + LASTS}",
}


@dataclass(frozen=True)
class Incident:
    """What happens, in words and as series; which alerts fire after how many minutes."""

    what: str
    series: dict[str, str]
    alerts: dict[str, int] = field(default_factory=dict)


def grows(each: float, before: float = 0) -> str:
    """Return a counter that goes on by `each` a minute once the incident has begun."""
    return f"0+{before}x{BEGINS} {before * BEGINS}+{each}x{LASTS}"


def becomes(value: str, after: str, minutes: int = LASTS) -> str:
    """Return a gauge that has another value from the incident on, for so many minutes."""
    rest = f" {value}x{LASTS - minutes - 1}" if minutes < LASTS else ""
    return f"{value}x{BEGINS} {after}x{minutes - 1}{rest}"


def failing(share: float) -> dict[str, str]:
    """Return requests of which a part fails at the backend."""
    return {
        SERVED: grows(A_MINUTE * (1 - share), A_MINUTE),
        BROKEN: grows(A_MINUTE * share),
        UPSTREAM: grows(A_MINUTE * share),
    }


def refused(share: float) -> dict[str, str]:
    """Return requests of which a part is refused for an overload."""
    reason = 'listener="api",direction="request",code="busy",reason="queue-full"'
    return {
        SERVED: grows(A_MINUTE * (1 - share), A_MINUTE),
        BUSY: grows(A_MINUTE * share),
        f"sealyard_refusal_reasons_total{{{reason}}}": grows(A_MINUTE * share),
    }


INCIDENTS = [
    Incident(
        "The backend is down",
        failing(1),
        {"SealyardClientsGetErrors": 3, "SealyardBackendFails": 7},
    ),
    Incident(
        "Every tenth request fails at the backend",
        failing(0.1),
        {"SealyardClientsGetErrors": 7, "SealyardBackendFails": 7},
    ),
    Incident(
        "A request in two thousand fails at the backend",
        failing(0.0005) | {UPSTREAM: grows(A_MINUTE * 0.0005)},
    ),
    Incident(
        "Three times the load: two thirds get 503",
        refused(0.66),
        {"SealyardClientsGetErrors": 3, "SealyardOverloaded": 7},
    ),
    Incident(
        "All workers hang: connections get 503",
        {SERVED: grows(0, A_MINUTE), SILENT: grows(A_MINUTE)},
        {"SealyardClientsGetErrors": 3, "SealyardRefusesClients": 7},
    ),
    Incident(
        "Workers die again and again, one a minute",
        {RESTARTS: grows(1)},
        {"SealyardWorkersDie": 4},
    ),
    Incident(
        "A new route of the application that no rule matches (`unmatched: pass`)",
        {WRITES: grows(1)},
        {"SealyardUncoveredPlaintext": 2},
    ),
    Incident("The audit log is deleted", {LOSSES: becomes("0", "1")}, {"SealyardAuditLogGone": 1}),
    Incident(
        "The audit log begins anew while nothing runs",
        {SEQUENCE: f"100+1x{BEGINS} 1+1x{LASTS}"},
        {"SealyardAuditLogReplaced": 1},
    ),
    Incident(
        "Redis is down",
        {STORE: grows(20), SUBSCRIBED: becomes("1", "0")},
        {"SealyardStoreFails": 7, "SealyardRevocationsDelayed": 11},
    ),
    Incident(
        "A revocation does not reach the store",
        {PENDING: becomes("0", "1")},
        {"SealyardRevocationPending": 2},
    ),
    Incident(
        "The key service is down at a restart of all",
        {"sealyard_ready": becomes("1", "0"), SERVED: grows(0, A_MINUTE)},
        {"SealyardNoneReady": 4, "SealyardNotReady": 6},
    ),
    Incident(
        "The process is gone",
        {
            "up": becomes("1", "0"),
            "sealyard_ready": f"1x{BEGINS}",
            SERVED: f"0+{A_MINUTE}x{BEGINS}",
        },
        {"SealyardTargetDown": 3},
    ),
    Incident(
        "A reload is refused",
        {LOADED: becomes("1", "0")},
        {"SealyardConfigurationRefused": 2},
    ),
    Incident(
        "A client sends ten malformed bodies a second",
        {
            SLOW: grows(600),
            'sealyard_refusal_reasons_total{listener="api",direction="request",'
            'code="invalid-body",reason="not-json"}': grows(600),
        },
        {"SealyardRefusesMessages": 12},
    ),
    Incident(
        "A value that no key opens is read once",
        {REFUSED: f"_x{BEGINS} 1x{LASTS}"},
        {"SealyardDoesNotOpen": 0},
    ),
    Incident(
        "A start that takes two minutes until the audit log is open and all is ready",
        {
            "sealyard_ready": becomes("1", "0", 2),
            SEQUENCE: f"100+1x{BEGINS} 0x2 160+1x{LASTS}",
            SERVED: f"0+{A_MINUTE}x{BEGINS} 0x2 0+{A_MINUTE}x{LASTS}",
        },
    ),
    Incident(
        "A roll-out: the process is away for a minute and begins anew",
        {
            "up": becomes("1", "0", 1),
            "sealyard_ready": f"1x{BEGINS} _x1 1x{LASTS}",
            SERVED: f"0+{A_MINUTE}x{BEGINS} _x1 0+{A_MINUTE}x{LASTS}",
        },
    ),
    Incident(
        "A revoked conversation is read, twice a second",
        {
            BUSY: grows(120),
            REFUSED.replace("unknown-key", "revoked-session"): grows(120),
        },
    ),
    Incident(
        "At night, with one request a minute, one of them fails",
        {SERVED: f"0+1x{BEGINS + LASTS}", BROKEN: f"_x{BEGINS} 1x{LASTS}"},
    ),
    Incident(
        "The backend answers nothing for two seconds",
        {BROKEN: f"0x{BEGINS} {A_MINUTE / 30}x{LASTS}", UPSTREAM: f"0x{BEGINS} 200x{LASTS}"},
    ),
]
FIRED = f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{LASTS}m]))'


def drawn(incident: Incident) -> dict[str, object]:
    """Return a test for promtool: which alerts have fired by each minute."""
    series = {**ALIVE, **USUAL, **incident.series}
    minutes = {0, LASTS - 1} | {at for one in incident.alerts.values() for at in (one - 1, one)}
    return {
        "name": incident.what,
        "interval": "1m",
        "input_series": [{"series": here(one), "values": values} for one, values in series.items()],
        "promql_expr_test": [
            {
                "expr": FIRED,
                "eval_time": f"{BEGINS + minute}m",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}"}}', "value": 1}
                    for alert, after in sorted(incident.alerts.items())
                    if after <= minute
                ],
            }
            for minute in sorted(minutes)
        ],
    }


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda one: one.what)
def test_an_incident_raises_its_alerts_in_time_and_no_others(
    tmp_path: Path, incident: Incident
) -> None:
    judged(tmp_path, [drawn(incident)])


def a_long_one() -> dict[str, object]:
    """Return a test for promtool: a request in 250 fails, after a day without any failure."""
    series = {SERVED: "0+12000x1500", BROKEN: "0x720 0+48x780"}
    alert = {"labels": '{alertname="SealyardErrorBudgetDrains"}', "value": 1}
    return {
        "name": "a request in 250",
        "interval": "2m",
        "input_series": [
            {"series": here(one), "values": values} for one, values in {**ALIVE, **series}.items()
        ],
        "promql_expr_test": [
            {"expr": FIRED, "eval_time": "30h", "exp_samples": []},
            {"expr": FIRED, "eval_time": "36h", "exp_samples": [alert]},
        ],
    }


def test_a_few_errors_all_the_time_are_told_within_half_a_day(tmp_path: Path) -> None:
    """The windows of a day and of three."""
    judged(tmp_path, [a_long_one()])


def table() -> str:
    """Return the table as the page has it."""
    rows = [
        f"| {one.what} | "
        + (
            ", ".join(
                f"[{alert}](../runbooks/{alert}.md) {'at once' if not after else f'{after} min'}"
                for alert, after in sorted(one.alerts.items(), key=lambda each: each[1])
            )
            or "none"
        )
        + " |"
        for one in INCIDENTS
    ]
    return "\n".join(["| what happens | alerts, and after how long |", "|---|---|", *rows])


def test_the_page_for_operators_has_the_same_table() -> None:
    assert table() in (ROOT / "docs" / "how-to" / "operate.md").read_text()

"""Every alert of the chart fires when it should, and is quiet when it should, by `promtool`.

The counters begin with the zero that a process exposes from its start: one that begins with 1 has
not increased.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.telemetry.test_watching import ALERTS, FILES, OF_ALL, RULES

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

HERE = 'job="sealyard",instance="a:15021"'
ALIVE = {"sealyard_build_info": "1x20000"}
BY_RULE = 'listener="api",rule="send"'
REFUSED = (
    'sealyard_refusal_reasons_total{listener="api",direction="response",code="open-failed",'
    'reason="unknown-key"}'
)
DURATION = "sealyard_request_duration_seconds"
SENT = 'listener="api",rule="send",method="POST",status_class="2xx",outcome="forwarded"'
SOCKET = 'listener="api",rule="live",method="GET",status_class="1xx",outcome="forwarded"'
BUSY = 'listener="api",direction="request",code="busy",reason="queue-full"'
FAILED = f'{BY_RULE},code="upstream-failed",reason="connect"'
UNACCEPTED = 'sealyard_participant_keys_unaccepted_total{use="enc",refused="yes"}'
LIMITED = 'sealyard_caller_opens_total{{listener="api",caller="doctor",outcome="{}"}}'
UNTIL = f"sealyard_permissive_until_timestamp_seconds{{{BY_RULE}}}"
STORED = 'sealyard_verify_values{column="messages.content",state="plain"}'
PLAIN = f'sealyard_values_total{{{BY_RULE},direction="request",outcome="plain"}}'
BREAKS = (
    f'sealyard_step_up_refusals_total{{{BY_RULE},direction="request",reason="not-a-token",'
    'caller="ios"}'
)
DENIED = 'sealyard_injector_reviews_total{pod_namespace="shop",outcome="denied"}'
UNCOUNTED = (
    'sealyard_step_up_refusals_total{listener="other",rule="other",direction="other",'
    'reason="other",caller="other"}'
)

OTHER = 'sealyard_ready{job="sealyard",instance="b:15021"}'
SERVED = f"{DURATION}_count{{{SENT}}}"
BROKEN = SERVED.replace("2xx", "5xx").replace("forwarded", "failed")

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series after which an alert fires at a time, and those after which it does not."""

    alert: str
    fires: Series
    quiet: Series
    at: str = "5m"
    alive: bool = True
    step: str = "1m"


def level(alert: str, name: str, wrong: int, right: int, at: str = "5m") -> Case:
    """Return the case of an alert about the value of a gauge."""
    return Case(alert, {name: f"{wrong}x100"}, {name: f"{right}x100"}, at)


def once(alert: str, name: str, other: str | None = None) -> Case:
    """Return the case of an alert about a counter that increases by one, once."""
    quiet = {name: "0x100"} if other is None else {name: "0x100", other: "0 0 1x100"}
    return Case(alert, {name: "0 0 1x100"}, quiet)


def keyring(alert: str, state: str, at: str) -> Case:
    """Return the case of an alert about a state of the keyring."""
    return level(alert, f'sealyard_keyring_state{{state="{state}"}}', 1, 0, at)


CASES = [
    Case("SealyardAbsent", {}, {}, "6m", alive=False),
    Case(
        "SealyardTargetDown",
        {"up": "1x3 0x20", "sealyard_build_info": "1x3 _x20"},
        {"up": "1x20", 'up{instance="b:80",job="others"}': "0x20", **ALIVE},
        "10m",
        alive=False,
    ),
    Case(
        "SealyardClientsGetErrors",
        {SERVED: "0+600x90", BROKEN: "0+20x90"},
        {SERVED: "0+600x90", BROKEN: "0+3x90"},
        "80m",
    ),
    Case(
        "SealyardErrorBudgetDrains",
        {SERVED: "0+1000x300", BROKEN: "0+4x300"},
        {SERVED: "0+2000x300", BROKEN: "0+1x300"},
        "8h",
        step="2m",
    ),
    Case(
        "SealyardNoneReady",
        {"sealyard_ready": "1x3 0x20", OTHER: "1x3 0x20"},
        {"sealyard_ready": "1x3 0x20", OTHER: "1x20"},
        "7m",
    ),
    once("SealyardUncoveredPlaintext", 'sealyard_uncovered_writes_total{listener="api"}'),
    Case(
        "SealyardNotReady",
        {"sealyard_ready": "0x20", OTHER: "1x20"},
        {"sealyard_ready": "1x20", OTHER: "1x20"},
        "8m",
    ),
    Case(
        "SealyardRefusesMessages",
        {REFUSED.replace("open-failed", "invalid-body"): "0+30x60"},
        {REFUSED.replace("open-failed", "invalid-body"): "0+3x60"},
        "20m",
    ),
    once("SealyardDoesNotOpen", REFUSED, REFUSED.replace("unknown-key", "revoked-session")),
    Case(  # the first ever
        "SealyardDoesNotOpen",
        {REFUSED: "_x5 1x20"},
        {REFUSED.replace("unknown-key", "revoked-session"): "_x5 1x20"},
        "8m",
    ),
    Case(
        "SealyardKeepsTokens",
        {PLAIN.replace("plain", "kept"): "0+1x60"},
        {PLAIN.replace("plain", "opened"): "0+1x60"},
        "30m",
    ),
    Case(
        "SealyardBackendFails",
        {f"sealyard_upstream_errors_total{{{FAILED}}}": "0+30x60"},
        {f"sealyard_upstream_errors_total{{{FAILED}}}": "0+3x60"},
        "12m",
    ),
    Case(
        "SealyardRefusesClients",
        {
            SERVED: "0+60000x60",
            'sealyard_clients_refused_total{listener="api",reason="clients"}': "0+5x60",
        },
        {
            SERVED: "0+60000x60",
            'sealyard_clients_refused_total{listener="api",reason="clients"}': "0 0 1x60",
        },
        "15m",
    ),
    Case(
        "SealyardSlow",
        {
            f"{DURATION}_sum{{{SENT}}}": "0+60x60",
            f"{DURATION}_count{{{SENT}}}": "0+600x60",
            f"sealyard_upstream_duration_seconds_sum{{{BY_RULE}}}": "0+1x60",
        },
        {  # a WebSocket ended that lasted an hour, and the backend is slow
            f"{DURATION}_sum{{{SENT}}}": "0+60x60",
            f"{DURATION}_count{{{SENT}}}": "0+600x60",
            f"{DURATION}_sum{{{SOCKET}}}": "0+3600x60",
            f"{DURATION}_count{{{SOCKET}}}": "0+1x60",
            f"sealyard_upstream_duration_seconds_sum{{{BY_RULE}}}": "0+58x60",
        },
        "20m",
    ),
    Case(
        "SealyardOverloaded",
        {f"sealyard_refusal_reasons_total{{{BUSY}}}": "0+30x60"},
        {f"sealyard_refusal_reasons_total{{{BUSY}}}": "0+3x60"},
        "12m",
    ),
    Case(
        "SealyardStoreFails",
        {'sealyard_store_errors_total{store="redis",reason="store-timeout"}': "0+1x60"},
        {'sealyard_store_errors_total{store="redis",reason="store-timeout"}': "0x3 1x60"},
        "12m",
    ),
    Case(
        "SealyardStoreFills",
        {
            'sealyard_store_room{store="memory",state="taken"}': "90x10",
            'sealyard_store_room{store="memory",state="free"}': "10x10",
        },
        {
            'sealyard_store_room{store="memory",state="taken"}': "10x10",
            'sealyard_store_room{store="memory",state="free"}': "90x10",
        },
    ),
    level("SealyardRevocationsDelayed", 'sealyard_store_subscribed{store="redis"}', 0, 1, "15m"),
    level("SealyardRevocationPending", "sealyard_pending_revocations", 1, 0),
    level("SealyardClockSkew", 'sealyard_store_clock_skew_seconds{store="redis"}', -45, 5),
    once(
        "SealyardRevocationNotKept",
        'sealyard_revocations_total{kept="process"}',
        'sealyard_revocations_total{kept="keyring"}',
    ),
    level("SealyardConfigurationRefused", "sealyard_last_reload_successful", 0, 1),
    Case(
        "SealyardWorkersDie",
        {"sealyard_worker_restarts_total": "0 1 2 3 4x20"},
        {"sealyard_worker_restarts_total": "0 0 1x20"},
        "8m",
    ),
    once("SealyardLosesLogLines", "sealyard_log_lines_lost_total"),
    once("SealyardAuditFails", "sealyard_audit_failures_total"),
    Case(
        "SealyardAuditLogReplaced",
        {"sealyard_audit_last_sequence": "100x4 3x20"},
        {"sealyard_audit_last_sequence": "100x4 0x4 101+1x20"},  # a slow start
        "7m",
    ),
    once("SealyardAuditLogGone", "sealyard_audit_losses_total"),
    once("SealyardPoisonOpened", f"sealyard_poison_opened_total{{{BY_RULE}}}"),
    once("SealyardCallerLimited", LIMITED.format("limited"), LIMITED.format("opened")),
    once("SealyardParticipantKeyChanged", UNACCEPTED),
    keyring("SealyardKeyringMismatch", "mismatch", "1m"),
    keyring("SealyardKeyringForked", "forked", "8m"),
    keyring("SealyardKeyringOlder", "older", "20m"),
    keyring("SealyardKeyringBehind", "behind", "70m"),
    keyring("SealyardKeyringUnverified", "unverified", "1m"),
    keyring("SealyardKeyringUnsigned", "unsigned", "8m"),
    level("SealyardRootRefuses", 'sealyard_root_refused{kind="vault"}', 1, 0),
    Case(
        "SealyardRootLeaseEnds",
        {"sealyard_root_lease_left_seconds": "200x10", 'sealyard_root_refused{kind="v"}': "1x10"},
        {"sealyard_root_lease_left_seconds": "200x10", 'sealyard_root_refused{kind="v"}': "0x10"},
        "1m",
    ),
    Case(
        "SealyardInjectorDenies",
        {DENIED: "0+1x40"},
        {DENIED: "0x40", DENIED.replace("denied", "injected"): "0+1x40"},
        "20m",
    ),
    Case(
        "SealyardInjectorDenies",
        {DENIED: "_x5 1x60"},  # the first of its namespace
        {DENIED.replace("denied", "injected"): "_x5 1x60"},
        "18m",
    ),
    once("SealyardInjectorFails", 'sealyard_injector_refusals_total{reason="malformed"}'),
    level("SealyardRevocationsFill", "sealyard_keyring_revocations", 8000, 7999),
    Case(
        "SealyardKekIsOld",
        {
            'sealyard_kek_created_timestamp_seconds{kek="k1"}': "-40000000x20",
            'sealyard_kek_state{kek="k1",state="primary"}': "1x20",
        },
        {
            'sealyard_kek_created_timestamp_seconds{kek="k1"}': "-40000000x20",
            'sealyard_kek_state{kek="k1",state="decrypt"}': "1x20",
        },
    ),
    Case(
        "SealyardPermissiveEnds",
        {PLAIN: "0+1x60", UNTIL: "3600x60"},
        {PLAIN: "0+1x60", UNTIL: "1000000000x60"},
        "20m",
    ),
    Case(
        "SealyardPermissiveEnds",
        {BREAKS: "0+1x60", UNTIL: "3600x60"},
        {BREAKS: "0+1x60", UNTIL: "1000000000x60"},
        "20m",
    ),
    Case(  # what could not be counted by rule, and another rule
        "SealyardPermissiveEnds",
        {UNCOUNTED: "_x5 3x60", UNTIL: "3600x60"},
        {BREAKS.replace("send", "list"): "0+1x60", UNTIL: "3600x60"},
        "20m",
    ),
    Case(
        "SealyardPermissiveEnds",
        {STORED: "3x60", UNTIL: "3600x60"},
        {STORED: "3x60", UNTIL: "1000000000x60"},
        "20m",
    ),
    Case(
        "SealyardPermissiveEnds",
        {STORED: "3x60", UNTIL: "3600x60"},
        {STORED.replace("plain", "sealed"): "3x60", UNTIL: "3600x60"},
        "20m",
    ),
    Case(
        "SealyardRuleMatchesNothing",
        {f'sealyard_messages_total{{{BY_RULE},outcome="forwarded"}}': "5x1000"},
        {f'sealyard_messages_total{{{BY_RULE},outcome="forwarded"}}': "5+1x1000"},
        "9d",
        step="30m",
    ),
]
FIRING = 'count by (alertname, instance) (ALERTS{alertstate="firing"})'


def here(name: str) -> str:
    """Return a series with the labels that Prometheus adds."""
    if "instance=" in name:
        return name
    bare, _, labels = name.rstrip("}").partition("{")
    return f"{bare}{{{HERE}{',' if labels else ''}{labels}}}"


def scene(case: Case, series: Series, firing: set[str]) -> dict[str, Any]:
    """Return a test for promtool: these series, and which alerts fire after them."""
    seen = {**(ALIVE if case.alive else {}), **series}
    samples = [
        {
            "labels": f'{{alertname="{name}"}}'
            if name in OF_ALL
            else f'{{alertname="{name}",instance="a:15021"}}',
            "value": 1,
        }
        for name in sorted(firing)
    ]
    return {
        "name": f"{case.alert} {'fires' if firing else 'is quiet'}",
        "interval": case.step,
        "input_series": [{"series": here(one), "values": values} for one, values in seen.items()],
        "promql_expr_test": [{"expr": FIRING, "eval_time": case.at, "exp_samples": samples}],
    }


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it says."""
    assert PROMTOOL is not None
    done = subprocess.run(  # noqa: S603 - the tool that is installed here
        [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def judged(folder: Path, tests: list[dict[str, Any]]) -> None:
    """Let promtool run tests of the rules; raise AssertionError where one fails."""
    file = folder / "alerts.yaml"
    rules = str(FILES / "rules.yaml")
    every = tests[0]["interval"]
    made = {"rule_files": [rules], "evaluation_interval": every, "tests": tests}
    file.write_text(yaml.safe_dump(made, sort_keys=False))
    promtool("test", "rules", file)


def test_the_rules_are_valid() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", FILES / "rules.yaml")


def test_every_alert_has_a_case() -> None:
    told = list(dict.fromkeys(case.alert for case in CASES))

    assert told == [alert["alert"] for alert in ALERTS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_alone_and_is_quiet(tmp_path: Path, case: Case) -> None:
    quiet = {**ALIVE, **case.quiet}
    judged(tmp_path, [scene(case, case.fires, {case.alert}), scene(case, quiet, set())])


def test_a_case_that_does_not_hold_is_found(tmp_path: Path) -> None:
    ready = next(case for case in CASES if case.alert == "SealyardNotReady")

    with pytest.raises(AssertionError, match="FAILED"):
        judged(tmp_path, [scene(ready, ready.quiet, {ready.alert})])


def test_an_alert_names_the_instance_and_its_runbook(tmp_path: Path) -> None:
    """As Alertmanager gets them: with every label filled in."""
    case = next(one for one in CASES if one.alert == "SealyardBackendFails")
    made = scene(case, case.fires, {case.alert})
    made["alert_rule_test"] = [
        {
            "eval_time": case.at,
            "alertname": case.alert,
            "exp_alerts": [
                {
                    "exp_labels": {
                        "severity": "warning",
                        "instance": "a:15021",
                        "listener": "api",
                        "reason": "connect",
                    },
                    "exp_annotations": {
                        "summary": "a:15021: The application behind the listener api gives no"
                        " usable responses: connect.",
                        "runbook": "docs/runbooks/SealyardBackendFails.md",
                    },
                }
            ],
        }
    ]
    judged(tmp_path, [made])


def permissive_ends(at: str, series: Series, safe: str | None) -> dict[str, Any]:
    """Return a test of the alert on a mode that ends: what it says of safety; None: it is quiet."""
    severity = "info" if safe == "yes" else "warning"
    labels = {"listener": "api", "rule": "send", "safe": safe, "severity": severity}
    said = {
        "no": "This is not safe: messages of the past day would be refused.",
        "unknown": "It is not known to be safe: plain values are stored, or refusals were not"
        " counted by rule.",
        "yes": "This is safe by the past day: plain values pass, and would go on to do so.",
    }
    name = "SealyardPermissiveEnds"
    ends = "The rule send ends its mode permissive within seven days."
    annotations = {
        "summary": f"{ends} {said.get(safe or '')}",
        "runbook": f"docs/runbooks/{name}.md",
    }
    fired = [] if safe is None else [{"exp_labels": labels, "exp_annotations": annotations}]
    seen = {**ALIVE, UNTIL: "300000x200", **series}
    return {
        "name": f"{safe} at {at}",
        "interval": "30m",
        "input_series": [{"series": here(one), "values": values} for one, values in seen.items()],
        "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": fired}],
    }


@pytest.mark.parametrize(
    ("at", "series", "safe"),
    [
        ("20h", {PLAIN: "0+1x100", BREAKS: "0+1x100"}, "no"),
        # One message, with which the series begins: no increase is ever seen.
        ("20h", {PLAIN: "0x30 1x70", BREAKS: "_x30 1x70"}, "no"),
        # Another replica has it too, and only that one breaks.
        ("40h", {BREAKS: "5x100", here(BREAKS).replace("a:", "b:"): "_x50 1x70"}, "no"),
        # More than a day ago, and since then what passes would go on to.
        ("60h", {PLAIN: "0+1x150", BREAKS: "_x30 1x120"}, "yes"),
        ("60h", {PLAIN: "0x30 1x120", BREAKS: "_x30 1x120"}, None),
        ("20h", {PLAIN: "0+1x100", BREAKS: "0+1x100", STORED: "3x100"}, "no"),
        ("20h", {PLAIN: "0+1x100", STORED: "3x100"}, "unknown"),
        ("20h", {PLAIN: "0+1x100", UNCOUNTED: "_x30 1x70"}, "unknown"),
        ("20h", {PLAIN: "0+1x100"}, "yes"),
        ("20h", {PLAIN: "0+1x100", BREAKS.replace('"send"', '"list"'): "0+1x100"}, "yes"),
        ("20h", {PLAIN: "4x100"}, None),
    ],
)
def test_the_end_of_permissive_says_whether_it_is_safe(
    tmp_path: Path, at: str, series: Series, safe: str | None
) -> None:
    judged(tmp_path, [permissive_ends(at, series, safe)])

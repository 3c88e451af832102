"""Dashboard, alerts and runbooks speak of what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.schema.json_schema import SECTIONS
from proxy.core.errors import traffic_errors
from proxy.telemetry.logs.event_keys import OTEL
from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.metrics.prometheus_text import exposed
from proxy.telemetry.metrics.samples import Samples
from proxy.telemetry.metrics.table import METRICS

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "sealyard" / "files"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES: list[dict[str, Any]] = yaml.safe_load((FILES / "rules.yaml").read_text())["groups"][0][
    "rules"
]
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
EXPRESSIONS = [rule["expr"] for rule in RULES] + [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]
_SELECTOR = re.compile(r"(sealyard_\w+)(?:\{([^}]*)\})?")
# What Prometheus adds by itself, and what the chart's PodMonitor makes of a pod.
_GIVEN = {"job", "namespace", "pod", "instance", "le"}
OF_ALL = {
    "SealyardAbsent",
    "SealyardClientsGetErrors",
    "SealyardErrorBudgetDrains",
    "SealyardNoneReady",
    "SealyardPermissiveEnds",
    "SealyardRuleMatchesNothing",
}
"""Alerts about what all processes do together, or about none."""
_CHOSEN = ("instance", "listener", "rule")
"""The variables of the dashboard."""


def every_series() -> set[str]:
    """Return the names under which a scraper finds what the table declares."""
    samples = Samples()
    for metric in METRICS.values():
        samples.add(metric, *(1.0,) * metric.width, labels=("x",) * len(metric.labels))
    lines = exposed(samples).body.decode().splitlines()
    return {re.split(r"[{ ]", line)[0] for line in lines if not line.startswith("#")}


def family(name: str) -> str:
    """Return the metric of a series."""
    return name if name in METRICS else re.sub("_(bucket|sum|count)$", "", name)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_series_that_there_are(expression: str) -> None:
    found = _SELECTOR.findall(expression)
    labels = {label for name, _ in found for label in METRICS[family(name)].labels}
    asked = {word for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
             for word in group.split(", ")}  # fmt: skip

    assert found or expression == "vector(0.001)" or any(one in expression for one in RECORDS)
    assert {name for name, _ in found} <= every_series()
    assert not found or asked <= labels | _GIVEN
    for name, selector in found:
        chosen = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", selector))
        assert chosen <= {*METRICS[family(name)].labels, "instance"}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_has_a_runbook(alert: dict[str, Any]) -> None:
    page = RUNBOOKS / f"{alert['alert']}.md"

    assert alert["annotations"]["runbook"] == str(page.relative_to(ROOT))
    assert page.read_text().startswith(f"# {alert['alert']}\n")
    assert f"({alert['alert']}.md)" in (RUNBOOKS / "README.md").read_text()
    assert alert["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_names_the_instance_unless_it_is_about_all_of_them(alert: dict[str, Any]) -> None:
    named = alert["annotations"]["summary"].startswith("{{ $labels.instance }}: ")
    groups = re.findall(r"\bby \(([^)]*)\)", alert["expr"])

    assert named is (alert["alert"] not in OF_ALL)
    assert not named or all("instance" in group.split(", ") for group in groups)


def test_every_query_of_the_dashboard_heeds_its_variables() -> None:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            for name, selector in _SELECTOR.findall(target["expr"]):
                chosen = {"instance", *METRICS[family(name)].labels} & {"instance", *_CHOSEN}
                heeded = set(re.findall(r'(\w+)=~"\$\1"', selector))
                assert heeded == chosen, (panel["title"], name)
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["source", *_CHOSEN]


def test_a_runbook_belongs_to_an_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}

    assert pages == {alert["alert"] for alert in ALERTS}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_speaks_of_what_there_is(page: Path) -> None:
    text = page.read_text()
    others = {"rules.yaml", "dashboard.json"} | set(re.findall(r"`(\S+)` in the audit log", text))
    events = set(re.findall(r"`([a-z]+\.[a-z_]+)`", text)) - others
    names = {OTEL.key(key) for event in EVENTS.values() for key in event.keys}
    codes = {error.code for error in traffic_errors()}
    settings = {f"{one.name}.{key.name}" for one in SECTIONS for key in one.keys}

    assert {name for name, _ in _SELECTOR.findall(text)} <= every_series()
    assert events <= set(EVENTS) | names | settings
    assert set(re.findall(r'code="([^"]+)"', text)) <= codes
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (page.parent / link).exists(), link


def test_a_metric_is_named_by_the_conventions_of_prometheus() -> None:
    for metric in METRICS.values():
        assert metric.name.startswith("sealyard_")
        assert metric.name.endswith("_total") is (metric.kind == "counter")
        assert not metric.name.endswith(("_ms", "_milliseconds", "_kib"))
        assert not set(metric.labels) & _GIVEN

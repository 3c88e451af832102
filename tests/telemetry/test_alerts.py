"""The alerts of the chart, as Prometheus itself evaluates them over metrics that come and go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from proxy.telemetry.metrics.table import METRICS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = ROOT / "helm" / "sealyard" / "files" / "rules.yaml"
CASES = HERE / "alerts.yaml"
TESTS = yaml.safe_load(CASES.read_text())["tests"]
PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool: ./dev packages installs it"
)

CHANGES = {
    "SealyardRootRefuses": (
        "sealyard_root_refused > 0\n        for: 2m",
        "sealyard_root_refused > 0\n        for: 9m",
    ),
    "SealyardRootLeaseEnds": (" and on (instance) sealyard_root_refused > 0", ""),
    "SealyardPermissiveEnds": ('outcome="plain"}[1d]', 'outcome=~"plain|opened|sealed"}[1d]'),
}
"""For each alert, a mistake in its rule that the cases must notice."""


def evaluated(rules: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Return how promtool ends with the cases and these rules, those of other alerts left out."""
    asked = {one["alertname"] for test in TESTS for one in test["alert_rule_test"]}
    (group,) = yaml.safe_load(rules)["groups"]
    group["rules"] = [one for one in group["rules"] if one.get("alert") in asked]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    cases = CASES.read_text().replace("../../helm/sealyard/files/rules.yaml", "rules.yaml")
    (folder / "alerts.yaml").write_text(cases)
    return subprocess.run(  # noqa: S603 - Debian's promtool
        [PROMTOOL or "", "test", "rules", "alerts.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_promtool
def test_the_alerts_are_raised_when_they_must_be(tmp_path: Path) -> None:
    done = evaluated(RULES.read_text(), tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("alert", CHANGES)
def test_the_cases_notice_a_mistake(tmp_path: Path, alert: str) -> None:
    right, wrong = CHANGES[alert]
    rules = RULES.read_text()
    assert rules.count(right) == 1

    done = evaluated(rules.replace(right, wrong), tmp_path)

    assert done.returncode == 1
    assert alert in done.stdout + done.stderr


def test_the_cases_use_metrics_with_the_labels_that_they_have() -> None:
    """Without this, a renamed metric would leave cases that hold for nothing."""
    scraped = {"namespace", "pod", "instance"}
    for test in TESTS:
        for series in test["input_series"]:
            name, _, rest = series["series"].partition("{")
            labels = {one.partition("=")[0].strip() for one in rest.rstrip("}").split(", ")}
            assert labels - scraped == set(METRICS[name].labels), series["series"]

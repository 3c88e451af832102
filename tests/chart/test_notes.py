"""What Helm prints after an installation: it warns of what the values leave open."""

from __future__ import annotations

import pytest

from tests.chart.conftest import CHART, Tool
from tests.chart.test_chart import DEFAULT


def notes(tool: Tool, *arguments: str) -> str:
    """Return the notes of the chart, as Helm 4 renders them without a cluster."""
    command = ("helm4", "install", "seal", CHART, "-n", "sealyard", "--dry-run=client")
    done = tool(*command, "-f", DEFAULT, *arguments)
    assert done.code == 0, done.complained
    return done.said.partition("\nNOTES:\n")[2]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("webhook.reinvocationPolicy=Never", "What webhooks add to a pod after the injector"),
        ("webhook.failurePolicy=Ignore", "start without the sidecar"),
        ("injector.replicas=1", "While that pod restarts, no pod with the label can"),
        ("tls.mode=helm", "--reset-then-reuse-values --set tls.helm.renew=true"),
        ("sidecar.interception=redirect", "NOTE: interception `redirect` adds"),
        ("sidecar.resources.memoryLimit=200Mi", "a listener needs 227Mi"),
        ("sidecar.keysSecret=ConfigMap/keyring,keys.root.kinds={aws-kms}", "(aws-kms)"),
    ],
)
def test_a_value_that_leaves_something_open_is_told_of(tool: Tool, value: str, told: str) -> None:
    assert told not in notes(tool)
    assert told in notes(tool, "--set", value)


def test_the_notes_name_the_command_that_makes_keys_and_the_label(tool: Tool) -> None:
    said = notes(tool)

    assert "sealyard init keys" in said
    assert "kubectl label namespace shop sealyard.io/inject=enabled" in said
    assert "helm -n sealyard test seal" in said

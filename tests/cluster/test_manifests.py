"""What the suite would apply is valid, and its second webhook converges. Needs no cluster."""

from __future__ import annotations

import pytest
import yaml

from tests.chart.conftest import CHART, Rendered, Tool
from tests.cluster import objects, second_webhook
from tests.cluster.kube import Kube
from tests.injector.pods import a_pod, applied

KUBE = Kube("registry.example/sealyard:test", "sealyard-test-abc")


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_the_objects_are_valid(tool: Tool, version: str) -> None:
    every = [
        KUBE.pod("ask"),
        *KUBE.deployment("collector", "collector", "9000"),
        *KUBE.deployment("web", "backend", "8080", "http://c:9000", sealed=True, replicas=2),
        objects.LIMIT_RANGE,
        objects.QUOTA,
        objects.eviction("web-1", KUBE.shop),
        *objects.second_webhook(KUBE, "aaa-second"),
        objects.second_configuration(KUBE, "aaa-second", "Q0E="),
    ]
    done = tool(
        *("kubernetes-validate", "--strict", "-k", version, "-"), given=yaml.safe_dump_all(every)
    )
    assert done.code == 0, done.said + done.complained
    assert "WARN" not in done.said + done.complained


def test_the_release_has_the_names_that_the_suite_asks_for(tool: Tool) -> None:
    done = tool("helm4", "template", KUBE.release, CHART, "-n", KUBE.space, *KUBE.settings())
    rendered = Rendered(done.said)
    named = {
        (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace"))
        for one in rendered.objects()
    }

    assert done.code == 0, done.complained
    assert {
        ("MutatingWebhookConfiguration", KUBE.webhook, None),
        ("Deployment", KUBE.webhook, KUBE.space),
        ("Secret", f"{KUBE.webhook}-certificate", KUBE.space),
    } <= named
    assert {space for _, _, space in named} == {None, KUBE.space}


def test_the_second_webhook_converges() -> None:
    first = second_webhook.patch(a_pod(), KUBE.image)
    assert first[-1]["path"] == "/spec/containers/0"
    assert second_webhook.patch(applied(a_pod(), first), KUBE.image) == []

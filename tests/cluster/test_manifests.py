"""What the suite would apply is valid, and its second webhook converges. Needs no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.chart.conftest import Tool
from tests.cluster import second_webhook
from tests.cluster.kube import Kube
from tests.injector.pods import a_pod, applied

KUBE = Kube("registry.example/sealyard:test", "sealyard-test-abc")


@pytest.mark.parametrize("version", ["1.29", "1.33", "1.37"])
def test_the_objects_are_valid(tool: Tool, tmp_path: Path, version: str) -> None:
    objects = [
        KUBE.pod("ask"),
        *KUBE.deployment("collector", "collector", "9000"),
        *KUBE.deployment("web", "backend", "8080", "http://c:9000", sealed=True, replicas=2),
    ]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    done = tool("kubernetes-validate", "--strict", "-k", version, file)
    assert done.code == 0, done.said + done.complained


def test_the_second_webhook_converges() -> None:
    first = second_webhook.patch(a_pod(), KUBE.image)
    assert first[-1]["path"] == "/spec/containers/0"
    assert second_webhook.patch(applied(a_pod(), first), KUBE.image) == []

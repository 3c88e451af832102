"""What the suite would apply is valid, and its second webhook converges. Needs no cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml

from proxy.injector.admission_review import review
from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, ROOT, VERSIONS, Rendered, Tool
from tests.cluster import objects, second_webhook
from tests.cluster.kube import Kube
from tests.injector.chain import Chain, containers_of, limit_ranger, patching, quota
from tests.injector.pods import STRICT, a_pod, applied

KUBE = Kube("registry.example/sealyard:test", "sealyard-test-abc")


@pytest.mark.parametrize("version", VERSIONS)
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


@pytest.mark.parametrize("name", ["aaa-second", "zzz-second"], ids=["before", "after"])
def test_what_the_suite_asserts_of_both_webhooks_holds_in_a_model_of_the_chain(name: str) -> None:
    def second(asked: Json) -> Json:
        made = second_webhook.patch(asked["request"]["object"], KUBE.image)
        return patching(asked, made)

    every = {
        KUBE.webhook: lambda asked: review(asked, STRICT).answer,
        objects.second_configuration(KUBE, name, "Q0E=")["metadata"]["name"]: second,
    }
    [defaults] = objects.LIMIT_RANGE["spec"]["limits"]
    limited = [limit_ranger(**defaults["default"])]
    for plugins, final in (([], []), (limited, [quota("cpu", "memory")])):
        pod = Chain(every, plugins, final).create(KUBE.pod("web", sealed=True))

        assert {"helper", "sealyard", "sealyard-redirect"} <= set(KUBE.containers(pod))
        assert all(one["resources"]["requests"] for one in containers_of(pod))
        assert "sealed=8080,15090" in pod["metadata"]["annotations"]["sealyard.io/status"]


def test_the_injector_takes_the_options_of_the_chart(tool: Tool) -> None:
    done = tool("helm4", "template", KUBE.release, CHART, "-n", KUBE.space, *KUBE.settings())
    assert done.code == 0, done.complained
    [container] = Rendered(done.said).one("Deployment")["spec"]["template"]["spec"]["containers"]
    started = subprocess.run(  # noqa: S603 - Sealyard itself
        [sys.executable, "-P", "-m", "proxy", *container["args"]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # It has come as far as the API server, which is not here.
    assert started.returncode == 3, started.stderr
    assert "KUBERNETES_SERVICE_HOST is not set" in started.stderr


def test_the_second_webhook_converges() -> None:
    first = second_webhook.patch(a_pod(), KUBE.image)
    assert first[-1]["path"] == "/spec/containers/0"
    assert second_webhook.patch(applied(a_pod(), first), KUBE.image) == []

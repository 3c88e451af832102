"""`sealyard cluster`: what of a cluster needs an operator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy import __version__
from proxy.cli.commands import cluster as commands
from proxy.cli.commands.cluster import cluster
from proxy.injector.inject import inject
from proxy.injector.pod_reader import Json
from proxy.process.kubernetes_api import CallFailed
from tests.injector.pods import SETTINGS, a_pod


def of(kind: str, name: str, one: Json | None = None, label: str = "", space: str = "shop") -> Json:
    """Return an object of a cluster."""
    made: Json = {"kind": kind, "metadata": {}, **(one or {})}
    labels = {key: value for key, value in made["metadata"].get("labels", {}).items() if not label}
    if label:
        labels["sealyard.io/inject"] = label
    named = {
        "name": name,
        "labels": labels,
        **({} if kind == "Namespace" else {"namespace": space}),
    }
    return {**made, "kind": kind, "metadata": {**made["metadata"], **named}}


def sealed(**annotations: str) -> Json:
    """Return an injected pod."""
    notes = {f"sealyard.io/{key.replace('_', '-')}": one for key, one in annotations.items()}
    return inject(a_pod(notes), SETTINGS)


def older() -> Json:
    """Return a pod of another version."""
    pod = sealed()
    notes = pod["metadata"]["annotations"]
    notes["sealyard.io/status"] = notes["sealyard.io/status"].replace(__version__, "0.9.0")
    return pod


def told(*objects: Json) -> tuple[int, list[str]]:
    """Return the exit code and the lines."""
    listed = json.dumps({"kind": "List", "items": objects})
    done = CliRunner().invoke(cluster, ["status", "-"], input=listed)
    return done.exit_code, [" ".join(one.split()) for one in done.output.splitlines()]


@pytest.mark.parametrize(
    ("found", "code", "line"),
    [
        (of("Pod", "a", sealed()), 0, "ok sealed 1 pods have a sidecar"),
        (of("Pod", "a", older()), 0, "warning version shop/a: sidecar of 0.9.0; restart it"),
        (of("Pod", "a", sealed(interception="redirect")), 0, "warning permission shop/a: redirect"),
        (of("Pod", "a", sealed(pass_ports="53")), 0, "warning permission shop/a: ports, 53 open"),
        (of("Pod", "a", sealed(config="own")), 0, "warning permission shop/a: config"),
        (of("Pod", "a", a_pod()), 3, "failed unsealed shop/a: is to be sealed, and has no sidecar"),
        (
            of("Pod", "a", {"spec": {}}, space="all"),
            3,
            "failed unsealed all/a: is to be sealed, and has no sidecar",
        ),
        (
            of("Pod", "a", {"spec": {}}, "disabled", "all"),
            0,
            "warning permission all/a: disabled, sealyard.io/inject",
        ),
        (of("Pod", "a", {"spec": {}}), 0, "ok sealed 0 pods have a sidecar"),
        (
            of("Deployment", "a", {"spec": {"template": {"spec": {}}}}, "enabled"),
            3,
            "failed label shop/a: the label has no effect; put it on the pod template",
        ),
        (
            of("CronJob", "a", {"spec": {"jobTemplate": {"spec": {"template": {}}}}}, "enabled"),
            0,
            "ok sealed 0 pods have a sidecar",
        ),
        (
            of(
                "CronJob",
                "a",
                {"spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}},
                "enabled",
            ),
            3,
            "failed label shop/a: the label has no effect; put it on the pod template",
        ),
    ],
)
def test_what_needs_an_operator_is_listed(found: Json, code: int, line: str) -> None:
    ended, lines = told(of("Namespace", "all", label="enabled"), of("Namespace", "shop"), found)

    assert (ended, line in lines) == (code, True), lines


def test_a_pod_with_an_older_keyring_than_others_is_listed() -> None:
    """As Prometheus answers: only a pod itself knows the generation."""

    def sample(pod: str, keyring: str, generation: str) -> Json:
        metric = {"__name__": "sealyard_keyring_generation", "namespace": "shop", "pod": pod}
        return {"metric": {**metric, "keyring": keyring}, "value": [1796.5, generation]}

    found = [sample("a", "k1", "3"), sample("b", "k1", "2"), sample("c", "k2", "1")]
    answer = {"status": "success", "data": {"resultType": "vector", "result": found}}
    done = CliRunner().invoke(cluster, ["status", "-"], input=json.dumps(answer))
    lines = [" ".join(one.split()) for one in done.output.splitlines()]

    assert done.exit_code == 0
    assert lines == [
        "warning keyring shop/b: generation 2 of keyring k1, others 3",
        "ok sealed 0 pods have a sidecar",
    ]


class _Api:
    """An API server with these objects."""

    def __init__(self, found: dict[str, list[Json]]) -> None:
        self.found = found

    async def call(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return a list."""
        assert (method, "sealyard.io/inject%21%3Ddisabled" in path) == ("GET", True)
        place = path.removeprefix("/api/v1/").partition("?")[0]
        if place not in self.found:
            raise CallFailed("status 403", 403)
        return {"items": self.found[place]}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ({"namespaces": [], "pods": []}, 0, ""),
        ({"namespaces": [of("Namespace", "shop")], "pods": []}, 1, "namespace shop"),
        ({"namespaces": [], "pods": [of("Pod", "web")]}, 1, "pod shop/web"),
        ({}, 3, "the API server: status 403"),
    ],
)
def test_a_release_goes_only_when_nothing_has_the_label(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, list[Json]], code: int, said: str
) -> None:
    def api(*_: object) -> _Api:
        return _Api(found)

    monkeypatch.setattr(commands, "in_cluster", api)
    done = CliRunner().invoke(cluster, ["labels", "--service-account", str(Path.cwd())])

    assert (done.exit_code, said in done.output) == (code, True), done.output

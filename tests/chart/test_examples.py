"""What stands in deploy/ can be loaded, rendered, injected, and is valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from proxy.config.settings import OriginalPort
from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from proxy.injector.manifests import inject_text
from proxy.injector.pod_reader import Json
from tests.chart.conftest import ROOT, Tool

DEPLOY = ROOT / "deploy"
SETTINGS = InjectorSettings(image="registry.example/sealyard:1.0")


def pod_of(manifest: str) -> Json:
    """Return the pod of the one Deployment of a manifest."""
    found = [one for one in yaml.safe_load_all(manifest) if one["kind"] == "Deployment"]
    pod: Json = found[0]["spec"]["template"]
    return pod


def test_the_configuration_of_the_compose_example_loads() -> None:
    assert load(DEPLOY / "compose" / "sealyard.yaml", {}).warnings == ()


@pytest.mark.parametrize("moved", [False, True])
def test_the_configuration_of_an_injected_pod_loads_for_both_interceptions(*, moved: bool) -> None:
    environ = (
        {"SEALYARD_LISTEN": "*:8080", "SEALYARD_UPSTREAM": "http://127.0.0.1:18080"}
        if moved
        else {"SEALYARD_LISTEN": "*:15080", "SEALYARD_UPSTREAM": "original-port"}
    )
    loaded = load(DEPLOY / "kustomize" / "sealed" / "sealyard.yaml", environ)

    assert isinstance(loaded.settings.listeners[0].upstream.address, OriginalPort) is not moved


def test_the_configuration_in_the_plain_manifest_loads(tmp_path: Path) -> None:
    manifest = (DEPLOY / "sidecar" / "deployment.yaml").read_text()
    [configuration] = [
        one["data"]["sealyard.yaml"]
        for one in yaml.safe_load_all(manifest)
        if one["kind"] == "ConfigMap"
    ]
    (tmp_path / "sealyard.yaml").write_text(configuration)

    assert load(tmp_path / "sealyard.yaml", {}).settings.listeners


def test_the_sidecar_that_is_written_out_is_no_weaker_than_the_injected_one() -> None:
    written = pod_of((DEPLOY / "sidecar" / "deployment.yaml").read_text())["spec"]
    app = pod_of((DEPLOY / "kustomize" / "base" / "web.yaml").read_text())
    made = inject(app, replace(SETTINGS, interception="port-env"))["spec"]
    own, theirs = (
        next(one for one in spec["initContainers"] if one["name"] == "sealyard")
        for spec in (written, made)
    )

    assert {**own["securityContext"], "privileged": False} == theirs["securityContext"]
    assert own["restartPolicy"] == theirs["restartPolicy"]
    assert written["volumes"][1]["secret"]["defaultMode"] == 0o440


@pytest.mark.parametrize(
    "file",
    [one for one in sorted(DEPLOY.rglob("*.yaml")) if "targetPort" in one.read_text()],
    ids=lambda file: file.parent.name,
)
def test_a_service_finds_its_port_in_every_kubernetes(file: Path) -> None:
    """Before 1.32, the name of a port of a native sidecar stands for nothing in a Service."""
    found = [*yaml.safe_load_all(file.read_text())]
    [service] = [one for one in found if one["kind"] == "Service"]
    spec = pod_of(file.read_text())["spec"]
    names, numbers = (
        {port.get(key) for one in containers for port in one.get("ports", [])}
        for key, containers in (
            ("name", spec["containers"]),
            ("containerPort", [*spec["containers"], *spec.get("initContainers", [])]),
        )
    )

    assert {one["targetPort"] for one in service["spec"]["ports"]} <= names | numbers


def test_one_sealyard_before_a_deployment_is_valid_and_loads(tool: Tool, tmp_path: Path) -> None:
    folder = DEPLOY / "gateway"
    files = [folder / "backend.yaml", folder / "sealyard.yaml"]
    objects = [one for file in files for one in yaml.safe_load_all(file.read_text())]
    [configuration] = [one for one in objects if one["kind"] == "ConfigMap"]
    (tmp_path / "sealyard.yaml").write_text(configuration["data"]["sealyard.yaml"])
    loaded = load(tmp_path / "sealyard.yaml", {})
    services = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Service"}
    [policy] = [one for one in objects if one["kind"] == "NetworkPolicy"]
    valid = tool("kubernetes-validate", "--strict", "-k", "1.30", *files)

    assert valid.code == 0, valid.said
    assert str(loaded.settings.listeners[0].upstream.address) == "web-backend:3000"
    # Clients come to Sealyard, and Sealyard alone to the application.
    label = pod_of(files[1].read_text())["metadata"]["labels"]
    assert services["web"]["spec"]["selector"].items() <= label.items()
    [allowed] = policy["spec"]["ingress"]
    assert allowed["from"][0]["podSelector"]["matchLabels"].items() <= label.items()
    assert (
        policy["spec"]["podSelector"]["matchLabels"] == services["web-backend"]["spec"]["selector"]
    )


def test_files_that_the_compose_example_mounts_are_there() -> None:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    mounted = {
        volume.partition(":")[0] for one in services.values() for volume in one.get("volumes", [])
    }

    for one in mounted - {"./keys"}:
        assert (DEPLOY / "compose" / one).resolve().is_file(), one
    assert all(one["cap_drop"] == ["ALL"] for one in services.values())


def test_the_overlay_seals_an_unchanged_base(tool: Tool, tmp_path: Path) -> None:
    done = tool("kubectl", "kustomize", DEPLOY / "kustomize" / "sealed")
    made = inject_text(done.said, SETTINGS, every=False)
    (tmp_path / "sealed.yaml").write_text(made.text)
    valid = tool(
        *("kubernetes-validate", "--strict", "-k", "1.33", tmp_path / "sealed.yaml"),
        DEPLOY / "sidecar" / "deployment.yaml",
    )

    assert done.code == 0, done.complained
    assert made.sealed == 1
    assert valid.code == 0, valid.said
    assert pod_of(made.text)["spec"]["initContainers"][0]["name"] == "sealyard-redirect"


def test_nothing_of_sealyards_in_the_compose_example_can_do_more_than_it_must() -> None:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    ours = [one for one in services.values() if "sealyard" in one["image"]]

    assert len(ours) == 4
    for one in ours:
        assert (one["user"], one["read_only"], one["cap_drop"]) == ("65532:65532", True, ["ALL"])
        assert one["security_opt"] == ["no-new-privileges:true"]

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Run
from tests.injector.test_manifests import DEPLOYMENT, SERVICE

IMAGE = ("--image", "registry.example/sealyard:1.0")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Return a manifest with one pod to seal."""
    file = tmp_path / "web.yaml"
    file.write_text(f"{SERVICE}---\n{DEPLOYMENT}")
    return file


def test_manifests_come_out_sealed(run: Run, manifest: Path) -> None:
    done = run("inject", *IMAGE, "-f", str(manifest))

    assert "name: sealyard-redirect" in done.stdout
    assert done.stderr == "Sidecar added to 1.\n"


def test_stdin_is_a_manifest_too(run: Run) -> None:
    assert run("inject", *IMAGE, "-f", "-", stdin=DEPLOYMENT).stderr == "Sidecar added to 1.\n"


def test_nothing_is_printed_where_one_pod_cannot_be_sealed(run: Run, manifest: Path) -> None:
    broken = manifest.with_name("broken.yaml")
    broken.write_text(DEPLOYMENT.replace("8080", "15082"))
    done = run("inject", *IMAGE, "-f", str(manifest), "-f", str(broken), status=1)

    assert done.stdout == ""
    assert "Deployment web: port 15082 of container web is reserved for Sealyard" in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--cpu-limit", "lots"),
        ("--config-map", "Not a name"),
        ("--image", " "),
        ("--keys-secret", "Pod/keys"),
        ("--allow", "shop"),
        ("--allow", "=ports"),
        ("--allow", "shop=ports,everything"),
    ],
)
def test_an_option_that_cannot_be_meant_is_a_usage_error(
    run: Run, manifest: Path, options: tuple[str, str]
) -> None:
    run("inject", *IMAGE, *options, "-f", str(manifest), status=2)


def test_an_empty_resource_sets_none(run: Run, manifest: Path) -> None:
    """The chart passes every value, also an empty one."""
    empty = ("--cpu-request=", "--cpu-limit=", "--memory-request=", "--memory-limit=1Gi")
    done = run("inject", *IMAGE, *empty, "-f", str(manifest))
    [pod] = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Deployment"]
    inits = pod["spec"]["template"]["spec"]["initContainers"]

    assert [one["resources"] for one in inits] == [{"limits": {"memory": "1Gi"}}] * len(inits)


def test_what_weakens_a_pod_is_denied_or_allowed(run: Run, manifest: Path) -> None:
    text = manifest.read_text().replace(
        "since:", "sealyard.io/ports: '9999', sealyard.io/pass-ports: '8080', since:"
    )
    manifest.write_text(text.replace("{name: web}\nspec", "{name: web, namespace: shop}\nspec"))
    denied = run("inject", *IMAGE, "-f", str(manifest), status=1)
    allowed = run("inject", *IMAGE, "--allow", "shop=keys,ports", "-f", str(manifest))

    told = "port 8080 passes unsealed (pass-ports)"
    permission = "(only with the operator's permission `ports`)"
    assert f"Deployment web: {told} {permission}" in denied.stderr
    assert allowed.stderr == "Sidecar added to 1.\n"

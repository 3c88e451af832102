"""The schema of the chart's values lets nothing through with which the injector would not start."""

from __future__ import annotations

import json

import pytest
from click import UsageError
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from proxy.cli.commands.inject import inject, settings_of
from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART

SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())

NAMES = (
    *("a", "a-b.c", "0", "a" * 63, f"{'a' * 63}.b", ".".join(["a" * 62] * 4)),
    *("a..b", ".a", "a.", "a.-b", "a-.b", "A", "a_b", "a" * 64, ".".join(["a" * 63] * 4)),
)
QUANTITIES = (
    *("1", "50m", "0.5", "00.10Gi", "10", "1.0", "128Mi"),
    *("0", "0m", "0.0", "00.00Gi", "1.", ".5", "-1", "1e3", "1Ti", "lots"),
)
FOLDERS = (
    *("/opt/pkcs11", "/a", "/opt2", "/usrlocal", "/etc/sealyard2", "/var/lib/x"),
    *(
        "/opt",
        "/etc",
        "/var",
        "/var/log",
        "/usr",
        "/usr/lib",
        "/run/x",
        "/var/run",
        "/opt/sealyard",
    ),
    *("", "/", "a", "/a/", "/a/../b", "/etc/sealyard/config", "/var/log/sealyard"),
)
IMAGES = ("registry.example:5000/a/b", "a b", "a\tb", "a\u00a0b")
MODULE = ("--root=pkcs11", "--root-module=HostPath/opt/vendor")


def valid(path: str, value: str) -> bool:
    """Return whether the schema takes the value."""
    *above, last = path.split(".")
    values: Json = {last: value}
    for name in reversed(above):
        values = {name: values}
    return Draft7Validator({**SCHEMA, "required": []}).is_valid(values)


def starts(*options: str) -> bool:
    """Return whether the injector starts with these options."""
    with inject.make_context("inject", ["--image=x", "--filename=-", *options]) as context:
        try:
            settings_of(context.params)
        except UsageError:
            return False
    return True


@pytest.mark.parametrize("name", [*NAMES, ""])
def test_names_are_those_that_the_injector_takes(name: str) -> None:
    if name:
        assert valid("sidecar.configMap", name) == starts(f"--config-map={name}")
        assert valid("sidecar.keysSecret", name) == starts(f"--keys-secret={name}")
    assert valid("sidecar.auditVolume", name) == starts(f"--audit-volume={name}")


@pytest.mark.parametrize("kind", ["Secret", "SecretProviderClass", "ConfigMap", "Pod", "", "a"])
def test_kinds_of_sources_are_those_that_the_injector_takes(kind: str) -> None:
    for name in ("a", "a..b"):
        source = f"--keys-secret={kind}/{name}"

        assert valid("sidecar.keysSecret", f"{kind}/{name}") == starts(source, "--root=vault")


@given(st.sampled_from(QUANTITIES) | st.text("019.mGi", max_size=7))
def test_quantities_are_those_that_the_injector_takes(written: str) -> None:
    for path, option in (("cpuRequest", "cpu-request"), ("memoryLimit", "memory-limit")):
        assert valid(f"sidecar.resources.{path}", written) == starts(f"--{option}={written}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_of_a_module_are_those_that_the_injector_takes(folder: str) -> None:
    option = f"--root-module-path={folder}"

    assert valid("keys.root.modulePath", folder) == starts(*MODULE, option)


@pytest.mark.parametrize("image", IMAGES)
def test_images_are_those_that_the_injector_takes(image: str) -> None:
    assert valid("image.repository", image) == starts(f"--image={image}:1")
    assert valid("image.tag", image) == starts(f"--image=x:{image}")


def test_helm_can_read_every_pattern() -> None:
    """Go's expressions look neither ahead nor back."""

    def walk(node: object) -> None:
        if isinstance(node, dict):
            assert "(?" not in str(node.get("pattern", ""))
            for one in node.values():
                walk(one)

    walk(SCHEMA)

"""What `sealyard inject` reads and writes, to the reader of YAML that kubectl has."""

from __future__ import annotations

import json
from collections.abc import Iterable

import yaml

from proxy.injector.manifests import inject_text
from tests.chart.conftest import Tool
from tests.injector.pods import SETTINGS
from tests.injector.test_manifests import BREAKS, PLAIN

TEXTS = [*PLAIN, *BREAKS, "0777", "0x1F", "1_e3", "-.inf", ".NaN", "null", "=", "<<", "a: b", "é"]


def a_pod(variables: Iterable[str]) -> str:
    """Return a pod with variables as written."""
    lines = "".join(f"    - name: v\n      value: {one}\n" for one in variables)
    return (
        "apiVersion: v1\nkind: Pod\n"
        "metadata: {name: x, labels: {sealyard.io/inject: enabled}}\n"
        "spec:\n  containers:\n  - name: web\n    image: w\n    ports: [{containerPort: 8080}]\n"
        f"    env:\n{lines}"
    )


def by_kubectl(tool: Tool, manifest: str) -> list[object]:
    """Return the variables that kubectl reads."""
    done = tool(
        *("kubectl", "patch", "--local", "--type=merge", "-p", "{}", "-o", "json", "-f", "-"),
        given=manifest,
    )
    assert done.code == 0, done.complained
    return [one.get("value") for one in json.loads(done.said)["spec"]["containers"][0]["env"]]


def test_a_plain_value_is_what_kubectl_reads(tool: Tool) -> None:
    given = a_pod(PLAIN)
    made = inject_text(given, SETTINGS, every=False).text

    assert by_kubectl(tool, given) == [*PLAIN.values()]
    assert by_kubectl(tool, made) == [*PLAIN.values()]


def test_a_text_is_what_kubectl_reads(tool: Tool) -> None:
    quoted = (yaml.safe_dump(one, default_style='"', width=2**20).rstrip("\n") for one in TEXTS)
    made = inject_text(a_pod(quoted), SETTINGS, every=False).text

    assert by_kubectl(tool, made) == TEXTS

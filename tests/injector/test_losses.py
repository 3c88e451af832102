"""What `sealyard inject --dry-run` tells of a pod before it is sealed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from proxy.cli.commands.inject import inject as command
from proxy.injector.pod_reader import Json
from tests.injector.pods import a_container, a_pod

ALL = "every TCP port is sealed: one that speaks no HTTP/1.1 is refused"


def told(pod: Json, folder: Path, *options: str) -> tuple[int, list[str]]:
    """Return the exit code and the lines for a Deployment of the pod, and for one without label."""
    template = {"metadata": pod["metadata"], "spec": pod["spec"]}
    made = {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": template}}
    other = {**made, "spec": {"template": {"metadata": {}, "spec": pod["spec"]}}}
    file = folder / "web.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "List", "items": [made]}, other, {"kind": "X"}]))
    given = ["--image", "sealyard:1", "--dry-run", "-f", str(file), *options]
    done = CliRunner().invoke(command, given)
    return done.exit_code, done.output.splitlines()


@pytest.mark.parametrize(
    ("pod", "options", "lines"),
    [
        (
            a_pod(),
            [],
            ["container web loses NET_RAW: no ping of its own, no packet capture", ALL],
        ),
        (
            a_pod(
                containers=[
                    a_container(
                        livenessProbe={"tcpSocket": {"port": 9000}},
                        lifecycle={"preStop": {"httpGet": {"port": "http", "path": "/"}}},
                        securityContext={"capabilities": {"drop": ["ALL"]}},
                    )
                ],
                initContainers=[
                    {
                        "name": "migrate",
                        "image": "m",
                        "securityContext": {"capabilities": {"drop": ["ALL"]}},
                    },
                    {"name": "sealyard", "image": "mine"},
                ],
            ),
            [],
            [
                "container sealyard is replaced: that name is Sealyard's",
                "container web: its livenessProbe is asked by Sealyard",
                "container web: its lifecycle hooks are called by Sealyard",
                "init container migrate starts after Sealyard's",
                ALL,
            ],
        ),
        (
            a_pod({"sealyard.io/pass-ports": "9000"}),
            ["--allow", "*=ports"],
            [
                "container web loses NET_RAW: no ping of its own, no packet capture",
                "every TCP port but 9000 is sealed: one that speaks no HTTP/1.1 is refused",
            ],
        ),
        (
            a_pod({"sealyard.io/interception": "port-env"}),
            ["--allow", "*=port-env"],
            [
                "container web loses NET_RAW: no ping of its own, no packet capture",
                "container web gets PORT=18080: it must listen there",
                "only one port is sealed, and all others stay open",
            ],
        ),
    ],
)
def test_what_a_pod_would_lose_is_listed(
    tmp_path: Path, pod: Json, options: list[str], lines: list[str]
) -> None:
    assert told(pod, tmp_path, *options) == (0, [f"Deployment web: {one}" for one in lines])


def test_why_a_pod_would_be_denied_is_listed(tmp_path: Path) -> None:
    pod = a_pod({"sealyard.io/pass-ports": "9000"}, hostPID=True)

    assert told(pod, tmp_path) == (
        1,
        [
            (
                "denied: Deployment web: port 9000 passes unsealed (pass-ports)"
                " (only with the operator's permission `ports`)"
            ),
            (
                "denied: Deployment web: hostPID: containers could read the memory of the sidecar"
                " (only with the operator's permission `host`)"
            ),
        ],
    )

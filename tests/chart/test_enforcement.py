"""What an upgrade by Helm does about the policy, with what it finds in a cluster.

The server here answers what Helm asks for its function `lookup`, and nothing else.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, HELMS, Tool
from tests.chart.test_chart import DEFAULT

GROUP = "admissionregistration.k8s.io"
KIND = "MutatingWebhookConfiguration"
PATH = f"/apis/{GROUP}/v1/mutatingwebhookconfigurations/seal-sealyard-injector"


OWNED = {"meta.helm.sh/release-name": "seal", "meta.helm.sh/release-namespace": "sealyard"}
"""What Helm writes on the objects of a release."""

KINDS = {
    "v1": ("Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment",),
    f"{GROUP}/v1": (KIND,),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "policy/v1": ("PodDisruptionBudget",),
    "rbac.authorization.k8s.io/v1": ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
}
"""What the chart renders, which Helm 4 wants the cluster to know."""


def known(group: str, kinds: Sequence[str]) -> Json:
    """Return the list of the kinds of objects that a group has."""
    resources = [
        {
            "name": f"{one.lower().removesuffix('y')}ies"
            if one.endswith("y")
            else f"{one.lower()}s",
            "singularName": one.lower(),
            "kind": one,
            "namespaced": not one.startswith(("Cluster", "Mutating")),
            "verbs": ["get"],
        }
        for one in kinds
    ]
    return {"kind": "APIResourceList", "groupVersion": group, "resources": resources}


def described(group: str) -> Json:
    """Return the entry of a group with its one version."""
    version = {"groupVersion": group, "version": "v1"}
    return {
        "name": group.removesuffix("/v1"),
        "versions": [version],
        "preferredVersion": version,
    }


GROUPS = [described(group) for group in KINDS if group != "v1"]
ANSWERS: dict[str, Json] = {
    "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": GROUPS},
    **{
        ("/api/v1" if group == "v1" else f"/apis/{group}"): known(group, kinds)
        for group, kinds in KINDS.items()
    },
}


@contextmanager
def a_cluster(annotations: Json | None) -> Iterator[str]:
    """Serve a cluster with a webhook configuration of these annotations, or None without one."""
    answers = dict(ANSWERS)
    if annotations is not None:
        metadata = {
            "name": PATH.rpartition("/")[2],
            "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {**OWNED, **annotations},
        }
        live = {"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": metadata, "webhooks": []}
        answers[PATH] = live

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            lacking = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
            body = json.dumps(found or {**lacking, "reason": "NotFound"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize(
    ("annotations", "value", "expected"),
    [
        (None, "", "deny"),
        ({}, "", "warn"),  # release 0.1.0, whose pods run
        ({"sealyard.io/enforcement": "warn"}, "", "warn"),
        ({"sealyard.io/enforcement": "deny"}, "", "deny"),
        ({}, "deny", "deny"),
        (None, "warn", "warn"),
    ],
    ids=["new", "from-0.1.0", "warns", "denies", "told-to-deny", "told-to-warn"],
)
def test_only_an_upgrade_from_0_1_0_warns(
    tool: Tool, helm: str, annotations: Json | None, value: str, expected: str
) -> None:
    with a_cluster(annotations) as address:
        done = tool(
            *(helm, "template", "seal", CHART, "-n", "sealyard", "-f", DEFAULT),
            *("--dry-run=server", "--disable-openapi-validation"),
            *("--kube-apiserver", address, "--kube-token", "x", "--skip-tests"),
            *("--set", f"policy.enforcement={value}"),
        )
    assert done.code == 0, done.complained
    objects = [one for one in yaml.safe_load_all(done.said) if one]
    [webhook] = [one for one in objects if one["kind"] == KIND]
    [deployment] = [one for one in objects if one["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]

    assert f"--enforcement={expected}" in container["args"]
    assert webhook["metadata"]["annotations"] == {"sealyard.io/enforcement": expected}

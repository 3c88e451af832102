"""What the chart makes of the operator's policy, and of what must be there in a namespace."""

from __future__ import annotations

import itertools
import json
import re
import shlex

import pytest

from proxy.injector.permissions import PERMISSIONS
from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, ROOT, Render, Tool
from tests.chart.test_chart import DEFAULT, FULL, chooses, pod_of, reviewing_pods, selects, webhooks

LABELS: list[dict[str, str]] = [
    {},
    *({"sealyard.io/inject": one} for one in ("enabled", "disabled", "yes")),
]


def test_debug_containers_are_reviewed_in_every_namespace_but_the_excluded(render: Render) -> None:
    [debug] = [one for one in webhooks(render(DEFAULT)) if one["name"].startswith("debug.")]

    assert debug["rules"][0] == {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["UPDATE"],
        "resources": ["pods/ephemeralcontainers"],
        "scope": "Namespaced",
    }
    assert "objectSelector" not in debug  # the label of a running pod can be changed
    assert selects(debug["namespaceSelector"], {"kubernetes.io/metadata.name": "shop"})
    assert not selects(debug["namespaceSelector"], {"kubernetes.io/metadata.name": "sealyard"})


@pytest.mark.parametrize(
    ("part", "name", "asked"),
    [
        ("initContainers", "sealyard", True),
        ("containers", "sealyard", True),
        ("initContainers", "migrate", False),
        ("containers", "sealyard-api", False),
    ],
)
def test_debug_containers_are_reviewed_of_pods_with_a_sidecar(
    tool: Tool,
    render: Render,
    part: str,
    name: str,
    asked: bool,  # noqa: FBT001 - a parameter
) -> None:
    [debug] = [one for one in webhooks(render(DEFAULT)) if one["name"].startswith("debug.")]
    [condition] = debug["matchConditions"]
    spec: Json = {"containers": [{"name": "web"}]}
    spec[part] = [*spec.get(part, []), {"name": name}]

    context = json.dumps({"object": {"spec": spec}})
    done = tool("cel", condition["expression"], "--context", context, "--output", "json")

    assert json.loads(done.said) is asked, done.complained


def test_the_operators_policy_reaches_the_injector(render: Render) -> None:
    by_default, full = (pod_of(render(case))["containers"][0]["args"] for case in (DEFAULT, FULL))

    assert not any(one.startswith("--allow") for one in by_default)
    assert "--trust-image=docker.io/istio/proxyv2" in full
    assert {"--allow=shop=ports,config", "--allow=*=port-env"} <= {*full}


def test_the_command_of_the_page_on_meshes_trusts_their_images(render: Render) -> None:
    page = (ROOT / "docs" / "how-to" / "mesh.md").read_text()
    (command,) = re.findall(r"```sh\n(helm upgrade .*?)```", page, re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    settings = words[words.index("--reset-then-reuse-values") + 1 :]

    arguments = pod_of(render(DEFAULT, *settings))["containers"][0]["args"]
    assert "--trust-image=docker.io/istio/proxyv2" in arguments


def test_every_permission_can_be_given_and_is_documented() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    given = schema["properties"]["policy"]["properties"]["allow"]["items"]["properties"]
    page = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    table = page.partition("| permission | admits |")[2].partition("\n\n")[0]

    assert given["permissions"]["items"]["anyOf"][0]["enum"] == list(PERMISSIONS)
    assert set(re.findall(r"`([a-z-]+)`", re.sub(r"\| [^|]*\|\n", "\n", table))) == {*PERMISSIONS}


def test_missing_objects_are_looked_for_where_pods_are_injected(render: Render) -> None:
    every = render(FULL, "--kube-version", "1.30").objects()
    found = [one for one in every if "backstop." not in one["metadata"]["name"]]
    policies = [one for one in found if one["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [one for one in found if one["kind"] == "ValidatingAdmissionPolicyBinding"]
    pods = reviewing_pods(render(FULL))

    assert [one["spec"]["paramKind"] for one in policies] == [
        {"apiVersion": "v1", "kind": "ConfigMap"},
        {"apiVersion": "secrets-store.csi.x-k8s.io/v1", "kind": "SecretProviderClass"},
    ]
    assert {one["spec"]["paramRef"]["name"] for one in bindings} == {"sealyard", "sealyard-keys"}
    assert {one["spec"]["policyName"] for one in bindings} == {
        one["metadata"]["name"] for one in policies
    }
    for namespace, pod in itertools.product(LABELS, LABELS):
        labels = {"kubernetes.io/metadata.name": "shop", **namespace}
        refuses = pod.get("sealyard.io/inject") == "disabled"  # it needs none of them
        asked = not refuses and any(chooses(one, labels, pod) for one in pods)
        for policy in policies:
            looked = any(
                chooses(one["spec"]["matchResources"], labels, pod)
                for one in bindings
                if one["spec"]["policyName"] == policy["metadata"]["name"]
            )
            assert looked is asked
    for arguments in (("--kube-version", "1.29"), ("--set", "policy.requireObjects=false")):
        assert "paramKind: {apiVersion: secrets-store" not in render(FULL, *arguments).text

"""A small admission chain: the rendered webhook configuration, the real server, kubectl's patch.

What an API server would read from the cluster is read from what the chart renders: where to call,
whom to trust, with which arguments the injector runs.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from proxy.injector.pod_reader import Json
from tests.chart.conftest import CHART, ROOT, VERSIONS, Render, Tool
from tests.injector.chain import (
    OURS,
    Call,
    Chain,
    Denied,
    a_review,
    limit_ranger,
    other_webhook,
    quota,
    tokens,
)
from tests.injector.pods import a_container, a_pod
from tests.servers import await_port, child, free_port

Admit = Callable[[Json], tuple[Json, list[Json]]]


@contextmanager
def serving(render: Render, folder: Path, *arguments: str) -> Iterator[Call]:
    """Run the injector as the chart would; yield what sends it a review over TLS."""
    rendered = render(CHART / "ci" / "helm-values.yaml", *arguments)
    secret = rendered.one("Secret")["data"]
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes(base64.b64decode(secret[name]))
    port = free_port()
    options = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    options = [
        one.replace("--listen=*:10250", f"--listen=127.0.0.1:{port}").replace(
            "/etc/sealyard/tls", str(folder)
        )
        for one in options
    ]
    client = rendered.one("MutatingWebhookConfiguration")["webhooks"][0]["clientConfig"]
    trust = ssl.create_default_context(cadata=base64.b64decode(client["caBundle"]).decode())
    host = f"{client['service']['name']}.{client['service']['namespace']}.svc"
    command = [sys.executable, "-P", "-m", "proxy", *options]

    def call(asked: Json) -> Json:
        body = json.dumps(asked).encode()
        head = (
            f"POST {client['service']['path']}?timeout=5s HTTP/1.1\r\nHost: {host}\r\n"
            f"Connection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with (
            socket.create_connection(("127.0.0.1", port), 10) as raw,
            trust.wrap_socket(raw, server_hostname=host) as connection,
        ):
            connection.sendall(head.encode() + body)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        review: Json = json.loads(answer.partition(b"\r\n\r\n")[2])
        return review

    log = folder / "log"
    with child(command, log, {"PYTHONPATH": str(ROOT)}) as process:
        await_port(process, port, log)
        yield call
    assert process.returncode == 0


@pytest.fixture
def admit(render: Render, tool: Tool, tmp_path: Path) -> Iterator[Admit]:
    """Return what reviews a pod and applies the patch as kubectl does."""

    def admitted(pod: Json) -> tuple[Json, list[Json]]:
        response = call(a_review(pod))["response"]
        assert response["allowed"], response
        if "patch" not in response:
            return pod, []
        operations = base64.b64decode(response["patch"]).decode()
        (tmp_path / "pod.json").write_text(json.dumps(pod))
        (tmp_path / "patch.json").write_text(operations)
        done = tool(
            *("kubectl", "patch", "--local", "--type=json", "-o", "json"),
            *("--patch-file", tmp_path / "patch.json", "-f", tmp_path / "pod.json"),
        )
        assert done.code == 0, done.complained
        return json.loads(done.said), json.loads(operations)

    permitted = "policy.allow[0].permissions={config,port-env,redirect}"
    with serving(
        render, tmp_path, "--set", "policy.allow[0].namespace=shop", "--set", permitted
    ) as call:
        yield admitted


PODS = {
    "plain": a_pod(),
    "probes": a_pod(
        containers=[a_container(readinessProbe={"httpGet": {"path": "/", "port": "http"}})],
        initContainers=[{"name": "migrate", "image": "m:1"}],
        volumes=[{"name": "data", "emptyDir": {}}],
    ),
    "port-env": a_pod({"sealyard.io/interception": "port-env"}),
    "redirect": a_pod({"sealyard.io/interception": "redirect"}),
    "audit-claim": a_pod({"sealyard.io/audit-volume": "logs"}),
    "audit-emptydir": a_pod({"sealyard.io/audit-volume": "emptyDir"}),
}


def test_pods_pass_the_chain_and_come_back_unchanged(
    admit: Admit, tool: Tool, tmp_path: Path
) -> None:
    files = []
    for name, pod in PODS.items():
        first, operations = admit({**pod, "metadata": {**pod["metadata"], "name": "web"}})
        assert operations
        second, again = admit(first)
        assert (second, again) == (first, [])
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(first))
    for version in VERSIONS:
        done = tool("kubernetes-validate", "--strict", "-k", version, *files)
        assert done.code == 0, done.said + done.complained
        assert "WARN" not in done.said + done.complained


@pytest.mark.parametrize("order", ["a-helper", "z-helper"])
def test_beside_others_a_pod_is_sealed_gets_what_it_needs_and_keeps_its_keys(
    render: Render, tmp_path: Path, order: str
) -> None:
    with serving(render, tmp_path) as call:
        chain = Chain(
            {OURS: call, order: other_webhook(resources={"cpu": "500m"})},
            plugins=[limit_ranger(memory="128Mi"), tokens],
            final=[quota("cpu", "memory")],
        )
        pod = chain.create(a_pod())
        with pytest.raises(Denied, match="joins the processes of container sealyard"):
            chain.debug(pod, {"name": "d", "image": "b", "targetContainerName": "sealyard"})
        with pytest.raises(Denied, match="NET_RAW"):
            chain.create(a_pod(containers=[a_container(securityContext=RAW)]))

    assert "sealed=8080,15090" in pod["metadata"]["annotations"]["sealyard.io/status"]


RAW = {"capabilities": {"add": ["NET_RAW"]}}


def test_the_test_of_the_chart_passes(render: Render, admit: Admit) -> None:
    """What `helm test` runs is a script of the chart; here its pod's review is put to the chain."""
    script = (CHART / "files" / "mutate_test.py").read_text()
    test = render(CHART / "ci" / "default-values.yaml").one("Pod")

    assert test["spec"]["containers"][0]["args"][0].strip() == script.strip()
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"sealyard.io/inject": "enabled"}},
        "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 8080}]}]},
    }
    _, operations = admit(pod)
    assert "sealyard" in [
        one["name"]
        for each in operations
        if each["path"] == "/spec/initContainers"
        for one in each["value"]
    ]

"""`sealyard doctor --pod`: what a manifest shows, and what the kernel shows from inside a pod."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import yaml

from proxy.injector import mesh
from proxy.injector.pod_doctor import examine_here, examine_manifest
from proxy.injector.pod_network import answering_port
from proxy.injector.pod_reader import Json
from proxy.process.listening import read_table, sockets
from tests.injector.pods import SETTINGS, a_container, a_pod, container, injected
from tests.injector.running_pod import ROOT

PROXY = {"name": "istio-proxy", "image": "m", "ports": [{"containerPort": 15090}]}
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1
   1: 0500F40A:3AE8 0900F40A:C001 01 00000000:00000000 00:00000000 00000000 15080        0 12 1
"""
TABLE_6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 0000000000000000FFFF00000500F40A:3AE8 0000000000000000FFFF00000900F40A:C002 01 0:0 0:0 0 15080 0 1
   1: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 1
"""  # noqa: E501 - a line is one socket


def verdicts(pod: Json) -> dict[str, list[tuple[str, str]]]:
    """Return verdicts and texts by check."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in examine_manifest(pod):
        found.setdefault(one.check, []).append((one.verdict, one.text))
    return found


def test_a_sealed_pod_in_a_mesh_is_well() -> None:
    pod = injected(a_pod(containers=[a_container(), PROXY]))
    pod["metadata"]["name"] = "web-1"
    told = verdicts(pod)

    assert {verdict for each in told.values() for verdict, _ in each} == {"ok"}
    assert told["first"][0][1] == (
        "web-1: Connections from outside reach the proxy of the mesh (container istio-proxy),"
        " then Sealyard, then the application."
    )
    assert told["sealed"][0][1] == "web-1: ports 8080, interception mesh"


def test_a_pod_without_a_sidecar_is_open() -> None:
    pod = a_pod()
    del pod["metadata"]["labels"]

    ((verdict, text),) = verdicts(pod)["sidecar"]
    assert verdict == "failed"
    assert "its label sealyard.io/inject is missing. Every port is open." in text


def test_a_mesh_that_came_after_the_redirect_is_told_of() -> None:
    pod = injected(a_pod(), replace(SETTINGS, interception="redirect"))
    assert verdicts(pod)["first"][0][0] == "ok"
    pod["spec"]["containers"].append(PROXY)
    ((verdict, text),) = verdicts(pod)["first"]

    assert verdict == "failed"
    assert "reaches the application in plaintext" in text


def test_what_is_open_and_what_could_open_it_is_told() -> None:
    pod = injected(
        a_pod(
            {"sealyard.io/pass-ports": "9000", "sealyard.io/interception": "redirect"},
            containers=[a_container(), a_container("b", 9000)],
        )
    )
    added = {"capabilities": {"add": ["NET_ADMIN"]}}
    container(pod, "web")["securityContext"] = {**added, "privileged": True}
    told = verdicts(pod)

    assert told["open"][0][1].endswith("port 9000 of container b is reached without Sealyard")
    assert told["inside"][0][0] == "warning"
    assert [text for _, text in told["risk"]] == [
        "web-7d9c-: container web adds NET_ADMIN, and could undo the redirect",
        "web-7d9c-: container web is privileged, and could undo the redirect and reach the keys",
    ]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {
                "ephemeralContainers": [
                    {"name": "d", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
                ]
            },
            "container d adds NET_ADMIN, and could undo the redirect",
        ),
        ({"hostPID": True}, "hostPID: other processes can read the memory of the sidecar"),
        (
            {"shareProcessNamespace": True},
            "shareProcessNamespace: other processes can read the memory of the sidecar",
        ),
    ],
)
def test_what_came_after_the_injection_and_gets_around_it_is_told(spec: Json, told: str) -> None:
    pod = injected(a_pod())
    pod["spec"].update(spec)

    assert [text for _, text in verdicts(pod)["risk"]] == [f"web-7d9c-: {told}"]


def test_a_pod_whose_redirect_somebody_took_out_is_open() -> None:
    pod = injected(a_pod())
    inits = pod["spec"]["initContainers"]
    pod["spec"]["initContainers"] = [one for one in inits if one["name"] == "sealyard"]
    ((verdict, text),) = verdicts(pod)["sealed"]

    assert verdict == "failed"
    assert "no container sealyard-redirect: something removed it after the injection" in text


def test_a_sidecar_that_was_written_out_is_told_as_such() -> None:
    [deployment] = [
        one
        for one in yaml.safe_load_all((ROOT / "deploy/sidecar/deployment.yaml").read_text())
        if one["kind"] == "Deployment"
    ]
    template = deployment["spec"]["template"]
    told = verdicts({"kind": "Pod", "metadata": {"name": "web"}, "spec": template["spec"]})
    ((verdict, text),) = told["sealed"]

    assert verdict == "warning"
    assert "the sidecar was not injected" in text
    assert text.endswith("what it seals, at its ports 8080")


def test_the_port_of_a_moved_application_is_told() -> None:
    told = verdicts(injected(a_pod({"sealyard.io/interception": "port-env"})))

    assert "interception port-env" in told["sealed"][0][1]
    assert "ports 8080," in told["sealed"][0][1]
    assert "port 18080, where the application listens" in told["open"][0][1]


def test_a_container_of_sealyard_that_failed_is_told_of() -> None:
    pod = injected(a_pod({"sealyard.io/interception": "mesh"}))
    pod["status"] = {
        "initContainerStatuses": [
            {"name": "sealyard-redirect", "state": {"terminated": {"exitCode": 0}}},
            {"name": "sealyard", "state": {"running": {}}},
            {"name": "sealyard-check", "state": {"terminated": {"exitCode": 3}}},
        ],
        "containerStatuses": [{"name": "web", "state": {"waiting": {"reason": "PodInitializing"}}}],
    }
    ((verdict, text),) = verdicts(pod)["state"]

    assert verdict == "failed"
    assert "container sealyard-check: ended with 3" in text


@pytest.mark.parametrize(
    "document",
    [None, [], "text", {"kind": "Deployment"}, {"kind": "Pod", "spec": {"containers": 1}}],
)
def test_what_is_no_pod_fails(document: object) -> None:
    (found,) = examine_manifest(document)

    assert found.verdict == "failed"


def doctor(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "proxy", "doctor", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_reads_a_list_of_pods() -> None:
    sealed, unsealed = injected(a_pod({"sealyard.io/interception": "mesh"})), a_pod()
    sealed["metadata"]["name"], unsealed["metadata"]["name"] = "one", "two"
    pods = {"apiVersion": "v1", "kind": "List", "items": [sealed, unsealed]}
    done = doctor("--json", "--pod", "-", given=json.dumps(pods))
    told = json.loads(done.stdout)

    assert done.returncode == 3
    assert [one["text"][:4] for one in told if one["verdict"] == "failed"] == ["two:"]
    good = deepcopy(pods) | {"items": [sealed]}
    assert doctor("--pod", "-", given=json.dumps(good)).returncode == 0
    assert "not valid YAML" in doctor("--pod", "-", given="{").stderr


def test_the_command_says_where_it_must_run() -> None:
    done = doctor("--pod")

    assert done.returncode == 3
    assert "this is no container of Sealyard in an injected pod" in done.stdout


def test_a_table_of_sockets_is_read() -> None:
    listening, served = read_table(TABLE)
    mapped, everywhere = read_table(TABLE_6)

    assert (listening.address, listening.port, listening.listening) == ("127.0.0.1", 8080, True)
    assert (listening.user, listening.local) == (1000, True)
    assert (served.address, served.port, served.peer) == (
        "10.244.0.5",
        15080,
        ("10.244.0.9", 49153),
    )
    assert (mapped.address, mapped.peer) == ("10.244.0.5", ("10.244.0.9", 49154))
    assert (everywhere.port, everywhere.listening, everywhere.local) == (9000, True, False)


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """Listen, and accept nothing."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.create_server((request.param, 0), family=family) as made:
        yield made


def test_the_kernel_tells_which_port_answers(listener: socket.socket) -> None:
    address, port = listener.getsockname()[:2]

    assert answering_port(address, port) == port
    assert any(one.port == port and one.listening for one in sockets())


def test_a_connection_that_ended_before_is_not_taken_for_the_own(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel shows it for a minute, with the port that its other end had."""
    address, port = listener.getsockname()[:2]
    own = address, 10_000 + secrets.randbelow(20_000)  # of a range that no other connection is of
    with (
        socket.create_server((address, 0), family=listener.family) as other,
        socket.create_connection(other.getsockname()[:2], source_address=own) as client,
    ):
        served, (_, freed, *_) = other.accept()
        served.close()  # first: the kernel keeps it for what may still arrive
        assert client.recv(1) == b""
    while any(one.port == freed for one in sockets()):  # until the last acknowledgement
        time.sleep(0.01)
    source = socket.socket.bind
    monkeypatch.setattr(socket.socket, "bind", lambda one, _: source(one, (address, freed)))

    assert any(one.peer == (address, freed) for one in sockets())
    assert answering_port(address, port) == port


def test_a_port_of_a_mesh_is_told_from_inside_where_there_is_no_mesh(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With free ports as the mesh's: who else runs on this machine may have those."""
    moved = {"SEALYARD_INTERCEPTION": "port-env", "SEALYARD_SEALED_PORTS": "8080"}
    with socket.create_server(("", 0)) as metrics, socket.create_server(("", 0)) as proxy:
        number = metrics.getsockname()[1]
        monkeypatch.setattr(mesh, "PROXY_PORTS", frozenset({number}))
        alone = [one.text for one in examine_here(moved, os.geteuid()) if one.check == "open"]
        listeners = {proxy.getsockname()[1]: "Istio"}
        monkeypatch.setattr("proxy.injector.pod_doctor._MESH_LISTENERS", listeners)
        found = list(examine_here(moved, 1))

    assert any(one.startswith(f"port {number}, of user") for one in alone)
    assert not any(f"port {number}," in one.text for one in found if one.check == "open")


@pytest.mark.parametrize("passes", [True, False])
def test_where_all_ports_are_taken_only_those_that_pass_are_open(*, passes: bool) -> None:
    environ = {"SEALYARD_INTERCEPTION": "redirect", "SEALYARD_SEALED_PORTS": "8080"}
    with socket.create_server(("", 0)) as passing:
        number = passing.getsockname()[1]
        environ |= {"SEALYARD_PASSED_PORTS": str(number)} if passes else {}
        [found] = [one for one in examine_here(environ, os.geteuid()) if one.check == "open"]

    assert found.text.startswith(f"port {number}, of user" if passes else "no other")


def test_ports_that_were_not_declared_are_found_from_inside(listener: socket.socket) -> None:
    environ = {"SEALYARD_INTERCEPTION": "redirect", "SEALYARD_SEALED_PORTS": "8080"}
    told = {one.check: one for one in examine_here(environ, os.geteuid())}

    assert told["sealed"].text == "ports 8080"
    assert told["inside"].verdict == "warning"
    # It listens on loopback alone.
    assert str(listener.getsockname()[1]) not in told["open"].text

"""Pods in meshes, with Envoy as the proxy: the matrix in short, and what else concerns them.

`./dev test-mesh` is the long form of the matrix.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy.injector.annotations import Interception
from tests.injector.mesh_matrix import (
    INTERCEPTIONS,
    ORDERS,
    PORT,
    Cell,
    beside,
    cells,
    counted,
    write_rules,
)
from tests.injector.meshes import MESHES, MISSING, TOLD, Mesh
from tests.injector.pods import container, variables
from tests.injector.running_pod import CANARY, ROOT, V4, V6, RunningPod, as_user, needs_namespaces

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(
        bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
        reason=f"there is no mesh here: {', '.join(MISSING)} missing",
    ),
]

REQUESTS = 12
REFUSED = 7
UNANSWERED = 28
WRONG = 3


def named(mesh: Mesh | None) -> str:
    """Return the name of a mesh, also of none."""
    return mesh.name if mesh else "none"


@pytest.fixture
def pod() -> Iterator[RunningPod]:
    """Run a pod with interception mesh, in no mesh."""
    with beside(None, "mesh") as made:
        write_rules(made, None, "after")
        yield made


@pytest.mark.parametrize("interception", INTERCEPTIONS)
@pytest.mark.parametrize("mesh", [None, *MESHES], ids=named)
def test_no_order_of_rules_lets_plaintext_through(
    mesh: Mesh | None, interception: Interception
) -> None:
    found: list[Cell] = []
    with beside(mesh, interception) as pod:
        for order in ORDERS:
            write_rules(pod, mesh, order)
            found += cells(pod, mesh, interception, order, REQUESTS)
        logs = "".join(one.read_text() for one in pod.folder.glob("*.log"))

    assert len(found) >= len(ORDERS) * 2
    assert [one.told for one in found if one.faults] == []
    assert CANARY not in logs


@pytest.mark.parametrize("mesh", [None, *MESHES], ids=named)
def test_connections_from_inside_are_sealed_too(mesh: Mesh | None) -> None:
    """Those of other containers, and of kubectl port-forward, which calls 127.0.0.1 as root."""
    with beside(mesh, "mesh") as pod:
        write_rules(pod, mesh, "before")
        for address in (V4, f"[{V6}]", "127.0.0.1", "[::1]"):
            body = f'{{"conversationId": "c1", "content": "{CANARY}"}}'
            kind = ("-H", "Content-Type: application/json", "-d", body)
            code, answer = pod.curl(f"http://{address}:{PORT}/messages", *kind, inside=True)
            assert (code, CANARY in answer) == (0, True), address
        told = counted(pod)

    assert (told["requests"], told["tokens"], told["canaries"]) == (4, 4, 0)


def test_only_istios_proxy_may_tell_of_the_certificate_of_a_client() -> None:
    """Another process of the pod could call from its address, or send the same header."""
    with beside(MESHES[0], "mesh") as pod:
        write_rules(pod, MESHES[0], "after")
        for address in (V4, f"[{V6}]"):
            assert pod.post(f"http://{address}:{PORT}/messages", CANARY)[0] == 0
        assert counted(pod)["certificates"] == [TOLD]
        forged = ("-H", "X-Forwarded-Client-Cert: Hash=1;URI=spiffe://forged", "-d", "{}")
        for address, source in (("127.0.0.1", "127.0.0.6"), ("[::1]", "::6")):
            url = f"http://{address}:{PORT}/other"
            as_it = ("--interface", source, "--connect-timeout", "1")
            assert pod.curl(url, *forged, *as_it, inside=True)[0] == UNANSWERED
            assert pod.curl(url, *forged, inside=True)[0] == 0
        told = counted(pod)

    assert told["requests"] == 4
    assert told["certificates"] == [TOLD]


@pytest.mark.parametrize("mesh", [None, *MESHES], ids=named)
def test_without_the_sidecar_nobody_reaches_the_application(mesh: Mesh | None) -> None:
    """As in a pod that terminates: the redirect is there for as long as its network is."""
    with beside(mesh, "mesh") as pod:
        write_rules(pod, mesh, "after")
        assert pod.post(f"http://{V4}:{PORT}/messages", CANARY)[0] == 0
        before = counted(pod)["requests"]
        pod.processes["sidecar"].send_signal(signal.SIGTERM)
        pod.processes["sidecar"].wait(20)
        for inside in (False, True):
            for address in (V4, f"[{V6}]"):
                url = f"http://{address}:{PORT}/messages"
                code, answer = pod.curl(url, "-d", CANARY, "-w", "%{http_code}", inside=inside)
                # The proxy of a mesh answers for whom it does not reach.
                assert code == REFUSED or answer[-3:] == "503", (address, inside, code, answer)
        for address in ("127.0.0.1", "[::1]"):
            assert pod.curl(f"http://{address}:{PORT}/", inside=True)[0] == REFUSED
        told = counted(pod)

    assert (told["requests"], told["canaries"]) == (before, 0)


@pytest.mark.parametrize("mesh", MESHES, ids=named)
def test_the_kubelet_reaches_the_health_port_past_the_mesh(mesh: Mesh) -> None:
    with beside(mesh, "mesh") as pod:
        for order in ORDERS:
            write_rules(pod, mesh, order)
            pod.kill("mesh") if order == "after" else None
            for address in (V4, f"[{V6}]"):
                port = container(pod.pod, "sealyard")["readinessProbe"]["httpGet"]["port"]
                head = pod.curl(f"http://{address}:{port}/readyz", "-D", "-")[1].lower()
                assert " 200 " in head.split("\r\n")[0]
                assert "x-mesh" not in head


def checked(pod: RunningPod, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the init container that tests the redirect."""
    check = container(pod.pod, "sealyard-check")
    given = {one["name"]: one["value"] for one in check["env"] if "value" in one}
    command = (sys.executable, "-P", "-m", "proxy", *check["args"])
    return subprocess.run(
        [*pod.inside, *as_user(check), *command],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **given,
            "SEALYARD_POD_IPS": f"{V4},{V6}",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_init_container_tests_the_redirect_and_fails_the_pod(pod: RunningPod) -> None:
    done = checked(pod)
    assert done.returncode == 0, done.stdout + done.stderr
    for place in (f"{V4}:8080", f"[{V6}]:8080", "127.0.0.1:8080", "[::1]:8080"):
        assert f"{place} reaches Sealyard" in done.stdout

    pod.processes["sidecar"].send_signal(signal.SIGTERM)
    pod.processes["sidecar"].wait(20)
    done = checked(pod)
    assert done.returncode == WRONG
    assert f"{V4}:8080: Connection refused; it should reach Sealyard" in done.stdout


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_init_container_notices_a_redirect_that_lacks_a_family(
    pod: RunningPod, family: str
) -> None:
    """The application answers there: a connection alone proves nothing."""
    other = "ipv6" if family == "ipv4" else "ipv4"
    kept = f"meta nfproto {other} meta skuid != 15080 tcp dport 8080 dnat to :15080"
    nft = [*pod.inside, "nft"]
    subprocess.run([*nft, "flush", "chain", "inet", "sealyard", "local"], check=True)
    subprocess.run([*nft, f"add rule inet sealyard local {kept}"], check=True)
    done = checked(pod)

    wrong = (V4, "127.0.0.1") if family == "ipv4" else (f"[{V6}]", "[::1]")
    assert done.returncode == WRONG
    for address in wrong:
        assert f"{address}:8080 reaches port 8080, and not Sealyard" in done.stdout
    assert done.stdout.count(" reaches Sealyard") == 2


def test_the_doctor_tells_what_is_open_from_inside(pod: RunningPod) -> None:
    pod.start("other", sys.executable, "-m", "http.server", "9000", "--bind", V4)
    pod.until(f"http://{V4}:9000/", inside=True)
    sidecar = container(pod.pod, "sealyard")
    told = subprocess.run(
        [*pod.inside, *as_user(sidecar), sys.executable, "-P", "-m", "proxy", "doctor", "--pod"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables(sidecar)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 0, told.stdout
    assert "port 9000, of user 0, is reached from outside without Sealyard" in told.stdout
    assert "Connections to 8080 reach Sealyard, then the application." in told.stdout

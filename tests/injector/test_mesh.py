"""Pods in meshes, with Envoy as the proxy: the matrix in short, and what else concerns them.

CI has the interception of meshes in `IN_CI`, with both orders of rules, and the others without a
mesh; the part `meshes` of the nightly has all. `./dev test-mesh` is the long form of the matrix.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from proxy.injector.annotations import Interception
from tests.injector.mesh_matrix import (
    HERE,
    ORDERS,
    PORT,
    Cell,
    beside,
    cells,
    counted,
    denied,
    marked,
    write_rules,
)
from tests.injector.meshes import MESHES, MISSING, TOLD, Mesh, forget_rules
from tests.injector.pods import SETTINGS, a_pod, container, injected, variables
from tests.injector.running_pod import (
    CANARY,
    ROOT,
    V4,
    V6,
    RunningPod,
    as_user,
    inside_of,
    needs_namespaces,
    run,
    running,
)

pytestmark = [
    needs_namespaces,
    pytest.mark.skipif(
        bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
        reason=f"there is no mesh here: {', '.join(MISSING)} missing",
    ),
]

IN_CI = ("istio-init", "consul")
"""Consul's proxy, alone of these, takes what is called from inside the pod too."""
REQUESTS = 12
REFUSED = 7
ENDED = (52, 56)
UNANSWERED = 28
WRONG = 3


def named(mesh: Mesh | None) -> str:
    """Return the name of a mesh, also of none."""
    return mesh.name if mesh else "none"


def in_all(*short: str) -> list[object]:
    """Return no mesh and each mesh; CI has the first and those of `short`."""
    slow = pytest.mark.slow
    return [None, *(one if one.name in short else pytest.param(one, marks=slow) for one in MESHES)]


@dataclass(frozen=True, slots=True)
class Meshed:
    """A pod with interception mesh, in a mesh or in none."""

    pod: RunningPod
    mesh: Mesh | None


def running_sidecar(pod: RunningPod) -> None:
    """Start the sidecar again if a test has ended it."""
    if pod.processes["sidecar"].poll() is not None:
        pod.start_sidecar()


@pytest.fixture(scope="module", params=in_all(*IN_CI), ids=named)
def long_lived(request: pytest.FixtureRequest) -> Iterator[Meshed]:
    """Run a pod in each mesh, for all tests: to start one takes seconds."""
    with beside(request.param, "mesh") as pod:
        yield Meshed(pod, request.param)


@pytest.fixture(params=[pytest.param("before", marks=pytest.mark.slow), "after"])
def meshed(long_lived: Meshed, request: pytest.FixtureRequest) -> Meshed:
    """Write the rules in each order."""
    write_rules(long_lived.pod, long_lived.mesh, request.param)
    running_sidecar(long_lived.pod)
    return long_lived


@pytest.fixture(scope="module")
def unmeshed() -> Iterator[RunningPod]:
    """Run a pod with interception mesh, in no mesh."""
    with beside(None, "mesh") as made:
        yield made


@pytest.fixture
def pod(unmeshed: RunningPod) -> RunningPod:
    """Write its rules."""
    write_rules(unmeshed, None, "after")
    running_sidecar(unmeshed)
    return unmeshed


def requires_no_fault(found: list[Cell], pod: RunningPod) -> None:
    """Hold some cells to the laws of the matrix."""
    assert [one.told for one in found if one.faults] == []
    assert CANARY not in "".join(one.read_text() for one in pod.folder.glob("*.log"))


@pytest.mark.parametrize("interception", ["redirect", "port-env"])
@pytest.mark.parametrize("mesh", in_all(), ids=named)
def test_no_order_of_rules_lets_plaintext_through(
    mesh: Mesh | None, interception: Interception
) -> None:
    if denied(mesh, interception):
        made = injected(marked(mesh), replace(SETTINGS, interception=interception))
        assert variables(container(made, "sealyard"))["SEALYARD_INTERCEPTION"] == "mesh"
        return
    with beside(mesh, interception) as pod:
        for order in ORDERS:
            write_rules(pod, mesh, order)
            found = list(cells(pod, mesh, interception, order, REQUESTS))
            assert len(found) >= 2
            requires_no_fault(found, pod)


@pytest.mark.parametrize("order", ORDERS)
def test_every_message_passes_the_mesh_and_then_sealyard(long_lived: Meshed, order: str) -> None:
    pod, mesh = long_lived.pod, long_lived.mesh
    write_rules(pod, mesh, order)
    running_sidecar(pod)
    found = list(cells(pod, mesh, "mesh", order, REQUESTS))

    assert len(found) >= 2
    requires_no_fault(found, pod)


def test_connections_from_inside_are_sealed_too(meshed: Meshed) -> None:
    """Those of other containers, and of kubectl port-forward, which calls 127.0.0.1 as root."""
    before = counted(meshed.pod)
    for address in (V4, f"[{V6}]", "127.0.0.1", "[::1]"):
        body = f'{{"conversationId": "c1", "content": "{CANARY}"}}'
        kind = ("-H", "Content-Type: application/json", "-d", body)
        code, answer = meshed.pod.curl(f"http://{address}:{PORT}/messages", *kind, inside=True)
        assert (code, CANARY in answer) == (0, True), address
    told = counted(meshed.pod)

    assert told["tokens"] - before["tokens"] == told["requests"] - before["requests"] == 4
    assert told["canaries"] == before["canaries"]


@pytest.mark.parametrize("mesh", [one for one in MESHES if one.name == "consul"], ids=named)
def test_what_a_proxy_holds_back_is_sealed_once_it_goes_on(mesh: Mesh) -> None:
    """A stopped proxy has messages whose clients have given up, while all rules are written anew.

    Consul's, alone of these, takes what is called from inside the pod too.
    """
    with beside(mesh, "mesh") as pod:
        write_rules(pod, mesh, "before")
        pod.processes["mesh"].send_signal(signal.SIGSTOP)
        for inside in (False, True):
            for address in (V4, f"[{V6}]"):
                pod.post(f"http://{address}:{PORT}/messages", CANARY, "-m", "1", inside=inside)
        forget_rules(pod)
        pod.processes["mesh"].send_signal(signal.SIGCONT)
        write_rules(pod, mesh, "after")
        assert pod.post(f"http://{V4}:{PORT}/messages", CANARY, inside=True)[0] == 0
        told = counted(pod)

    assert told["requests"] == told["tokens"] > 0
    assert told["canaries"] == 0


def test_a_port_that_nobody_declares_is_sealed_at_the_address_of_the_pod(pod: RunningPod) -> None:
    """On loopback, it is the application's own, as the API of a sidecar that it calls."""
    pod.start_application(7070)
    for address in (V4, f"[{V6}]"):
        for inside in (False, True):
            code, answer = pod.post(f"http://{address}:7070/messages", CANARY, inside=inside)
            assert (code, json.loads(answer)["content"]) == (0, CANARY)
    kept = pod.file(7070).read_text()
    assert (CANARY in kept, kept.count("eyJ0eXAiOiJzeTEi")) == (False, 4)
    assert pod.post("http://127.0.0.1:7070/messages", CANARY, inside=True)[0] == 0
    assert CANARY in pod.file(7070).read_text()
    pod.kill("app7070")


@pytest.mark.parametrize("cookies", ["1", "2"])
@pytest.mark.parametrize(("own", "called"), [(15080, PORT), (15082, 15082)])
def test_only_the_sidecars_user_answers_at_its_ports(
    pod: RunningPod, own: int, called: int, cookies: str
) -> None:
    """Not a decoy that waits until the sidecar ends, or that was there before it.

    Nor where its connections begin with SYN cookies (2: always), which the kernel sends as nobody.
    """
    run(*pod.inside, "sh", "-c", f"echo {cookies} > /proc/sys/net/ipv4/tcp_syncookies")
    pod.processes["sidecar"].kill()
    pod.processes["sidecar"].wait()
    kept = pod.folder / "decoy"
    backend = str(HERE / "backend.py")
    pod.start("decoy", sys.executable, backend, str(own), str(kept))
    pod.until_listening("decoy", own)
    for address in (V4, f"[{V6}]", "127.0.0.1", "[::1]"):
        inside = address in {"127.0.0.1", "[::1]"}
        url = f"http://{address}:{called}/messages"
        assert pod.post(url, CANARY, "--connect-timeout", "1", inside=inside)[0] == UNANSWERED
    pod.kill("decoy")
    run(*pod.inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_syncookies")

    assert not kept.exists()


def test_the_kubelet_reaches_the_health_port_past_the_mesh(meshed: Meshed) -> None:
    port = container(meshed.pod.pod, "sealyard")["readinessProbe"]["httpGet"]["port"]
    for address in (V4, f"[{V6}]"):
        head = meshed.pod.curl(f"http://{address}:{port}/readyz", "-D", "-")[1].lower()
        assert " 200 " in head.split("\r\n")[0]
        assert "x-mesh" not in head


def test_a_sidecar_that_ends_under_load_leaves_no_way_to_the_application(meshed: Meshed) -> None:
    """As in a pod that terminates: the redirect is there for as long as its network is."""
    pod, before = meshed.pod, counted(meshed.pod)
    begun = before["requests"]
    load = (str(HERE / "mesh_load.py"), V4, str(PORT), "3000", CANARY)
    command = [*inside_of(f"{pod.name}-client"), sys.executable, *load]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        while counted(pod)["requests"] < begun + 40:
            assert client.poll() is None
        pod.processes["sidecar"].send_signal(signal.SIGTERM)
        answers = json.loads(client.communicate(timeout=120)[0])["statuses"]
    assert pod.processes["sidecar"].wait(30) == 0
    ended = counted(pod)["requests"]
    for inside in (False, True):
        for address in (V4, f"[{V6}]"):
            url = f"http://{address}:{PORT}/messages"
            code, answer = pod.curl(url, "-d", CANARY, "-w", "%{http_code}", inside=inside)
            # The proxy of a mesh answers for whom it does not reach.
            # One that takes calls within the pod has accepted the connection by then, and ends it.
            seen = (address, inside, code, answer)
            assert code in {REFUSED, *ENDED} or answer[-3:] == "503", seen
    for address in ("127.0.0.1", "[::1]"):
        assert pod.curl(f"http://{address}:{PORT}/", inside=True)[0] == REFUSED
    told = counted(pod)

    assert 40 <= answers.pop("200") < 3000
    assert set(answers) <= {"503", "ConnectionRefusedError", "ConnectionResetError"}
    assert (told["requests"], told["canaries"]) == (ended, before["canaries"])


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


def test_a_pod_that_declares_no_port_is_sealed_at_its_address() -> None:
    """Every port is taken there, declared or not, and the check tries one."""
    with running(a_pod(containers=[{"name": "web", "image": "w"}])) as pod:
        pod.start_application(7070)
        pod.start_sidecar()
        pod.redirect()
        for address in (V4, f"[{V6}]"):
            for inside in (False, True):
                assert pod.post(f"http://{address}:7070/messages", CANARY, inside=inside)[0] == 0
        kept, done = pod.file(7070).read_text(), checked(pod)
        told = f"{done.stdout}{done.stderr}"
        run(*pod.inside, "nft", "flush", "table", "inet", "sealyard")
        flushed = checked(pod)

    assert (CANARY in kept, kept.count("eyJ0eXAiOiJzeTEi")) == (False, 4)
    assert done.returncode == 0, told
    assert f"{V4}:9 reaches Sealyard" in told
    assert f"[{V6}]:9 reaches Sealyard" in told
    assert flushed.returncode == WRONG
    assert f"{V4}:9: Connection refused; it should reach Sealyard" in flushed.stdout


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_the_init_container_notices_a_redirect_that_lacks_a_family(
    pod: RunningPod, family: str
) -> None:
    """The application answers there: a connection alone proves nothing."""
    other = "ipv6" if family == "ipv4" else "ipv4"
    kept = f"meta nfproto {other} tcp dport 8080 dnat to :15080"
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
    passing = {"SEALYARD_PASSED_PORTS": "9000"}
    pod.start("other", sys.executable, "-m", "http.server", "9000", "--bind", V4)
    pod.until(f"http://{V4}:9000/", inside=True)
    sidecar = container(pod.pod, "sealyard")
    told = subprocess.run(
        [*pod.inside, *as_user(sidecar), sys.executable, "-P", "-m", "proxy", "doctor", "--pod"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables(sidecar), **passing},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert told.returncode == 0, told.stdout
    assert "port 9000, of user 0, is reached from outside without Sealyard" in told.stdout
    assert "Connections to 8080 reach Sealyard, then the application." in told.stdout

"""Pods that mean harm, run for real in network namespaces: one of each class.

Each test does what a container would do in the pod that the injector makes, with the rights that
this leaves to it. Where a law is what prevents the harm, the harm is shown without it too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import pytest

from proxy.injector.inject import inject
from proxy.injector.pod_reader import CannotInject, Json
from proxy.injector.policy import MESH_HEALTH_PORT, MESH_USER, TRAFFIC_PORT
from tests.injector.pods import SETTINGS, STRICT, a_container, a_pod, container, variables
from tests.injector.running_pod import (
    CANARY,
    V4,
    V6,
    RunningPod,
    as_user,
    needs_namespaces,
    running,
)

pytestmark = needs_namespaces

PORT: Final = 8080
URL: Final = f"http://{V4}:{PORT}/messages"
INSIDE: Final = f"http://127.0.0.1:{PORT}/messages"
TOKEN: Final = "eyJ0eXAiOiJzeTEi"
RUNTIMES: Final = (
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service"
    ",+sys_chroot,+mknod,+audit_write,+setfcap"
)
"""What containerd gives to root, but NET_RAW, which the injector drops."""


def started(pod: RunningPod) -> RunningPod:
    """Start an injected pod as the kubelet does."""
    pod.redirect()
    pod.start_sidecar()
    pod.start_application(PORT)
    return pod


@pytest.fixture(scope="module")
def whole() -> Iterator[RunningPod]:
    """Run a pod for all tests that leave it as it is."""
    with running(a_pod(), STRICT) as pod:
        yield started(pod)


@pytest.fixture
def pod(whole: RunningPod) -> RunningPod:
    """Empty what the application keeps."""
    whole.file(PORT).write_text("")
    return whole


def root(pod: RunningPod, *command: str, more: str = "", user: int = 0) -> tuple[int, str]:
    """Run a command in the pod as a container of the application would."""
    limits = ("setpriv", "--bounding-set", RUNTIMES + more)
    who = ("--reuid", str(user), "--clear-groups") if user else ()
    done = subprocess.run(
        [*pod.inside, *limits, *who, *command],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def sealed(pod: RunningPod, *, inside: bool = False) -> bool:
    """Send a message; return whether all that the application has of it is a token."""
    code, _ = pod.post(INSIDE if inside else URL, CANARY, inside=inside)
    kept = pod.file(PORT).read_text()
    assert (code, TOKEN in kept) in {(0, True), (0, False)}
    return TOKEN in kept and CANARY not in kept


def refusal(pod: Json) -> str:
    """Return why the injector denies a pod."""
    with pytest.raises(CannotInject) as refused:
        inject(pod, STRICT, "shop")
    return refused.value.detail


FLUSH: Final = ("/usr/sbin/nft", "flush", "ruleset")
SNIFF: Final = (sys.executable, "-c", "import socket; socket.socket(socket.AF_PACKET, 3, 768)")


def test_capability_without_net_admin_nobody_undoes_the_redirect() -> None:
    added = {"capabilities": {"add": ["NET_ADMIN"]}}
    assert "could undo" in refusal(a_pod(containers=[a_container(securityContext=added)]))
    with running(a_pod(), STRICT) as pod:
        started(pod)
        assert root(pod, *FLUSH)[0] != 0
        assert sealed(pod)
        assert root(pod, *FLUSH, more=",+net_admin")[0] == 0
        assert not sealed(pod)


def test_capability_without_net_raw_nobody_reads_the_network_of_the_pod(pod: RunningPod) -> None:
    web = container(inject(a_pod(), STRICT, "shop"), "web")

    assert web["securityContext"]["capabilities"] == {"drop": ["NET_RAW"]}
    assert "PermissionError" in root(pod, *SNIFF)[1]
    assert root(pod, *SNIFF, more=",+net_raw") == (0, "")


def test_privileged_has_both_whatever_is_dropped(pod: RunningPod) -> None:
    assert "is privileged" in refusal(
        a_pod(containers=[a_container(securityContext={"privileged": True})])
    )
    done = subprocess.run([*pod.inside, *SNIFF], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("user", [0, 1337, 65532])
def test_user_nobody_but_the_sidecars_reaches_the_application_past_it(
    pod: RunningPod, user: int
) -> None:
    curl = ("curl", "-s", "-m", "5", "-d", CANARY, INSIDE)
    root(pod, *curl, user=user)
    assert CANARY not in pod.file(PORT).read_text()


def test_user_the_sidecars_reaches_it_from_inside_and_takes_no_port_of_the_sidecar(
    pod: RunningPod,
) -> None:
    """An image may name that user, and a root process may become it; the injector sees neither.

    It is a way around the sidecar for what is in the pod already. While the sidecar runs, nothing
    that comes from outside leads there.
    """
    assert "which is the sidecar's" in refusal(a_pod(securityContext={"runAsUser": MESH_USER}))
    binding = """
import socket, sys
for family, host in ((2, "0.0.0.0"), (2, sys.argv[1]), (2, "127.0.0.1"), (10, "::"), (10, "::1")):
    for port in map(int, sys.argv[2:]):
        sock = socket.socket(family)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            sock.bind((host, port))
            sock.listen()
        except OSError:
            continue
        print("taken", host, port)
"""
    ports = (str(TRAFFIC_PORT), str(MESH_HEALTH_PORT))
    assert root(pod, sys.executable, "-c", binding, V4, *ports, user=MESH_USER) == (0, "")
    assert sealed(pod)
    assert root(pod, "curl", "-s", "-m", "5", "-d", CANARY, INSIDE, user=MESH_USER)[0] == 0
    assert CANARY in pod.file(PORT).read_text()


def test_namespace_of_processes_is_the_containers_own(pod: RunningPod) -> None:
    sidecar = str(pod.processes["sidecar"].pid)
    shown = ("cat", f"/proc/{sidecar}/cmdline")
    assert "could read the memory" in refusal(a_pod(shareProcessNamespace=True))
    assert "could read the memory" in refusal(a_pod(hostPID=True))
    assert "serve" in root(pod, *shown)[1]
    own = ("unshare", "--pid", "--fork", "--mount-proc")
    done = subprocess.run([*pod.inside, *own, *shown], capture_output=True, check=False)
    assert done.returncode != 0


@pytest.mark.parametrize(
    "volume",
    [
        {"hostPath": {"path": "/var/lib/kubelet/pods"}},
        {"csi": {"driver": "of.an.author"}},
        {"secret": {"secretName": "sealyard-keys"}},
    ],
    ids=["host path", "driver", "keys"],
)
def test_files_of_the_keys_are_read_by_whoever_has_their_folder(
    pod: RunningPod, volume: Json
) -> None:
    """Root of a container has them by any volume, though they are another user's."""
    reading = ("cat", str(pod.folder / "keys" / "root.key"))
    assert refusal(a_pod(volumes=[{"name": "v", **volume}]))
    assert root(pod, *reading)[0] == 0
    without = f"mount -t tmpfs none {pod.folder} && exec {' '.join(reading)}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", without], check=False)  # noqa: S607 - found by running_pod
    assert done.returncode != 0


@pytest.mark.parametrize(
    "sent",
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02hello", f"PUSH {CANARY}\r\n"],
    ids=["HTTP/2", "TLS", "a stream"],
)
def test_protocol_that_is_no_http_reaches_no_application(pod: RunningPod, sent: str) -> None:
    named = [{"name": "tcp-raft", "containerPort": PORT}]
    assert "no HTTP" in refusal(a_pod(containers=[a_container(ports=named)]))
    speaking = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
sock.sendall(sys.argv[3].encode("latin-1"))
print(sock.recv(100))
"""
    client = ["ip", "netns", "exec", f"{pod.name}-client", sys.executable, "-c", speaking]
    done = subprocess.run(
        [*client, V6, str(PORT), sent], capture_output=True, text=True, check=True, timeout=30
    )
    assert "400" in done.stdout or done.stdout.strip() == "b''"
    assert pod.file(PORT).read_text() == ""


@pytest.mark.parametrize(
    ("written", "law", "inside"),
    [
        ({"sealyard.io/pass-ports": "8080"}, "passes unsealed", False),
        ({"sealyard.io/interception": "redirect"}, "with redirect", True),
    ],
    ids=["port", "interception"],
)
def test_annotations_that_open_are_permissions(
    written: dict[str, str], law: str, *, inside: bool
) -> None:
    assert law in refusal(a_pod(written))
    with running(a_pod(written), SETTINGS) as pod:
        started(pod)
        assert not sealed(pod, inside=inside)
    with running(a_pod(), STRICT) as pod:
        started(pod)
        assert sealed(pod, inside=inside)


@pytest.mark.parametrize(
    ("store", "starts"),
    [
        ("redis://redis:6379/0", False),
        ("redis://localhost:6379/0", False),
        ("redis://10.244.0.9:6379/0", True),
        ("rediss://redis:6379/0", True),
    ],
)
def test_names_of_the_store_are_taken_with_tls_alone(store: str, *, starts: bool) -> None:
    """A root process writes the hosts file of its pod, and a name of the pod is in it."""
    assert "the pod would choose" in refusal(a_pod(hostname="redis"))
    with running(a_pod(), STRICT) as pod:
        pod.redirect()
        configuration = pod.folder / "sealyard.yaml"
        text = configuration.read_text().replace("store: memory", f"store: {store}")
        configuration.write_text(text)
        hosts = pod.folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n10.244.0.5 redis\n")
        sidecar = container(pod.pod, "sealyard")
        arguments = [*sidecar["args"][:2], str(configuration), *sidecar["args"][3:]]
        command = (*as_user(sidecar), sys.executable, "-P", "-m", "proxy", *arguments)
        mounted = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        isolated = ("unshare", "--mount", "sh", "-c", mounted, "sh")
        pod.start("sidecar", *isolated, *command, **variables(sidecar))
        said = judged(pod)

    assert ("Containers of the pod decide which machine" in said) == (not starts)


def judged(pod: RunningPod) -> str:
    """Wait until the sidecar has ended, or goes on without its store; return what it said."""
    log, deadline = pod.folder / "sidecar.log", time.monotonic() + 60
    while pod.processes["sidecar"].poll() is None and "store.warning" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return log.read_text()


def test_own_names_and_places_decide_nothing() -> None:
    """A decoy that would be first, and a container with the sidecar's name."""
    assert "choose another" in refusal(
        a_pod(containers=[a_container(), {"name": "sealyard", "image": "d"}])
    )
    decoy = {**a_container("sealyard-redirect"), "command": ["/bin/true"]}
    with running(a_pod(initContainers=[decoy]), STRICT) as pod:
        started(pod)
        assert sealed(pod)
        assert sealed(pod, inside=True)

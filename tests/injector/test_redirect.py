"""An injected pod, run for real in network namespaces: nft, sidecar and application.

What runs is what stands in the patched pod: the command of its init container, the arguments and
the environment of its sidecar. Only paths are other ones.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.injector.pod_reader import Json
from tests.injector.pods import a_container, a_pod, container, injected, variables

ROOT = Path(__file__).parent.parent.parent
BACKEND = Path(__file__).parent / "backend.py"
V4, V6 = "10.244.0.5", "fd00:244::5"
CANARY = "canary-the-patient-has-a-cold"

NEEDED = ("ip", "nft", "setpriv", "setcap", "curl")
MISSING = [tool for tool in NEEDED if shutil.which(tool) is None]
if os.geteuid() != 0:
    MISSING.append("root")
# With REQUIRE_RUNTIME, as CI sets it, what is missing lets the tests fail rather than be skipped.
pytestmark = pytest.mark.skipif(
    bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
    reason=f"a pod cannot be run here: {', '.join(MISSING)} missing",
)

CONFIGURATION = """\
version: 1
keys:
  keyring: {file: keys/keyring.jwe, key: {file: keys/root.key}}
  store: memory
health: {listen: '*:15021'}
listeners:
  - name: api
    listen: ${env:SEALYARD_LISTEN}
    upstream: ${env:SEALYARD_UPSTREAM}
    unmatched: pass
    defaults:
      tenant: const:clinic
      bind: [tenant, conversation]
    rules:
      - name: send
        match: POST /messages/**
        conversation: $.conversationId
        request: {encrypt: $.content}
        response: {decrypt: tokens}
      - name: list
        match: GET /messages
        response: {decrypt: tokens}
        conversation: const:c1
"""


def inside_of(namespace: str) -> list[str]:
    """Return what runs a command in a network namespace."""
    return ["ip", "netns", "exec", namespace]


def run(*command: str, **more: str) -> str:
    """Run a command to its end and return what it says."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@dataclass(slots=True)
class RunningPod:
    """The namespaces of a pod and of its client, and the processes in the pod."""

    name: str
    folder: Path
    pod: Json
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str, **environ: str) -> None:
        """Start a process in the pod."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*inside_of(f"{self.name}-pod"), *command],
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdout=log,
                stderr=log,
            )

    def start_application(self, port: int) -> None:
        """Start the application at one port."""
        self.start(f"app{port}", sys.executable, str(BACKEND), str(port), str(self.file(port)))
        self.until(f"http://127.0.0.1:{port}/who", inside=True)

    def start_sidecar(self) -> None:
        """Start the sidecar by the arguments and environment of its container."""
        sidecar = container(self.pod, "sealyard")
        arguments = list(sidecar["args"])
        arguments[arguments.index("--config") + 1] = str(self.folder / "sealyard.yaml")
        environ = variables(sidecar)
        self.start("sidecar", sys.executable, "-P", "-m", "proxy", *arguments, **environ)
        self.until("http://127.0.0.1:15021/readyz", inside=True)

    def redirect(self) -> None:
        """Run nft as the init container does: not as root, by a capability of the file alone."""
        nft = self.folder / "nft"
        if not nft.exists():
            shutil.copy(shutil.which("nft") or "", nft)
            run("setcap", "cap_net_admin+ep", str(nft))
        _, *ruleset = container(self.pod, "sealyard-redirect")["command"]
        run(
            *inside_of(f"{self.name}-pod"),
            *("setpriv", "--reuid", "65532", "--regid", "0", "--clear-groups"),
            *("--inh-caps", "-all", "--bounding-set", "-all,+net_admin"),
            str(nft),
            *ruleset,
        )

    def curl(self, url: str, *arguments: str, inside: bool = False) -> tuple[int, str]:
        """Call from outside the pod, or from inside; return curl's exit code and what came."""
        place = f"{self.name}-{'pod' if inside else 'client'}"
        done = subprocess.run(
            [*inside_of(place), "curl", "-s", "-m", "10", *arguments, url],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout

    def post(self, url: str, content: str) -> tuple[int, str]:
        """Send a message from outside."""
        body = json.dumps({"conversationId": "c1", "content": content})
        return self.curl(url, "-H", "Content-Type: application/json", "-d", body)

    def until(self, url: str, *, inside: bool) -> None:
        """Wait until somebody answers."""
        deadline = time.monotonic() + 20
        while self.curl(url, "-f", inside=inside)[0]:
            logs = "".join(one.read_text() for one in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)

    def file(self, port: int) -> Path:
        """Return where an application keeps what it is sent."""
        return self.folder / f"data{port}"

    def kill(self, name: str) -> None:
        """Kill a process of the pod."""
        self.processes[name].kill()
        self.processes.pop(name).wait()


def link(name: str) -> None:
    """Make the two namespaces and the link between them, IPv4 and IPv6."""
    for one in ("pod", "client"):
        run("ip", "netns", "add", f"{name}-{one}")
    run(
        *("ip", "-n", f"{name}-pod", "link", "add", "eth0", "type", "veth"),
        *("peer", "name", "eth0", "netns", f"{name}-client"),
    )
    for one, v4, v6 in (("pod", V4, V6), ("client", "10.244.0.9", "fd00:244::9")):
        here = ("ip", "-n", f"{name}-{one}")
        run(*here, "addr", "add", f"{v4}/24", "dev", "eth0")
        run(*here, "addr", "add", f"{v6}/64", "dev", "eth0", "nodad")
        run(*here, "link", "set", "eth0", "up")
        run(*here, "link", "set", "lo", "up")


@contextmanager
def running(manifest: Json, folder: Path) -> Iterator[RunningPod]:
    """Make the namespaces for a pod, with its configuration and keys; end what runs in them."""
    name = f"sy{secrets.token_hex(3)}"
    (folder / "sealyard.yaml").write_text(CONFIGURATION)
    run(sys.executable, "-P", "-m", "proxy", "init", str(folder / "keys"))
    made = RunningPod(name, folder, injected(manifest))
    try:
        link(name)
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
        for one in ("pod", "client"):
            subprocess.run(["ip", "netns", "del", f"{name}-{one}"], check=False)  # noqa: S607 - found above


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[RunningPod]:
    """Run a pod with two sealed ports: an application at each, the sidecar, the redirect."""
    app = a_container(
        readinessProbe={
            "httpGet": {
                "path": "/up",
                "port": "http",
                "httpHeaders": [{"name": "X-Probe", "value": "yes"}],
            }
        },
        livenessProbe={"tcpSocket": {"port": 9000}},
        startupProbe={"httpGet": {"path": "/up", "port": 8080}},
    )
    with running(a_pod({"sealyard.io/ports": "8080,9000"}, containers=[app]), tmp_path) as made:
        for port in (8080, 9000):
            made.start_application(port)
        made.redirect()
        made.start_sidecar()
        yield made


@pytest.mark.parametrize("address", [V4, f"[{V6}]"])
def test_what_comes_from_outside_is_sealed_before_the_application_has_it(
    pod: RunningPod, address: str
) -> None:
    code, answer = pod.post(f"http://{address}:8080/messages", CANARY)
    kept = pod.file(8080).read_text()

    assert (code, json.loads(answer)["content"]) == (0, CANARY)
    assert CANARY not in kept
    assert json.loads(kept)["content"].startswith("eyJ0eXAiOiJzeTEi")
    assert json.loads(pod.curl(f"http://{address}:8080/messages")[1])[0]["content"] == CANARY
    # What is said inside the pod does not pass the redirect: the application's own view.
    assert CANARY not in pod.curl("http://127.0.0.1:8080/messages", inside=True)[1]


def test_each_port_leads_to_its_own_application(pod: RunningPod) -> None:
    for port in (8080, 9000, 8080):
        told = json.loads(pod.curl(f"http://{V4}:{port}/who")[1])
        assert told == {"peer": "127.0.0.1", "forwarded": "10.244.0.9", "port": port}


def test_who_calls_the_sidecars_own_port_gets_nowhere(pod: RunningPod) -> None:
    """It would be sent to itself again, for ever."""
    code, answer = pod.curl(f"http://{V4}:15080/messages", "-w", "%{http_code}")

    assert code == 0
    assert answer.endswith("502")
    assert "not-redirected" in (pod.folder / "sidecar.log").read_text()


def test_without_the_sidecar_nobody_reaches_the_application(pod: RunningPod) -> None:
    pod.kill("sidecar")

    refused = 7
    assert pod.post(f"http://{V4}:8080/messages", CANARY)[0] == refused
    assert pod.post(f"http://[{V6}]:8080/messages", CANARY)[0] == refused
    assert not pod.file(8080).exists()
    assert pod.curl("http://127.0.0.1:8080/who", inside=True)[0] == 0


def test_the_init_container_may_run_again(pod: RunningPod) -> None:
    before = run(*inside_of(f"{pod.name}-pod"), "nft", "list", "ruleset")
    pod.redirect()

    assert run(*inside_of(f"{pod.name}-pod"), "nft", "list", "ruleset") == before
    assert before.count("redirect") == 1


def test_the_kubelet_learns_of_the_application_and_not_of_the_sidecar(pod: RunningPod) -> None:
    """Over the paths and the port that now stand in the pod."""
    web = container(pod.pod, "web")

    def ask(kind: str) -> str:
        get = web[kind]["httpGet"]
        url = f"http://{V4}:{get['port']}{get['path']}"
        return pod.curl(url, "-o", "/dev/null", "-w", "%{http_code}")[1]

    assert (ask("readinessProbe"), ask("livenessProbe")) == ("200", "200")
    assert ask("startupProbe") == "503"  # it lacks the header that the application wants
    pod.kill("app8080")
    assert (ask("readinessProbe"), ask("livenessProbe")) == ("503", "200")
    pod.kill("app9000")
    assert ask("livenessProbe") == "503"
    assert pod.curl(f"http://{V4}:15021/app-probe/web/other", "-w", "%{http_code}")[1][-3:] == "404"


def test_what_is_under_way_is_answered_when_the_pod_ends(pod: RunningPod) -> None:
    command = [*inside_of(f"{pod.name}-client"), "curl", "-s", "-m", "10", "-d"]
    command += [json.dumps({"conversationId": "c1", "content": CANARY})]
    command += ["-H", "Content-Type: application/json", f"http://{V4}:8080/messages/slow"]
    waiting = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(5)]
    deadline = time.monotonic() + 10
    while not pod.file(8080).exists() or pod.file(8080).read_text().count("\n") < len(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pod.processes["sidecar"].send_signal(signal.SIGTERM)
    answers = [one.communicate(timeout=20)[0] for one in waiting]

    assert [json.loads(one)["content"] for one in answers] == [CANARY] * len(waiting)
    assert pod.processes["sidecar"].wait(15) == 0
    assert CANARY not in pod.file(8080).read_text()


def test_without_any_privilege_the_application_moves_and_the_sidecar_takes_its_place(
    tmp_path: Path,
) -> None:
    app = a_container(livenessProbe={"tcpSocket": {"port": "http"}})
    manifest = a_pod({"sealyard.io/interception": "port-env"}, containers=[app])
    with running(manifest, tmp_path) as pod:
        moved = int(variables(container(pod.pod, "web"))["PORT"])
        pod.start_application(moved)
        pod.start_sidecar()
        for address in (V4, f"[{V6}]"):
            code, answer = pod.post(f"http://{address}:8080/messages", CANARY)
            assert (code, json.loads(answer)["content"]) == (0, CANARY)
        get = container(pod.pod, "web")["livenessProbe"]["httpGet"]
        probe = f"http://{V4}:{get['port']}{get['path']}"
        assert pod.curl(probe, "-f")[0] == 0
        assert CANARY not in pod.file(moved).read_text()
        pod.kill(f"app{moved}")
        assert pod.curl(probe, "-f")[0] != 0

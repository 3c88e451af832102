"""An injected pod in network namespaces, called from outside and from inside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.injector.pods import a_container, a_pod, container, variables
from tests.injector.running_pod import (
    CANARY,
    V4,
    V6,
    RunningPod,
    inside_of,
    needs_namespaces,
    run,
    running,
)

pytestmark = needs_namespaces


@pytest.fixture(scope="module")
def whole() -> Iterator[RunningPod]:
    """Run a pod with two sealed ports, for all tests: a sidecar takes more than a second each."""
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
    notes = {"sealyard.io/ports": "9000", "sealyard.io/interception": "redirect"}
    with running(a_pod(notes, containers=[app])) as made:
        made.redirect()
        yield made


@pytest.fixture
def pod(whole: RunningPod) -> RunningPod:
    """Start an application at each port, which keeps nothing yet, and the sidecar if it ended."""
    for name in whole.processes.keys() - {"sidecar"}:
        whole.kill(name)
    for one in (*whole.folder.glob("data*"), *whole.folder.glob("*.log")):
        one.write_text("") if one.suffix else one.unlink()
    for port in (8080, 9000):
        whole.start_application(port)
    if "sidecar" not in whole.processes or whole.processes["sidecar"].poll() is not None:
        whole.start_sidecar()
    return whole


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
        assert told == {"peer": V4, "forwarded": "10.244.0.9", "port": port}


def test_what_is_no_http_is_refused_and_the_log_says_what_to_write(pod: RunningPod) -> None:
    """It would have reached the application, before every port was taken."""
    pod.start_application(7443)
    assert pod.curl(f"https://{V4}:7443/who", "-k")[0] != 0
    log = (pod.folder / "sidecar.log").read_text()

    told = [json.loads(line) for line in log.splitlines() if '"port.not_http"' in line]
    assert [(one["port"], one["annotation"]) for one in told] == [(7443, "sealyard.io/pass-ports")]


def test_what_listens_on_loopback_alone_is_not_reached_from_outside(pod: RunningPod) -> None:
    """Every port is redirected, and the sidecar must not open what was not open before."""
    pod.start("own", sys.executable, "-m", "http.server", "6060", "--bind", "127.0.0.1")
    pod.until("http://127.0.0.1:6060/", inside=True)

    for address in (V4, f"[{V6}]"):
        assert pod.curl(f"http://{address}:6060/", "-w", "%{http_code}")[1].endswith("502")


def test_a_port_that_nobody_declares_is_sealed_too(pod: RunningPod) -> None:
    pod.start_application(7070)
    for address in (V4, f"[{V6}]"):
        told = json.loads(pod.curl(f"http://{address}:7070/who")[1])
        assert (told["peer"], told["port"]) == (address.strip("[]"), 7070)
        code, answer = pod.post(f"http://{address}:7070/messages", CANARY)
        assert (code, json.loads(answer)["content"]) == (0, CANARY)

    assert CANARY not in pod.file(7070).read_text()


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


def test_without_any_privilege_the_application_moves_and_the_sidecar_takes_its_place() -> None:
    app = a_container(livenessProbe={"tcpSocket": {"port": "http"}})
    manifest = a_pod({"sealyard.io/interception": "port-env"}, containers=[app])
    with running(manifest) as pod:
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

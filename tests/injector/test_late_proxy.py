"""A pod whose Redis is reached through a mesh's proxy that starts after Sealyard.

With a CNI plugin nothing leaves the pod before the proxy runs: what is redirected to it is refused.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace

import pytest

from tests.injector.mesh_matrix import HERE, PORT, counted, marked
from tests.injector.meshes import MESHES, MISSING, Mesh
from tests.injector.pods import SETTINGS
from tests.injector.running_pod import (
    CANARY,
    READING,
    V4,
    RunningPod,
    inside_of,
    needs_namespaces,
    running,
)
from tests.redis.server import PROGRAM, needs_redis
from tests.servers import child

pytestmark = [
    needs_namespaces,
    needs_redis,
    pytest.mark.skipif(
        bool(MISSING) and not os.environ.get("REQUIRE_RUNTIME"),
        reason=f"there is no mesh here: {', '.join(MISSING)} missing",
    ),
]

REDIS = "10.244.0.9"
"""The client's address: it is outside the pod."""


def sent(pod: RunningPod, mesh: Mesh) -> tuple[str, str]:
    """Send a message from inside the pod, past the mesh; return the status and what came."""
    address = "127.0.0.1" if mesh.loopback else V4
    body = json.dumps({"conversationId": "c1", "content": CANARY})
    options = ("-H", "Content-Type: application/json", "-d", body, "-w", "\n%{http_code}")
    _, told = pod.curl(f"http://{address}:{PORT}/messages", *options, inside=True)
    text, _, status = told.rpartition("\n")
    return status, text


@pytest.mark.parametrize(
    "mesh", [one for one in MESHES if one.rules and not one.transparent], ids=lambda one: one.name
)
def test_a_sidecar_waits_for_redis_behind_a_late_proxy(mesh: Mesh) -> None:
    with running(marked(mesh), replace(SETTINGS, interception="mesh")) as pod:
        configuration = pod.folder / "sealyard.yaml"
        store = f"store: redis://{REDIS}:6379/0\n  sessions: {{mode: ephemeral}}"
        configuration.write_text(configuration.read_text().replace("store: memory", store))
        program = [PROGRAM or "", "--bind", REDIS, "--protected-mode", "no", "--save", ""]
        redis = [*inside_of(f"{pod.name}-client"), *program]
        with child(redis, pod.folder / "redis.log", {}, cwd=pod.folder):
            mesh.install(pod)
            pod.redirect()
            socket = str(pod.folder / "app.sock")
            backend = str(HERE / "counting_backend.py")
            pod.start("app", sys.executable, backend, str(PORT), socket, CANARY)

            pod.start_sidecar(READING)  # ready, so that the pod starts what comes after it
            sidecar = pod.processes["sidecar"]
            early = [sent(pod, mesh) for _ in range(3)]
            before = counted(pod)
            mesh.start(pod)
            deadline = time.monotonic() + 30
            while (late := sent(pod, mesh))[0] != "200" and time.monotonic() < deadline:
                time.sleep(0.2)

            assert [status for status, _ in early] == ["503"] * 3
            assert before["requests"] == 0
            assert late[0] == "200", late
            assert CANARY in late[1]  # opened again
            after = counted(pod)
            assert (after["tokens"], after["canaries"]) == (after["requests"], 0)
            assert after["requests"] > 0
            assert sidecar.poll() is None  # the very same process
            log = (pod.folder / "sidecar.log").read_text()
            assert "store.failed" in log
            assert log.count('"server.started"') == 1
            assert CANARY not in "".join(one.read_text() for one in pod.folder.glob("*.log"))

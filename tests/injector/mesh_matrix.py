"""The matrix of meshes: {mesh} x {order of rules} x {family} x {interception}, with real traffic.

`./dev test-mesh [REQUESTS]` sends so many requests in each cell, 10,000 by default, and prints a
line for each; tests/injector/test_mesh.py sends a few.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from proxy.injector.annotations import Interception
from proxy.injector.pod_reader import Json
from tests.injector.meshes import MESHES, MISSING, Mesh, forget_rules, let_go
from tests.injector.pods import SETTINGS, a_container, a_pod
from tests.injector.running_pod import CANARY, V4, V6, RunningPod, inside_of, run, running

HERE: Final = Path(__file__).parent
PORT: Final = 8080
HBONE: Final = 15008
INTERCEPTIONS: Final[tuple[Interception, ...]] = ("redirect", "mesh", "port-env")
ORDERS: Final = ("before", "after")
"""The mesh's rules are written before or after Sealyard's."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, and what was seen in it.

    `way` is how requests came: `plain`, or by `hbone`, the tunnel of ambient. `meshes` counts the
    answers by the name of the proxy that they passed.
    """

    mesh: Mesh | None
    interception: str
    order: str
    address: str
    way: str
    asked: int
    statuses: dict[str, int]
    meshes: dict[str, int]
    restored: int
    requests: int
    tokens: int
    canaries: int

    @property
    def faults(self) -> tuple[str, ...]:
        """Return the laws that it breaks."""
        every = self.asked
        laws = {
            "the backend got a canary": not self.canaries,
            "not all were answered": self.statuses == {"200": every},
            "not all were restored": self.restored == every,
            "not all came as tokens": (self.requests, self.tokens) == (every, every),
            "the mesh was bypassed": self.bypassed or self.meshes == {self._expected: every},
        }
        return tuple(law for law, held in laws.items() if not held)

    @property
    def bypassed(self) -> bool:
        """Whether the mesh's proxy is passed by: the injector denies such a pod."""
        return self.mesh is not None and self.interception == "redirect"

    @property
    def _expected(self) -> str:
        # Within the tunnel, the proxy changes no message; without it, this way does not exist.
        return self.mesh.name if self.mesh and self.way == "plain" else ""

    @property
    def told(self) -> str:
        """Return a line for people."""
        name = self.mesh.name if self.mesh else "no mesh"
        return (
            f"{name:<10} {self.order:<6} {self.interception:<8}"
            f" {'IPv6' if ':' in self.address else 'IPv4'} {self.way:<5} asked {self.asked}:"
            f" {_counts(self.statuses)}, by {_counts(self.meshes)}, restored {self.restored};"
            f" backend: {self.requests}, tokens {self.tokens}, canaries {self.canaries}:"
            f" {'; '.join(self.faults) or 'ok'}{', and denied' if self.bypassed else ''}"
        )


def _counts(counts: dict[str, int]) -> str:
    return " ".join(f"{name or '-'} x {number}" for name, number in counts.items())


def denied(mesh: Mesh | None, interception: str) -> bool:
    """Return whether the injector gives such a pod another interception, since this would leak."""
    return mesh is not None and mesh.called and interception == "redirect"


def marked(mesh: Mesh | None) -> Json:
    """Return a pod with the marks of a mesh."""
    manifest = a_pod(containers=[a_container(port=PORT)])
    if mesh is not None:
        marks = deepcopy(mesh.pod)
        for kind in ("labels", "annotations"):
            manifest["metadata"].setdefault(kind, {}).update(marks.pop(kind, {}))
        manifest["spec"].update(marks)
    return manifest


@contextmanager
def beside(mesh: Mesh | None, interception: Interception) -> Iterator[RunningPod]:
    """Run a pod with Sealyard, the application and the proxy of the mesh, without any rules yet.

    With `redirect`, the injector does not know of the mesh: it would deny the pod.
    """
    known = None if interception == "redirect" else mesh
    settings = replace(SETTINGS, interception=interception, meshes=known.namespace if known else ())
    with running(marked(known), settings) as pod:
        port = PORT + 10000 if interception == "port-env" else PORT
        socket = str(pod.folder / "app.sock")
        backend = str(HERE / "counting_backend.py")
        pod.start("app", sys.executable, backend, str(port), socket, CANARY)
        pod.start_sidecar()
        if mesh is not None:
            mesh.start(pod)
        yield pod


def write_rules(pod: RunningPod, mesh: Mesh | None, order: str) -> None:
    """Write the rules of both, in this order; with port-env, there are the mesh's alone."""
    forget_rules(pod)
    if mesh is not None and order == "before":
        mesh.install(pod)
    if any(one["name"] == "sealyard-redirect" for one in pod.pod["spec"]["initContainers"]):
        pod.redirect()
    if mesh is not None and order == "after":
        mesh.install(pod)
    let_go(pod)


def counted(pod: RunningPod) -> Json:
    """Return what the application has seen, asked around all rules."""
    socket = str(pod.folder / "app.sock")
    found: Json = json.loads(run("curl", "-sf", "--unix-socket", socket, "http://app/seen"))
    return found


def cells(
    pod: RunningPod, mesh: Mesh | None, interception: str, order: str, requests: int
) -> Iterator[Cell]:
    """Send requests by every way in, and yield what was seen."""
    port = mesh.inbound if mesh is not None and mesh.called else PORT
    ways = [("plain", 0)]
    if mesh is not None and mesh.transparent and interception != "redirect":
        ways.append(("hbone", HBONE))
    for way, tunnel in ways:
        for address in (V4, V6):
            before = counted(pod)
            load = (str(HERE / "mesh_load.py"), address, str(port), str(requests), CANARY)
            told = run(
                *inside_of(f"{pod.name}-client"),
                *(sys.executable, *load, str(tunnel)),
                seconds=120 + requests / 20,
            )
            after = counted(pod)
            numbers = {one: after[one] - before[one] for one in ("requests", "tokens", "canaries")}
            yield Cell(
                mesh, interception, order, address, way, requests, **json.loads(told), **numbers
            )


def main(requests: int) -> int:
    """Run every cell; return 1 if one broke a law."""
    if MISSING:
        _say(f"missing: {', '.join(MISSING)}")
        return 3
    began, faulty, number = time.monotonic(), 0, 0
    for mesh in (None, *MESHES):
        for interception in INTERCEPTIONS:
            if denied(mesh, interception):
                continue
            with beside(mesh, interception) as pod:
                for order in ORDERS:
                    write_rules(pod, mesh, order)
                    for cell in cells(pod, mesh, interception, order, requests):
                        number += 1
                        faulty += bool(cell.faults)
                        _say(cell.told)
    took = round(time.monotonic() - began)
    _say(f"{number} cells of {requests} requests in {took} s: {faulty} faulty")
    return 1 if faulty else 0


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the result of a command


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))

"""What is sealed in a pod, which proxy is first, what is open: from inside, or by a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

from ..process.fitness import INTERCEPTION_VARIABLE, Finding
from ..process.listening import TcpSocket, sockets
from . import mesh, walls
from .annotations import (
    ADDRESSES_VARIABLE,
    CONTAINERS,
    HEALTH_PORTS,
    LABEL,
    PASSED_VARIABLE,
    PORTS_VARIABLE,
    REDIRECT,
    SIDECAR,
    STATUS,
    UPSTREAM_VARIABLE,
)
from .permissions import Policy
from .pod_network import answering_port, loopbacks
from .pod_reader import CannotInject, Json, mapping, named, objects, port, text
from .policy import MESH_USER, TRAFFIC_PORT
from .ports import Sealed, declared

_NOT_HERE: Final = (
    "this is no container of Sealyard in an injected pod; outside of it, run"
    " `kubectl get pod NAME -o yaml | sealyard doctor --pod -`"
)
_MESH_LISTENERS: Final = {15006: "Istio", 4143: "Linkerd"}
_UNDECLARED: Final = "that nobody declares"
_ANY_PORT: Final = 9  # discard: what is called at an address of the pod is sealed, at every port
_SHUT: Final = "no other port is reached from outside without Sealyard"

_SEALED_BY_MESH: Final = (
    "Connections from outside reach {proxy}, then Sealyard, then the application."
)
_UNTIED: Final = (
    f"no container {REDIRECT}: something removed it after the injection, and nothing is redirected."
    " Every port is open. Recreate the pod."
)
_BY_HAND: Final = (
    "the sidecar was not injected: its configuration alone says what it seals, at its ports {ports}"
)
_BYPASSED: Final = (
    "{proxy} is in the pod, and the interception is redirect: connections from outside go past"
    " it, and what it lets in reaches the application in plaintext. Recreate the pod with"
    " interception mesh."
)
_INSIDE: Final = Finding(
    "inside",
    "warning",
    "connections within the pod, and those of kubectl port-forward, are not sealed",
)


def examine_here(environ: Mapping[str, str], user: int) -> Iterator[Finding]:
    """Yield what this process can see in its pod, as `user`, without a capability."""
    interception = environ.get(INTERCEPTION_VARIABLE, "")
    sealed = _numbers(environ.get(PORTS_VARIABLE, ""))
    if not interception:
        yield Finding("pod", "failed", _NOT_HERE)
        return
    found = tuple(sockets())
    listening = {one.port: one for one in found if one.listening}
    proxy = next((name for number, name in _MESH_LISTENERS.items() if number in listening), "")
    yield _first(interception, f"the proxy of {proxy}" if proxy else "", sealed)
    yield Finding("sealed", "ok", f"ports {_listed(sealed) or _UNDECLARED}")
    passed = _numbers(environ.get(PASSED_VARIABLE, ""))
    known = {*sealed, *(mesh.PROXY_PORTS if proxy else ())}
    yield from _open_here(found, known, None if interception == "port-env" else passed)
    if interception == "mesh":
        yield from _redirected(environ, sealed, user)
    elif interception == "redirect":
        yield _INSIDE


def _first(interception: str, proxy: str, sealed: list[int]) -> Finding:
    if proxy and interception == "redirect":
        return Finding("first", "failed", _BYPASSED.format(proxy=proxy))
    told = f"Connections to {_listed(sealed) or 'every port'} reach Sealyard, then the application."
    return Finding("first", "ok", _SEALED_BY_MESH.format(proxy=proxy) if proxy else told)


def _open_here(
    found: tuple[TcpSocket, ...], known: set[int], passed: list[int] | None
) -> Iterator[Finding]:
    """Yield the ports of others that are open: those that pass, or all where None redirects."""
    own = {*known, TRAFFIC_PORT, *HEALTH_PORTS}
    users = {one.port: one.user for one in found if one.listening and not one.local}
    others = sorted(set(users) - own)
    reached = others if passed is None else [one for one in others if one in passed]
    for number in reached:
        said = f"port {number}, of user {users[number]}, is reached from outside without Sealyard"
        yield Finding("open", "warning", said)
    if not reached:
        yield Finding("open", "ok", _SHUT)


def _redirected(environ: Mapping[str, str], sealed: list[int], user: int) -> Iterator[Finding]:
    if user == MESH_USER:
        said = f"tested when the pod started; connections of this user, {user}, are exempt"
        yield Finding("redirect", "ok", said)
        return
    addresses = [one for one in environ.get(ADDRESSES_VARIABLE, "").split(",") if one]
    if not sealed:  # on loopback, nothing is taken
        yield from (_reached(address, _ANY_PORT) for address in addresses)
    for address in dict.fromkeys([*addresses, *loopbacks()]):
        for number in sealed:
            yield _reached(address, number)


def _reached(address: str, number: int) -> Finding:
    place = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    try:
        reached = answering_port(address, number)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no answer"
        return Finding("redirect", "failed", f"{place}: {reason}; it should reach Sealyard")
    if reached == TRAFFIC_PORT:
        return Finding("redirect", "ok", f"{place} reaches Sealyard")
    return Finding("redirect", "failed", f"{place} reaches port {reached}, and not Sealyard")


def examine_manifest(document: object) -> Iterator[Finding]:
    """Yield what the manifest of a pod, or of a list of pods, shows; of others, that it is none."""
    if isinstance(document, dict) and document.get("kind") == "List":
        for one in objects(document, "items"):
            yield from examine_manifest(one)
        return
    if not isinstance(document, dict) or document.get("kind") != "Pod":
        yield Finding("pod", "failed", "this is no manifest of a Pod")
        return
    metadata = mapping(document, "metadata")
    name = text(metadata, "name") or text(metadata, "generateName")
    try:
        findings = list(_examine_pod(document))
    except CannotInject as error:
        findings = [Finding("pod", "failed", error.detail)]
    for found in findings:
        yield Finding(found.check, found.verdict, f"{name}: {found.text}")


def _examine_pod(pod: Json) -> Iterator[Finding]:
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    every = [*named(spec, "initContainers"), *named(spec, "containers")]
    containers = {one["name"]: one for one in every}
    if SIDECAR not in containers:
        label = mapping(metadata, "labels").get(LABEL)
        said = f"no container {SIDECAR}: its label {LABEL} is {label or 'missing'}"
        yield Finding("sidecar", "failed", f"{said}. Every port is open.")
        return
    status = mapping(metadata, "annotations").get(STATUS, "no annotation")
    yield Finding("injected", "ok", f"{STATUS}: {status}")
    yield from _states(mapping(pod, "status"))
    others = [one for one in every if one["name"] not in CONTAINERS]
    yield from _interception(pod, containers[SIDECAR], containers.get(REDIRECT, {}), others)
    yield from _risks(spec, others)


def _interception(
    pod: Json, sidecar: Json, redirect: Json, others: list[Json]
) -> Iterator[Finding]:
    rules = " ".join(map(str, redirect.get("command", ())))
    upstream, sealed = _variable(sidecar, UPSTREAM_VARIABLE), _sealed(sidecar)
    if not rules and not upstream.startswith("http"):
        by_hand = Finding("sealed", "warning", _BY_HAND.format(ports=_listed(sealed)))
        yield Finding("sealed", "failed", _UNTIED) if upstream else by_hand
        return
    interception, mark = _kind(rules), mesh.mark(pod)
    yield _first(interception, f"the proxy of the mesh ({mark})" if mark else "", sealed)
    yield Finding(
        "sealed", "ok", f"ports {_listed(sealed) or _UNDECLARED}, interception {interception}"
    )
    passed = _numbers(_variable(sidecar, PASSED_VARIABLE))
    ports = Sealed(tuple(sealed), 0 if rules else 1, passed=tuple(passed))
    yield from _open_ports(others, upstream, ports, interception)


def _variable(sidecar: Json, name: str) -> str:
    given = {one.get("name"): one.get("value") for one in objects(sidecar, "env")}
    return str(given.get(name) or "")


def _numbers(written: str) -> list[int]:
    return [int(one) for one in written.split(",") if one.isdecimal()]


def _kind(rules: str) -> str:
    if not rules:
        return "port-env"
    return "mesh" if "hook output" in rules else "redirect"


def _sealed(sidecar: Json) -> list[int]:
    found = _numbers(_variable(sidecar, PORTS_VARIABLE))
    if found or _variable(sidecar, INTERCEPTION_VARIABLE):
        return found
    numbers = (port(one.get("containerPort")) for one in objects(sidecar, "ports"))
    return [one for one in numbers if one and one not in HEALTH_PORTS]


def _states(status: Json) -> Iterator[Finding]:
    """Yield the containers of Sealyard that do not run, or did not end well."""
    for one in [*objects(status, "initContainerStatuses"), *objects(status, "containerStatuses")]:
        state = mapping(one, "state")
        waiting, ended = mapping(state, "waiting"), mapping(state, "terminated")
        name = text(one, "name")
        if name not in CONTAINERS or not (waiting or ended.get("exitCode")):
            continue
        reason = text(waiting, "reason") or f"ended with {ended.get('exitCode')}"
        yield Finding("state", "failed", f"container {name}: {reason}; see its log")


def _open_ports(
    others: list[Json], upstream: str, ports: Sealed, interception: str
) -> Iterator[Finding]:
    known = declared(mesh.applications(others))
    seen = [one for one in known if not (one.tcp and ports.takes(one.number))]
    for one in seen:
        said = f"port {one.number} of container {one.container} is reached without Sealyard"
        yield Finding("open", "warning", said)
    if interception == "port-env":
        said = f"port {upstream.rpartition(':')[2]}, where the application listens, is reached"
        said = f"{said} from outside unless it listens on 127.0.0.1 alone or a NetworkPolicy"
        yield Finding("open", "warning", f"{said} closes it")
    elif not seen:
        yield Finding("open", "ok", _SHUT)
    if interception == "redirect":
        yield _INSIDE


def _risks(spec: Json, others: list[Json]) -> Iterator[Finding]:
    """Yield who could get around the sidecar, by what the policy for new pods looks at.

    The containers that write a mesh's rules have ended; debug containers have come later.
    """
    running = [one for one in others if one["name"] not in mesh.INIT_CONTAINERS]
    added = named(spec, "ephemeralContainers")
    for one in walls.of_containers(spec, [*running, *added], Policy()):
        yield Finding("risk", "warning", one.sentence)
    for name in ("hostPID", "shareProcessNamespace"):
        if spec.get(name):
            said = f"{name}: other processes can read the memory of the sidecar"
            yield Finding("risk", "warning", said)


def _listed(ports: list[int]) -> str:
    return ", ".join(map(str, ports))

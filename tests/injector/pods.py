"""Pods of tests, in hand-made and in drawn form, and a second opinion on JSON Patch."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from proxy.injector.admission_review import Patch, patch
from proxy.injector.annotations import InjectorSettings
from proxy.injector.inject import inject
from proxy.injector.permissions import PERMISSIONS, Policy
from proxy.injector.pod_reader import Json

STRICT = InjectorSettings(image="registry.example/sealyard:1.0")
SETTINGS = replace(STRICT, policy=Policy(allowed=frozenset(("*", one) for one in PERMISSIONS)))
"""Settings of an operator who allows everything that can be allowed."""


def a_pod(annotations: dict[str, str] | None = None, **spec: object) -> Json:
    """Return the pod of a Deployment that nobody prepared for Sealyard."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "web-7d9c-",
            "labels": {"app": "web", "sealyard.io/inject": "enabled"},
            **({"annotations": annotations} if annotations is not None else {}),
        },
        "spec": {"containers": [a_container()], **spec},
    }


def a_container(name: str = "web", port: int = 8080, **more: object) -> Json:
    """Return a container that declares one port, called `http`."""
    return {
        "name": name,
        "image": "registry.example/web:3",
        "ports": [{"name": "http", "containerPort": port}],
        **more,
    }


def injected(pod: Json, settings: InjectorSettings = SETTINGS) -> Json:
    """Return the pod after its patch, as the API server would apply it."""
    return applied(pod, patch(pod, inject(pod, settings)))


def container(pod: Json, name: str) -> Json:
    """Return one container of a pod, wherever it stands."""
    spec = pod["spec"]
    found = [*spec.get("initContainers", []), *spec["containers"]]
    return next(one for one in found if one["name"] == name)


def variables(one: Json) -> dict[str, str]:
    """Return the environment of a container."""
    return {each["name"]: each["value"] for each in one.get("env", [])}


def applied(document: Json, operations: Patch) -> Json:
    """Return the document after a JSON Patch; strict, as RFC 6902 has it."""
    document = deepcopy(document)
    for operation in operations:
        *way, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]
        ]
        parent: Any = document
        for part in way:
            parent = parent[int(part)] if isinstance(parent, list) else parent[part]
        key: Any = int(last) if isinstance(parent, list) else last
        value = deepcopy(operation.get("value"))
        if operation["op"] == "add" and isinstance(parent, list):
            assert 0 <= key <= len(parent)
            parent.insert(key, value)
        elif operation["op"] == "add":
            parent[key] = value
        elif operation["op"] == "replace":
            assert parent[key] is not Ellipsis  # it must be there
            parent[key] = value
        else:
            del parent[key]
    return document


# --- drawn pods ---------------------------------------------------------------------------------

_PORTS = st.integers(1024, 14000).filter(lambda port: port != 8443)  # that is HTTPS
_NAMES = st.sampled_from(["web", "worker", "logs", "metrics", "sealyard", "sealyard-redirect"])


@st.composite
def probes(draw: st.DrawFn, ports: list[Json]) -> Json:
    """Draw what a kubelet asks, at a declared port, by number or name, or elsewhere."""
    known = [one["containerPort"] for one in ports] + [
        one["name"] for one in ports if "name" in one
    ]
    at = draw(st.sampled_from([*known, 9999]))
    handler = draw(
        st.sampled_from(
            [
                {"httpGet": {"path": "/up", "port": at}},
                {"httpGet": {"path": "/up", "port": at, "host": "10.1.2.3"}},
                {"tcpSocket": {"port": at}},
                {"exec": {"command": ["true"]}},
            ]
        )
    )
    return {**handler, "timeoutSeconds": draw(st.integers(1, 9))}


@st.composite
def containers(draw: st.DrawFn, name: str, numbers: list[int]) -> Json:
    """Draw a container with the given ports."""
    ports: list[Json] = [
        {"containerPort": number, **draw(st.sampled_from([{}, {"name": f"p{number}"}]))}
        for number in numbers
    ]
    made: Json = {"name": name, "image": f"registry.example/{name}:1"}
    if ports:
        made["ports"] = ports
        kinds = st.sampled_from(["startupProbe", "readinessProbe", "livenessProbe"])
        for kind in draw(st.lists(kinds, unique=True)):
            made[kind] = draw(probes(ports))
        if draw(st.booleans()):
            made["lifecycle"] = {"preStop": {"httpGet": {"path": "/bye", "port": numbers[0]}}}
    if draw(st.booleans()):
        made["env"] = [{"name": "COLOUR", "value": "blue"}]
    if draw(st.booleans()):
        made["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return made


@st.composite
def pods(draw: st.DrawFn) -> Json:
    """Draw a pod that can be sealed, perhaps with what only looks like Sealyard's own."""
    numbers = draw(st.lists(_PORTS, min_size=1, max_size=5, unique=True))
    others = draw(st.lists(_NAMES, unique=True, max_size=4))
    apps = [draw(containers("app", numbers[:2]))]
    inits = []
    for index, name in enumerate(others):
        one = draw(containers(name, numbers[2 + index : 3 + index]))
        if name.startswith("sealyard") or draw(st.booleans()):
            inits.append({**one, **draw(st.sampled_from([{}, {"restartPolicy": "Always"}]))})
        else:
            apps.append(one)
    annotations = draw(
        st.sampled_from(
            [
                None,
                {},
                {"team": "blue", "sealyard.io/status": "injected by 9.9, 000000000000"},
                {"sealyard.io/interception": "redirect"},
                {"linkerd.io/inject": "enabled"},
                {"sealyard.io/interception": "port-env", "sealyard.io/ports": str(numbers[0])},
                {"sealyard.io/cpu-limit": "1", "sealyard.io/memory-request": "128Mi"},
            ]
        )
    )
    spec: Json = {"containers": apps}
    if draw(st.booleans()) or inits:
        spec["initContainers"] = inits
    if draw(st.booleans()):
        spec["volumes"] = [
            {"name": "data", "emptyDir": {}},
            {"name": "sealyard-keys", "emptyDir": {}},
        ]
    else:
        spec["volumes"] = [{"name": "data", "emptyDir": {}}]
    return {**a_pod(annotations), "spec": spec}

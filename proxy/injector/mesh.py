"""Service meshes: how a pod shows that it is in one, and what that changes for its sidecar.

A mesh's proxy takes what arrives at the pod and calls the application from inside it. A redirect of
what arrives does not meet that call, so such a pod gets interception `mesh`
(docs/adr/0071-beside-a-mesh.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from .annotations import CONTAINERS as OWN_CONTAINERS
from .annotations import PREFIX, MeshKind, PodOptions
from .pod_reader import CannotInject, Json, mapping, named, objects, port
from .policy import MESH_USER
from .ports import TUNNEL_PORT

PROXIES: Final = frozenset(
    {"consul-dataplane", "daprd", "envoy", "istio-proxy", "kuma-sidecar", "linkerd-proxy"}
)
"""Names of the containers that are a mesh's proxy."""

PROXY_PORTS: Final = frozenset(
    {
        *(15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090),  # Istio, and App Mesh
        *(4140, 4143, 4190, 4191),  # Linkerd
        *(3500, 50001, 50002),  # Dapr
        *(9901, 20000, 20100, 20200),  # Envoy's own, and Consul
    }
)
"""Ports of these proxies, which are not the application's. From outside, they are taken too."""

INIT_CONTAINERS: Final = frozenset(
    {"consul-connect-inject-init", "istio-init", "kuma-init", "linkerd-init", "proxyinit"}
)
"""Names of the containers that prepare a mesh, where no CNI plugin does."""

CONTAINERS: Final = (
    PROXIES | INIT_CONTAINERS | {"istio-validation", "kuma-validation", "linkerd-network-validator"}
)
"""Names of all containers of meshes. They deny and tell; nothing is admitted for one of them."""

_AMBIENT: Final = "istio.io/dataplane-mode"
_INJECT: Final = "sidecar.istio.io/inject"
_OPT_OUTS: Final[dict[MeshKind, tuple[tuple[str, str, str], ...]]] = {
    "sidecar": (("labels", _INJECT, "false"), ("annotations", _INJECT, "false")),
    "ambient": (("labels", _AMBIENT, "none"),),
}
"""How a pod leaves the mesh of its namespace. That of the one kind means nothing to the other."""

_MARKS: Final[dict[str, dict[str, str | None]]] = {
    "labels": {
        _INJECT: "true",
        "istio.io/rev": None,
        _AMBIENT: "ambient",
        "linkerd.io/control-plane-ns": None,
    },
    "annotations": {
        _INJECT: "true",
        "sidecar.istio.io/status": None,
        "istio.io/rev": None,
        "ambient.istio.io/redirection": "enabled",
        "linkerd.io/inject": "enabled",
        "linkerd.io/proxy-version": None,
    },
}
"""What marks a pod; None is any value. `linkerd.io/inject: ingress` is in `mark`."""

_PREFIXES: Final = ("appmesh.k8s.aws/", "consul.hashicorp.com/", "dapr.io/", "kuma.io/")
"""A label or an annotation of these meshes; what it says does not matter."""

_CALLING: Final = PROXIES - {"istio-proxy", "linkerd-proxy"}
"""The proxies that call the application on loopback, or may; those of Istio and Linkerd do not."""

_CALLED: Final = ("consul.hashicorp.com/connect-service-port", "dapr.io/app-port")
"""Annotations with the ports that a proxy calls on loopback, whether or not they are declared."""

_OF_SIDECAR: Final = "has the user {user}, which is the sidecar's with interception mesh"
_INGRESS: Final = ("linkerd.io/inject", "ingress")
_MODE: Final = "sidecar.istio.io/interceptionMode"
_UNCAPTURED: Final = "traffic.sidecar.istio.io/excludeInboundPorts"


def with_mesh(options: PodOptions, pod: Json, namespace: Iterable[MeshKind]) -> PodOptions:
    """Return the options of a pod that may be in a mesh; `namespace` are those of its namespace.

    Raises CannotInject for an interception that the mesh would get around.
    """
    shown = mark(pod)
    metadata = mapping(pod, "metadata")
    if not shown and not all(_opted_out(metadata, kind) for kind in namespace):
        shown = "its namespace"
    if shown:
        options = _in_mesh(options, pod, shown)
    if options.interception == "mesh":
        _require_other_users(pod, options.user)
    return replace(
        options,
        called=_called(mapping(metadata, "annotations")),
        called_on_loopback=_called_on_loopback(pod),
        tunnelled=_tunnelled(options, metadata, namespace),
    )


def _called_on_loopback(pod: Json) -> bool:
    """Return whether a mesh's proxy may call 127.0.0.1, where only known ports are taken."""
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    running = [*named(spec, "initContainers"), *named(spec, "containers")]
    written = [*mapping(metadata, "labels"), *mapping(metadata, "annotations")]
    return any(one["name"] in _CALLING for one in running) or any(
        one.startswith(_PREFIXES) for one in written
    )


def _called(annotations: Json) -> tuple[int, ...]:
    written = (str(annotations.get(name, "")).split(",") for name in _CALLED)
    numbers = {one.strip() for some in written for one in some if one.strip().isdecimal()}
    return tuple(sorted(int(one) for one in numbers if port(int(one))))


def _tunnelled(options: PodOptions, metadata: Json, namespace: Iterable[MeshKind]) -> bool:
    """Return whether the port of ambient's tunnel is that of the node's proxy.

    Only the label of the namespace says so: a pod without ambient could serve that port itself.
    """
    if "ambient" in namespace:
        return not _opted_out(metadata, "ambient")
    alone = mapping(metadata, "labels").get(_AMBIENT) == "ambient"
    if alone and str(TUNNEL_PORT) not in options.passed and options.interception != "port-env":
        raise CannotInject(
            f"label {_AMBIENT}: ambient stands on the pod alone, and its tunnel would be sealed;"
            f' label the namespace instead, or write {PREFIX}pass-ports: "{TUNNEL_PORT}"'
        )
    return False


def _in_mesh(options: PodOptions, pod: Json, shown: str) -> PodOptions:
    annotations = mapping(mapping(pod, "metadata"), "annotations")
    if options.interception == "redirect":
        if f"{PREFIX}interception" in annotations:
            raise CannotInject(
                f"interception redirect: the pod is in a mesh ({shown}), whose proxy would call the"
                " application in plaintext or be passed by; remove the annotation, or write mesh"
            )
        options = replace(options, interception="mesh")
    if annotations.get(_MODE) == "TPROXY":
        raise CannotInject(f"annotation {_MODE}: Sealyard works with REDIRECT only")
    return replace(options, in_mesh=True)


def mark(pod: Json) -> str:
    """Return what shows that the pod is in a mesh, empty where nothing does."""
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    for one in [*named(spec, "initContainers"), *named(spec, "containers")]:
        if one["name"] in CONTAINERS:
            return f"container {one['name']}"
    for kind, marks in _MARKS.items():
        written = mapping(metadata, kind)
        for name, value in marks.items():
            if name in written and value in {None, written[name]}:
                return f"{kind.removesuffix('s')} {name}"
        for name in written:
            if name.startswith(_PREFIXES):
                return f"{kind.removesuffix('s')} {name}"
    if mapping(metadata, "annotations").get(_INGRESS[0]) == _INGRESS[1]:
        return f"annotation {_INGRESS[0]}"
    return ""


def _opted_out(metadata: Json, kind: MeshKind) -> bool:
    return any(
        mapping(metadata, place).get(name) == value for place, name, value in _OPT_OUTS[kind]
    )


def _require_other_users(pod: Json, user: int) -> None:
    """Refuse containers with the user of the sidecar: the redirect exempts their connections."""
    spec = mapping(pod, "spec")
    holders = {"the pod": spec} | {
        f"container {one['name']}": one
        for one in [*named(spec, "initContainers"), *named(spec, "containers")]
        if one["name"] not in OWN_CONTAINERS
    }
    for name, holder in holders.items():
        if _user(holder) == user:
            raise CannotInject(f"{name} {_OF_SIDECAR.format(user=user)}")


def debugging(sidecar: Json, container: Json) -> list[str]:
    """Return how an ephemeral container gets around the redirect of a pod with interception mesh.

    A pod whose own user is the sidecar's was denied, so the container must name that user itself.
    """
    if _user(sidecar) == MESH_USER == _user(container):
        return [f"ephemeral container {container['name']} {_OF_SIDECAR.format(user=MESH_USER)}"]
    return []


def _user(holder: Json) -> object:
    return mapping(holder, "securityContext").get("runAsUser")


def applications(containers: Sequence[Json]) -> list[Json]:
    """Return the containers whose ports may be sealed; those of a mesh's proxy come last.

    Its own ports are left out. Others of a container with its name are not: a name proves nothing.
    """
    proxies = [
        {**one, "ports": [each for each in objects(one, "ports") if not _of_proxy(each)]}
        for one in containers
        if one["name"] in PROXIES
    ]
    return [*(one for one in containers if one["name"] not in PROXIES), *proxies]


def _of_proxy(declared: Json) -> bool:
    return port(declared.get("containerPort")) in PROXY_PORTS


def uncaptured(options: PodOptions, annotations: Json) -> Json:
    """Return the annotations that let the kubelet's probes reach the sidecar past a mesh.

    Without nft, the health port must be excluded by Istio itself: with mutual TLS, its proxy
    refuses the kubelet. Its CNI plugin reads the annotation when the pod starts.
    """
    if options.interception != "port-env" or not options.in_mesh:
        return {}
    ports = [one for one in str(annotations.get(_UNCAPTURED, "")).split(",") if one]
    own = str(options.health_port)
    return {} if own in ports else {_UNCAPTURED: ",".join([*ports, own])}

"""What lets a container around the sidecar or at its keys, by kind: what is not known is denied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .annotations import VOLUMES
from .permissions import Policy, Violation, altered
from .pod_reader import Json, mapping, objects, text

_HARMLESS: Final = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
        *("IPC_LOCK", "SYS_NICE"),
    }
)
"""What runtimes give by default, NET_RAW aside, and what concerns only a process itself."""

_RAW: Final = "NET_RAW"
_PTRACE: Final = "SYS_PTRACE"
_OF_A_MESH: Final = frozenset({"NET_ADMIN", _RAW})
"""What the init container of a mesh needs to write its rules."""

_PREVENTED: Final = {
    "NET_ADMIN": "could undo the redirect",
    _RAW: "could read the plaintext between the sidecar and the application",
    _PTRACE: "could read the memory of the sidecar",
}
_TRUSTING: Final = "where a mesh needs it, the operator names the image in policy.trustedImages"
_ELSE: Final = "could leave its container, and so reach the keys"

_VOLUMES: Final = frozenset(
    {
        *("configMap", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    }
)
"""Kinds of volumes that hold what they say themselves, or what an operator made."""

_SOURCES: Final = frozenset(
    {
        *("clusterTrustBundle", "configMap", "downwardAPI", "podCertificate"),
        *("secret", "serviceAccountToken"),
    }
)
"""What a projected volume is made of; keys.py and roots.py say which is the sidecar's alone."""

_OF_THE_CLUSTER: Final = frozenset({"", "ClusterFirst", "ClusterFirstWithHostNet"})
_WAYS_TO_ASK: Final = frozenset(
    {
        *("attempts", "edns0", "inet6", "no-aaaa", "no-reload", "no-tld-query", "rotate"),
        *("single-request", "single-request-reopen", "timeout", "trust-ad", "use-vc"),
    }
)
"""Options of a resolver that change how it asks, not for what."""


def of_containers(spec: Json, containers: Sequence[Json], policy: Policy) -> Iterator[Violation]:
    """Yield the rights by which a container gets around the sidecar.

    An init container whose image the operator trusts may write the rules of a mesh, if it ends
    before the application starts: who may exec in the pod has the rights of what still runs.
    """
    visible = bool(spec.get("hostPID") or spec.get("shareProcessNamespace"))
    inits = [id(one) for one in objects(spec, "initContainers")]
    for one in containers:
        allowed = _HARMLESS if visible else _HARMLESS | {_PTRACE}
        prepares = id(one) in inits and one.get("restartPolicy") != "Always"
        if prepares and policy.trusts(one):
            allowed |= _OF_A_MESH
        security = mapping(one, "securityContext")
        for name in sorted(_added(security) - allowed):
            told = _PREVENTED.get(name, _ELSE)
            if prepares and name in _OF_A_MESH:
                why = (
                    f"its image is trusted, but {altered(one)}" if policy.names(one) else _TRUSTING
                )
                told = f"{told}: {why}"
            yield Violation(f"container {one['name']} adds {name}, and {told}", "capabilities")
        if security.get("privileged"):
            yield Violation(
                f"container {one['name']} is privileged, and could undo the redirect and reach the"
                " keys",
                "privileged",
            )
        if text(security, "procMount") not in {"", "Default"}:
            yield Violation(
                f"container {one['name']} has all of /proc, and could change the network of the"
                " pod",
                "privileged",
            )


def of_volumes(volumes: Sequence[Json]) -> Iterator[Violation]:
    """Yield the volumes by which the pod's author chooses what of a node, or by which driver.

    A host path may be that of the keys, and a driver may be told to fetch their Secret.
    """
    for one in volumes:
        if one["name"] in VOLUMES:
            continue
        parts = objects(mapping(one, "projected"), "sources")
        unknown = {kind for each in parts for kind in each} - _SOURCES
        for kind in sorted((set(one) - _VOLUMES - {"name"}) | unknown):
            if kind == "hostPath":
                told = (
                    f"volume {one['name']} is a host path, by which nodes show keys of their pods"
                )
                path = text(mapping(one, kind), "path")
                yield Violation(told, "host-path", path)
            else:
                told = f"volume {one['name']} ({kind}) names a driver, which could fetch the keys"
                yield Violation(told, "volume-driver")


def of_names(pod: Json) -> Iterator[Violation]:
    """Yield what of the pod decides which machine a name is, for the sidecar too.

    A hostname is in the hosts file of the pod, with and without `subdomain`. StatefulSets give the
    pod's own name, indexed Jobs what it begins with. `ndots` and `dnsPolicy` decide whether the
    cluster's search domains are asked before the world: `cache.shop` is a name there, too.
    """
    spec, metadata = mapping(pod, "spec"), mapping(pod, "metadata")
    own = (text(metadata, "name"), text(metadata, "generateName").removesuffix("-"))
    config, policy = mapping(spec, "dnsConfig"), text(spec, "dnsPolicy")
    options = {text(one, "name") for one in objects(config, "options")}
    found = {
        "hostAliases": spec.get("hostAliases"),
        "hostname": text(spec, "hostname") not in {"", *own},
        "hostnameOverride": spec.get("hostnameOverride"),
        f"dnsPolicy {policy}": policy not in _OF_THE_CLUSTER,
        "dnsConfig.nameservers": config.get("nameservers"),
        "dnsConfig.searches": config.get("searches"),
        **{f"dnsConfig.options {name}": True for name in sorted(options - _WAYS_TO_ASK)},
    }
    for place, given in found.items():
        if given:
            told = f"{place}: the pod would choose where the sidecar finds its store and its root"
            yield Violation(told, "names")


def drop_raw(container: Json) -> bool:
    """Take NET_RAW, which runtimes give by default; return whether the container had it.

    What it adds itself was permitted, and so was `privileged`, which ignores what is dropped. What
    counts as dropped is only what every runtime understands: containerd knows no `CAP_NET_RAW`.
    """
    security = mapping(container, "securityContext")
    capabilities = mapping(security, "capabilities")
    given = capabilities.get("drop") or ()
    if security.get("privileged") or _added(security) & {"ALL", _RAW}:
        return False
    if "ALL" in given or _RAW in given:
        return False
    dropped = [*given, _RAW]
    container["securityContext"] = {**security, "capabilities": {**capabilities, "drop": dropped}}
    return True


def _added(security: Json) -> set[str]:
    listed = mapping(security, "capabilities").get("add")
    names = listed if isinstance(listed, list) else ()
    return {str(name).upper().removeprefix("CAP_") for name in names}

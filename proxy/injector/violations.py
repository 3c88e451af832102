"""What a pod has that weakens its protection, or that cannot be sealed: see permissions.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from . import keys, roots, walls
from .annotations import (
    DISABLED,
    INTERCEPTIONS,
    LABEL,
    PREFIX,
    VOLUMES,
    InjectorSettings,
    Interception,
    PodOptions,
)
from .permissions import Violation
from .pod_reader import Json, claims, mapping, named, text
from .ports import Declared, Sealed, declared, resolve
from .probes import PASSING, PROBE_KINDS

OPTED_OUT: Final = Violation(
    f"label {LABEL}: {DISABLED} leaves a pod unsealed in a namespace that is sealed", "disabled"
)
"""A pod that says so is reviewed only if the label of its namespace says otherwise."""

_WEAKER: Final[dict[Interception, str]] = {
    "redirect": "with redirect, calls from inside the pod, as of a mesh's proxy, are not sealed",
    "port-env": "with port-env, the application's own port stays open beside the sidecar's",
}

_GRPC: Final = "gRPC"
_TLS: Final = "HTTPS"
_HTTP2: Final = "HTTP/2"
_STREAM: Final = "no HTTP"
_PROTOCOLS: Final = {
    "grpc": _GRPC,
    "grpcs": _GRPC,
    "h2": _HTTP2,
    "h2c": _HTTP2,
    "http2": _HTTP2,
    "https": _TLS,
    "mongo": _STREAM,
    "mysql": _STREAM,
    "redis": _STREAM,
    "tcp": _STREAM,
    "ssl": _TLS,
    "tls": _TLS,
    "wss": _TLS,
}
"""Names of ports, of which `PROTOCOL-more` is a convention, and what they are served with.

A name that is not here may be HTTP. Where it is not, the sidecar refuses the connections.
"""

_HTTP1_NAMES: Final = ("grpc-web",)
_TLS_PORTS: Final = frozenset({443, 8443})


def of_pod(
    pod: Json, containers: Sequence[Json], options: PodOptions, settings: InjectorSettings
) -> Iterator[Violation]:
    """Yield what stands in the pod; `containers` are all of it without Sealyard's own."""
    spec = mapping(pod, "spec")
    sources = (settings.keys_secret, options.keys_secret)
    yield from keys.exposures(named(spec, "volumes"), containers, sources)
    yield from roots.exposures(named(spec, "volumes"), settings.root)
    yield from _of_audit_log(named(spec, "volumes"), {settings.audit_volume, options.audit_volume})
    yield from walls.of_containers(spec, containers, settings.policy)
    yield from walls.of_volumes(named(spec, "volumes"))
    yield from walls.of_names(pod)
    if spec.get("hostPID"):
        yield Violation("hostPID: containers could read the memory of the sidecar", "host")


def _of_audit_log(volumes: Sequence[Json], logs: set[str]) -> Iterator[Violation]:
    """Yield the pod's own volumes that are a claim for audit logs, with those of all its pods."""
    for one in volumes:
        if one["name"] in VOLUMES:
            continue
        for name in sorted(claims(one) & logs):
            yield Violation(
                f"volume {one['name']} holds the audit log (PersistentVolumeClaim {name})"
            )


def of_annotations(options: PodOptions, settings: InjectorSettings) -> Iterator[Violation]:
    """Yield the annotations that replace what the operator chose."""
    chosen = options.interception
    if INTERCEPTIONS.index(chosen) > INTERCEPTIONS.index(settings.interception):
        yield Violation(f"annotation {PREFIX}interception: {_WEAKER[chosen]}", chosen)
    if options.config != settings.config:
        yield Violation(f"annotation {PREFIX}config: rules other than the operator's", "config")
    if keys.key_source(options.keys_secret) != keys.key_source(settings.keys_secret):
        yield Violation(f"annotation {PREFIX}keys-secret: keys other than the operator's", "keys")
    if settings.audit_volume not in {"", options.audit_volume}:
        yield Violation(
            f"annotation {PREFIX}audit-volume: an audit log elsewhere than the operator's", "audit"
        )


def of_ports(running: Sequence[Json], sealed: Sealed) -> Iterator[Violation]:
    """Yield the declared ports that stay open, and those that are not HTTP/1.1 in the clear.

    `running` are the containers that run beside the sidecar.
    """
    known = declared(running)
    asked = _asked(known, running)
    for number in sealed.passed:
        yield Violation(f"port {number} passes unsealed (pass-ports)", "ports")
    for one in known:
        told = f"port {one.number} of container {one.container}"
        write = f'write {PREFIX}pass-ports: "{one.number}"'
        if one.number in sealed.left:
            continue
        if not one.tcp:
            yield Violation(f"{told} is not TCP and cannot be sealed: {write}", "ports")
        elif not sealed.takes(one.number):
            yield Violation(f"{told} is not sealed", "ports")
        elif protocol := _protocol(one, asked):
            yield Violation(f"{told} is {protocol}, which cannot be sealed: {write}, {PASSING}")


def _protocol(one: Declared, asked: Mapping[int, str]) -> str:
    """Return what a port is served with where that is not HTTP/1.1 in the clear, else nothing."""
    if one.name in _HTTP1_NAMES:
        return ""
    first, *_ = one.name.split("-")
    if first in _PROTOCOLS:
        return _PROTOCOLS[first]
    return asked.get(one.number, _TLS if not one.name and one.number in _TLS_PORTS else "")


def _asked(known: Sequence[Declared], running: Sequence[Json]) -> dict[int, str]:
    """Return by port what probes speak that are not HTTP/1.1 in the clear."""
    found: dict[int, str] = {}
    for container in running:
        for kind in PROBE_KINDS:
            probe = mapping(container, kind)
            for handler, protocol in (("grpc", _GRPC), ("httpGet", _TLS)):
                target = mapping(probe, handler)
                number = resolve(target.get("port"), container["name"], known)
                secure = handler == "grpc" or text(target, "scheme") == "HTTPS"
                if number and secure and not target.get("host"):
                    found.setdefault(number, protocol)
    return found

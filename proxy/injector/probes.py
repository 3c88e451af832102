"""Probes and lifecycle hooks of sealed ports: they ask the sidecar, which asks the application."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .annotations import HEALTH_PORTS, PREFIX, PROBE_PATH, PROBES_VARIABLE, SIDECAR
from .pod_reader import CannotInject, Json, mapping, objects, text
from .policy import HOOK_SECONDS, UNSAID_PROBE_SECONDS
from .ports import Declared, Sealed, resolve

PROBE_KINDS: Final = ("startupProbe", "readinessProbe", "livenessProbe")
HOOK_KINDS: Final = ("postStart", "preStop")
PASSING: Final = "which takes the operator's permission `ports`"
"""What is told with the annotation for a port that cannot be sealed."""

_HANDLERS: Final = ("httpGet", "tcpSocket", "grpc")


@dataclass(frozen=True, slots=True)
class _Spot:
    """A probe or lifecycle hook of a container, and its timeout in seconds."""

    key: str
    holder: Json
    timeout: int


def known_originals(containers: Sequence[Json]) -> dict[str, Json]:
    """Return the original handlers of rewritten probes, as an earlier injection kept them."""
    for container in containers:
        if container.get("name") != SIDECAR:
            continue
        for variable in objects(container, "env"):
            if variable.get("name") == PROBES_VARIABLE:
                return _read(text(variable, "value"))
    return {}


def starting_ports(containers: Sequence[Json], known: Sequence[Declared]) -> frozenset[int]:
    """Return the ports where these containers must answer before the next one starts.

    What else the kubelet asks, a later container could answer in their place, and with a host,
    another machine.
    """
    targets = (
        (container["name"], mapping(mapping(container, "startupProbe"), handler))
        for container in containers
        for handler in _HANDLERS
    )
    found = (
        resolve(target.get("port"), name, known)
        for name, target in targets
        if not target.get("host")
    )
    return frozenset(one for one in found if one)


def restore(containers: Sequence[Json], originals: dict[str, Json]) -> None:
    """Restore, in these containers, every handler that points to the sidecar.

    Raises CannotInject where the original is unknown.
    """
    for container in containers:
        for spot in _spots(container):
            get = mapping(spot.holder, "httpGet")
            if get.get("port") not in HEALTH_PORTS or get.get("path") != f"{PROBE_PATH}/{spot.key}":
                continue
            original = originals.get(spot.key)
            if original is None:
                raise CannotInject(
                    f"{spot.key} points to Sealyard, and the original probe is unknown"
                )
            del spot.holder["httpGet"]
            spot.holder.update(original)


def rewrite(
    containers: Sequence[Json], sealed: Sealed, known: Sequence[Declared], health_port: int
) -> Json:
    """Point handlers of sealed ports to the sidecar; return the ones that it forwards.

    Raises CannotInject for gRPC, which the sidecar does not speak.
    """
    forwarded: Json = {}
    for container in containers:
        for spot in _spots(container):
            handler = next((one for one in _HANDLERS if one in spot.holder), None)
            if handler is None:
                continue
            target = mapping(spot.holder, handler)
            number = resolve(target.get("port"), container["name"], known)
            # With a host, it is a port of another machine.
            if number is None or not sealed.takes(number) or target.get("host"):
                continue
            if handler == "grpc":
                raise CannotInject(
                    f"{spot.key}: a gRPC probe cannot use port {number}, which is sealed:"
                    f' write {PREFIX}pass-ports: "{number}", {PASSING}'
                )
            forwarded[spot.key] = {
                "handler": {handler: target},
                "port": sealed.behind(number),
                "timeout": spot.timeout,
            }
            del spot.holder[handler]
            spot.holder["httpGet"] = {
                "path": f"{PROBE_PATH}/{spot.key}",
                "port": health_port,
                "scheme": "HTTP",
            }
    return forwarded


def _spots(container: Json) -> Iterator[_Spot]:
    name = container["name"]
    for kind in PROBE_KINDS:
        probe = mapping(container, kind)
        timeout = probe.get("timeoutSeconds")
        seconds = timeout if isinstance(timeout, int) and timeout > 0 else UNSAID_PROBE_SECONDS
        yield _Spot(f"{name}/{kind}", probe, seconds)
    lifecycle = mapping(container, "lifecycle")
    for kind in HOOK_KINDS:
        yield _Spot(f"{name}/{kind}", mapping(lifecycle, kind), HOOK_SECONDS)


def _read(noted: str) -> dict[str, Json]:
    try:
        probes = json.loads(noted)
        originals = {str(key): dict(one["handler"]) for key, one in probes.items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        originals = None
    known = ({"httpGet"}, {"tcpSocket"})
    if originals is None or not all(set(one) in known for one in originals.values()):
        raise CannotInject(f"{PROBES_VARIABLE} of container {SIDECAR} is malformed")
    return originals

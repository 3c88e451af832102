"""Probes of an application whose port is sealed: asked by the sidecar, in the kubelet's place.

A kubelet's probe comes over the network like everybody's message: behind a redirect it would reach
the sidecar, which takes connections also when the application is dead, and needs a rule of its own
to pass it. So such a probe is pointed at the sidecar's health port, and the sidecar is told what to
ask. What stood there before is kept in the sidecar's environment, from where it is put back before
a pod is injected again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .names import HEALTH_PORT, PROBE_PATH, PROBES_VARIABLE, SIDECAR
from .ports import Declared, Sealed, resolve
from .refusal import CannotInject
from .shapes import Json, mapping, objects, text

PROBE_KINDS: Final = ("startupProbe", "readinessProbe", "livenessProbe")
HOOK_KINDS: Final = ("postStart", "preStop")
_HANDLERS: Final = ("httpGet", "tcpSocket", "grpc")
_DEFAULT_TIMEOUT: Final = 1
_HOOK_TIMEOUT: Final = 30


@dataclass(frozen=True, slots=True)
class _Spot:
    """One place in a container where a handler stands."""

    key: str
    holder: Json
    timeout: int


def known_originals(containers: Sequence[Json]) -> dict[str, Json]:
    """Return what stood in place of rewritten probes, as an earlier injection noted it down."""
    for container in containers:
        if container.get("name") != SIDECAR:
            continue
        for variable in objects(container, "env"):
            if variable.get("name") == PROBES_VARIABLE:
                return _read(text(variable, "value"))
    return {}


def restore(containers: Sequence[Json], originals: dict[str, Json]) -> None:
    """Put back, in these containers, every handler that points at the sidecar.

    Raises CannotInject for one of which nobody knows what it was.
    """
    for container in containers:
        for spot in _spots(container):
            get = mapping(spot.holder, "httpGet")
            if get.get("port") != HEALTH_PORT or get.get("path") != f"{PROBE_PATH}/{spot.key}":
                continue
            original = originals.get(spot.key)
            if original is None:
                raise CannotInject(f"{spot.key} points at Sealyard, and what it was is not known")
            del spot.holder["httpGet"]
            spot.holder.update(original)


def rewrite(containers: Sequence[Json], sealed: Sealed, known: Sequence[Declared]) -> Json:
    """Point at the sidecar what would reach a sealed port; return what the sidecar shall ask.

    Raises CannotInject for gRPC, which the sidecar does not speak.
    """
    told: Json = {}
    for container in containers:
        for spot in _spots(container):
            handler = next((one for one in _HANDLERS if one in spot.holder), None)
            if handler is None:
                continue
            asked = mapping(spot.holder, handler)
            number = resolve(asked.get("port"), container["name"], known)
            # With a host, it is another machine's port.
            if number not in sealed.numbers or asked.get("host"):
                continue
            if handler == "grpc":
                raise CannotInject(
                    f"{spot.key}: a gRPC probe cannot ask at port {number}, which is sealed"
                )
            told[spot.key] = {
                "handler": {handler: asked},
                "port": sealed.behind(number),
                "timeout": spot.timeout,
            }
            del spot.holder[handler]
            spot.holder["httpGet"] = {
                "path": f"{PROBE_PATH}/{spot.key}",
                "port": HEALTH_PORT,
                "scheme": "HTTP",
            }
    return told


def _spots(container: Json) -> Iterator[_Spot]:
    name = container["name"]
    for kind in PROBE_KINDS:
        probe = mapping(container, kind)
        timeout = probe.get("timeoutSeconds")
        seconds = timeout if isinstance(timeout, int) and timeout > 0 else _DEFAULT_TIMEOUT
        yield _Spot(f"{name}/{kind}", probe, seconds)
    lifecycle = mapping(container, "lifecycle")
    for kind in HOOK_KINDS:
        yield _Spot(f"{name}/{kind}", mapping(lifecycle, kind), _HOOK_TIMEOUT)


def _read(noted: str) -> dict[str, Json]:
    try:
        told = json.loads(noted)
        originals = {str(key): dict(one["handler"]) for key, one in told.items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise CannotInject(f"{PROBES_VARIABLE} of container {SIDECAR} cannot be read") from None
    if not all(
        len(one) == 1 and set(one) <= {"httpGet", "tcpSocket"} for one in originals.values()
    ):
        raise CannotInject(f"{PROBES_VARIABLE} of container {SIDECAR} cannot be read")
    return originals

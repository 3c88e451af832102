"""Injection as a pure function: from a pod to the pod with its sidecar.

It is idempotent without trusting a marker: Sealyard's own parts are removed and added again. So an
injected pod stays as it is, and one that only claims to be injected gets its sidecar.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from .. import __version__
from . import containers, mesh, probes, roots, violations, walls
from .annotations import (
    CONTAINERS,
    DISABLED,
    ENABLED,
    LABEL,
    STATUS,
    VOLUMES,
    InjectorSettings,
    PodOptions,
    pod_options,
)
from .permissions import require_permitted
from .pod_reader import CannotInject, Json, mapping, mounted, named, objects, text
from .policy import TRAFFIC_PORT
from .ports import Declared, Sealed, declared, sealed


def wanted(pod: Json) -> bool:
    """Return whether a pod selected by its own label or its namespace's wants a sidecar.

    Raises CannotInject for any other value of the label: it is a typing mistake, and the author of
    the label does not mean an unprotected pod.
    """
    label = mapping(mapping(pod, "metadata"), "labels").get(LABEL, ENABLED)
    if label not in {ENABLED, DISABLED}:
        raise CannotInject(
            f"label {LABEL}: its value does not fit; it must be {ENABLED} or {DISABLED}"
        )
    return bool(label == ENABLED)


def inject(pod: Json, settings: InjectorSettings, namespace: str = "") -> Json:
    """Return the pod with its sidecar; `pod` is not modified.

    The redirect is first, then the init containers whose image the operator trusts, then the
    sidecar and its check, then all others: names and places that the author wrote decide nothing.
    Of the rest of the pod, probes of sealed ports change, NET_RAW is dropped, and with `port-env`
    one environment variable is set. Raises CannotInject with all reasons, also for what the policy
    denies in `namespace`.
    """
    pod = deepcopy(pod)
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    options = pod_options(mapping(metadata, "annotations"), settings)
    options = mesh.with_mesh(options, pod, settings.meshes)
    inits, apps = named(spec, "initContainers"), named(spec, "containers")
    given = {one["name"]: one for one in inits}
    originals = probes.known_originals(inits)
    inits = [one for one in inits if one["name"] not in CONTAINERS]
    _require_supported(spec, inits, apps)
    front = [one for one in inits if settings.policy.trusts(one)]
    rest = [one for one in inits if not settings.policy.trusts(one)]
    behind = [*apps, *(one for one in rest if _native(one))]
    running = [*behind, *(one for one in front if _native(one))]
    probes.restore(running, originals)
    known = declared(running)
    beside = running[len(apps) :]
    ports = sealed(
        mesh.applications(apps),
        mesh.applications(beside),
        options,
        mesh.PROXY_PORTS & probes.starting_ports(front, known),
    )
    found = (
        *violations.of_annotations(options, settings),
        *violations.of_ports(mesh.applications(running), ports),
        *violations.of_pod(pod, [*inits, *apps], options, settings),
    )
    used = require_permitted(found, settings.policy, namespace)
    forwarded = probes.rewrite(behind, ports, known, options.health_port)
    for one in [*inits, *apps]:
        walls.drop_raw(one)
    if ports.moved:
        _move(apps, ports, options)
    grace = spec.get("terminationGracePeriodSeconds")
    late = options.in_mesh and not options.tunnelled and not any(map(_native, front))
    options = replace(options, late_proxy=late)
    own = containers.sidecar(ports, forwarded, options, settings, grace)
    first = [] if ports.moved else [containers.redirect(ports, options, settings)]
    last = [containers.check(ports, options, settings)] if options.interception == "mesh" else []
    volumes = containers.volumes(options, settings)
    left = _left_open(declared(mesh.applications(running)), ports)
    status = _status(ports, left, options, [*first, own, *last, *volumes], used)
    kept = [one for one in named(spec, "volumes") if one["name"] not in VOLUMES]
    own = roots.with_identity(own, given.get(own["name"], {}), kept, settings.root)
    own, *others = (
        containers.with_given(one, given.get(one["name"], {})) for one in [own, *first, *last]
    )
    first, last = others[: len(first)], others[len(first) :]
    spec["initContainers"] = [*first, *front, own, *last, *rest]
    spec["volumes"] = [*kept, *volumes]
    notes = mapping(metadata, "annotations")
    notes.update(mesh.uncaptured(options, notes))
    notes[STATUS] = status
    metadata["annotations"] = notes
    pod["metadata"] = metadata
    return pod


def _native(container: Json) -> bool:
    return bool(container.get("restartPolicy") == "Always")


def _require_supported(spec: Json, inits: Sequence[Json], apps: Sequence[Json]) -> None:
    problems = []
    if spec.get("hostNetwork"):
        problems.append("hostNetwork: the pod has no network namespace of its own")
    if spec.get("shareProcessNamespace"):
        problems.append(
            "shareProcessNamespace: other containers could read the memory of the sidecar"
        )
    if text(mapping(spec, "os"), "name") == "windows":
        problems.append("os.name windows: the sidecar runs on Linux only")
    if not apps:
        problems.append("the pod has no containers")
    problems.extend(
        f"container {one['name']}: that name is of Sealyard's own init container; choose another"
        for one in apps
        if one["name"] in CONTAINERS
    )
    for one in [*inits, *apps]:
        problems.extend(
            f"container {one['name']} mounts {volume}, which is reserved for the sidecar"
            for volume in sorted(VOLUMES & mounted(one))
        )
    if problems:
        raise CannotInject(*problems)


def _move(apps: Sequence[Json], ports: Sealed, options: PodOptions) -> None:
    """Set the environment variable that gives the application its new port."""
    app = next(one for one in apps if one["name"] == ports.container)
    app["env"] = variables = objects(app, "env")
    own, value = str(ports.numbers[0]), str(ports.moved)
    for variable in variables:
        if variable.get("name") != options.port_variable:
            continue
        if variable.get("value") not in {own, value}:
            raise CannotInject(
                f"container {ports.container}: variable {options.port_variable} is set"
                f" to another value than {own}"
            )
        variable["value"] = value
        return
    variables.append({"name": options.port_variable, "value": value})


def _left_open(known: Sequence[Declared], ports: Sealed) -> tuple[int, ...]:
    """Return the declared ports that are neither sealed nor named as passing."""
    return tuple(
        sorted(
            {
                one.number
                for one in known
                if one.number not in ports.passed and not (one.tcp and one.number in ports.numbers)
            }
        )
    )


def _status(
    ports: Sealed,
    left: Sequence[int],
    options: PodOptions,
    own: Sequence[Json],
    used: Sequence[str],
) -> str:
    """Return the status annotation.

    It has the version, a digest of what was injected, the ports where the sidecar listens, those
    that are sealed, those that pass, declared ones that are open all the same, and the operator's
    permissions that are used; a later injection reads the sealed ports in it.
    """
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
    listeners = (ports.numbers[0] if ports.moved else TRAFFIC_PORT, options.health_port)
    told = {
        "interception": options.interception,
        "listeners": _listed(listeners),
        "sealed": _listed(ports.numbers) or "undeclared",
        "passed": _listed(ports.passed),
        "open": _listed(left),
        "application": _listed((ports.moved,) if ports.moved else ()),
        "permissions": ",".join(used),
    }
    parts = [f"{name}={value}" for name, value in told.items() if value]
    return "; ".join([f"injected by {__version__}, {digest[:12]}", *parts])


def _listed(ports: Sequence[int]) -> str:
    return ",".join(map(str, ports))

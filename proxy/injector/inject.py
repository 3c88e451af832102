"""Injection as a pure function: from a pod to the pod with its sidecar.

It is idempotent without trusting a marker: Sealyard's own parts are removed and added again. So an
injected pod stays as it is, and one that only claims to be injected gets its sidecar.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy

from .. import __version__
from . import containers, probes
from .annotations import (
    CONTAINERS,
    DEFAULT_CONTAINER,
    DISABLED,
    ENABLED,
    LABEL,
    STATUS,
    VOLUMES,
    InjectorSettings,
    PodOptions,
    pod_options,
)
from .pod_reader import CannotInject, Json, mapping, named, objects, text
from .ports import Sealed, declared, sealed


def wanted(pod: Json) -> bool:
    """Return whether a pod selected by its own label or its namespace's wants a sidecar.

    Raises CannotInject for any other value of the label: it is a typing mistake, and the author of
    the label does not mean an unprotected pod.
    """
    label = mapping(mapping(pod, "metadata"), "labels").get(LABEL, ENABLED)
    if label not in {ENABLED, DISABLED}:
        raise CannotInject(f"label {LABEL}: must be {ENABLED} or {DISABLED}")
    return bool(label == ENABLED)


def inject(pod: Json, settings: InjectorSettings) -> Json:
    """Return the pod with its sidecar; `pod` is not modified.

    Of the rest of the pod, only probes of sealed ports change, and with `port-env` one environment
    variable. Raises CannotInject with all reasons.
    """
    pod = deepcopy(pod)
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    options = pod_options(mapping(metadata, "annotations"), settings)
    inits, apps = named(spec, "initContainers"), named(spec, "containers")
    originals = probes.known_originals([*inits, *apps])
    index = _own_index(inits)
    inits, apps = _others(inits), _others(apps)
    _require_supported(spec, inits, apps)
    beside = [one for one in inits if one.get("restartPolicy") == "Always"]
    running = [*apps, *beside]
    probes.restore(running, originals)
    ports = sealed(apps, beside, options)
    forwarded = probes.rewrite(running, ports, declared(running))
    if ports.moved:
        _move(apps, ports, options)
    grace = spec.get("terminationGracePeriodSeconds")
    own = containers.sidecar(ports, forwarded, options, settings, grace)
    first = [] if ports.moved else [containers.redirect(ports, settings)]
    starting = [*first, own] if options.native else first
    _set(spec, "initContainers", [*inits[:index], *starting, *inits[index:]])
    spec["containers"] = apps if options.native else [own, *apps]
    volumes = containers.volumes(options)
    kept = [one for one in named(spec, "volumes") if one["name"] not in VOLUMES]
    spec["volumes"] = [*kept, *volumes]
    notes = mapping(metadata, "annotations")
    notes[STATUS] = _status([*first, own, *volumes])
    if not options.native:
        notes.setdefault(DEFAULT_CONTAINER, apps[0]["name"])
    metadata["annotations"] = notes
    pod["metadata"] = metadata
    return pod


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
    for one in [*inits, *apps]:
        mounted = {mount.get("name") for mount in objects(one, "volumeMounts")}
        problems.extend(
            f"container {one['name']} mounts {volume}, which is reserved for the sidecar"
            for volume in sorted(VOLUMES)
            if volume in mounted
        )
    if problems:
        raise CannotInject(*problems)


def _own_index(inits: Sequence[Json]) -> int:
    """Return the index of our init containers among the others: where they are, or else first.

    A container that another webhook put in front of them stays there: two webhooks must not move
    containers back and forth, and ours only have to come before the application.
    """
    own = [index for index, one in enumerate(inits) if one["name"] in CONTAINERS]
    return own[0] if own else 0


def _others(found: Sequence[Json]) -> list[Json]:
    return [one for one in found if one["name"] not in CONTAINERS]


def _set(parent: Json, key: str, items: list[Json]) -> None:
    if items:
        parent[key] = items
    else:
        parent.pop(key, None)


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


def _status(own: Sequence[Json]) -> str:
    """Return the status annotation: the version, and a digest of what was injected."""
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
    return f"injected by {__version__}, {digest[:12]}"

"""The pure function of injection: a pod in, the pod with its sidecar out.

It converges instead of skipping: what is Sealyard's own is taken out and put in anew. So a pod
that was injected before is left as it is, and one that only pretends to be is sealed all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy

from .. import __version__
from . import containers
from . import ports as probes
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
    wishes,
)
from .pod_reader import CannotInject, Json, mapping, named, objects, text
from .ports import Sealed, declared, sealed


def wanted(pod: Json) -> bool:
    """Tell whether a pod that was chosen, by its own label or its namespace's, is to be sealed.

    Raises CannotInject for a label that says neither: it is a typing mistake, and nobody who wrote
    the label means an unsealed pod.
    """
    said = mapping(mapping(pod, "metadata"), "labels").get(LABEL, ENABLED)
    if said not in {ENABLED, DISABLED}:
        raise CannotInject(f"label {LABEL}: must be {ENABLED} or {DISABLED}")
    return bool(said == ENABLED)


def inject(pod: Json, settings: InjectorSettings) -> Json:
    """Return the pod with its sidecar; `pod` stays as it is.

    What is not Sealyard's own is not changed, but for probes of sealed ports, and in `port-env` the
    one variable. Raises CannotInject, naming the reasons, where it would not work.
    """
    pod = deepcopy(pod)
    metadata, spec = mapping(pod, "metadata"), mapping(pod, "spec")
    asked = wishes(mapping(metadata, "annotations"), settings)
    inits, apps = named(spec, "initContainers"), named(spec, "containers")
    originals = probes.known_originals([*inits, *apps])
    place = _place(inits)
    inits, apps = _others(inits), _others(apps)
    _refuse_what_cannot_work(spec, inits, apps)
    beside = [one for one in inits if one.get("restartPolicy") == "Always"]
    living = [*apps, *beside]
    probes.restore(living, originals)
    ports = sealed(apps, beside, asked)
    told = probes.rewrite(living, ports, declared(living))
    if ports.moved:
        _move(apps, ports, asked)
    grace = spec.get("terminationGracePeriodSeconds")
    own = containers.sidecar(ports, told, asked, settings, grace)
    first = [] if ports.moved else [containers.redirect(ports, settings)]
    starting = [*first, own] if asked.native else first
    _set(spec, "initContainers", [*inits[:place], *starting, *inits[place:]])
    spec["containers"] = apps if asked.native else [own, *apps]
    volumes = containers.volumes(asked)
    kept = [one for one in named(spec, "volumes") if one["name"] not in VOLUMES]
    spec["volumes"] = [*kept, *volumes]
    notes = mapping(metadata, "annotations")
    notes[STATUS] = _status([*first, own, *volumes])
    if not asked.native:
        notes.setdefault(DEFAULT_CONTAINER, apps[0]["name"])
    metadata["annotations"] = notes
    pod["metadata"] = metadata
    return pod


def _refuse_what_cannot_work(spec: Json, inits: Sequence[Json], apps: Sequence[Json]) -> None:
    problems = []
    if spec.get("hostNetwork"):
        problems.append("hostNetwork: the pod has no network of its own to redirect")
    if spec.get("shareProcessNamespace"):
        problems.append("shareProcessNamespace: other containers could reach into the sidecar")
    if text(mapping(spec, "os"), "name") == "windows":
        problems.append("os windows: the sidecar runs on Linux only")
    if not apps:
        problems.append("the pod has no container")
    for one in [*inits, *apps]:
        mounted = {mount.get("name") for mount in objects(one, "volumeMounts")}
        problems.extend(
            f"container {one['name']} mounts {volume}, which is the sidecar's alone"
            for volume in sorted(VOLUMES)
            if volume in mounted
        )
    if problems:
        raise CannotInject(*problems)


def _place(inits: Sequence[Json]) -> int:
    """Return where, among the others' init containers, ours stand or are to stand: first.

    Where somebody has put one of theirs in front meanwhile, both stay: moving back and forth in
    turns helps nobody, and what counts is only that ours come before the application.
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


def _move(apps: Sequence[Json], ports: Sealed, asked: PodOptions) -> None:
    """Tell the application, in the variable that it reads, the port that it gets instead."""
    app = next(one for one in apps if one["name"] == ports.container)
    app["env"] = variables = objects(app, "env")
    own, value = str(ports.numbers[0]), str(ports.moved)
    for variable in variables:
        if variable.get("name") != asked.port_variable:
            continue
        if variable.get("value") not in {own, value}:
            raise CannotInject(
                f"container {ports.container}: variable {asked.port_variable} is set,"
                f" and not to {own}"
            )
        variable["value"] = value
        return
    variables.append({"name": asked.port_variable, "value": value})


def _status(own: Sequence[Json]) -> str:
    """Return what was injected, for people: the version and a digest of it."""
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
    return f"injected by {__version__}, {digest[:12]}"

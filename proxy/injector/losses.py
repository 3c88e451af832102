"""What a pod would lose by its injection, or why it would be denied: a sentence for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..process.fitness import INTERCEPTION_VARIABLE
from .annotations import (
    CONTAINERS,
    PASSED_VARIABLE,
    SIDECAR,
    InjectorSettings,
)
from .inject import inject
from .manifests import inject_manifest
from .pod_reader import CannotInject, Json, mapping, objects, text
from .probes import PROBE_KINDS


def of_manifest(document: Any, settings: InjectorSettings, *, every: bool) -> Iterator[str]:  # noqa: ANN401 - YAML
    """Yield the sentences of each pod of a document, with the object that it belongs to.

    `every` is as for `inject_manifest`.
    """
    if isinstance(document, dict) and isinstance(document.get("items"), list):
        for one in document["items"]:
            yield from of_manifest(one, settings, every=every)
        return
    told: list[str] = []

    def note(pod: Json, namespace: str) -> Json:
        made = inject(pod, settings, namespace)
        told.extend(of_pod(pod, made))
        return made

    try:
        inject_manifest(document, note, every=every)
    except CannotInject as refusal:
        yield from (f"denied: {one}" for one in refusal.problems)
        return
    if told:
        name = text(mapping(document, "metadata"), "name")
        yield from (f"{document.get('kind')} {name}: {one}" for one in told)


def of_pod(before: Json, after: Json) -> Iterator[str]:
    """Yield what is other in an injected pod than in the one that was given."""
    old, new = mapping(before, "spec"), mapping(after, "spec")
    given = _by_name(old)
    for name, one in _by_name(new).items():
        was = given.get(name)
        if name in CONTAINERS:
            if was is not None and was.get("image") != one.get("image"):
                yield f"container {name} is replaced: that name is Sealyard's"
            continue
        if was is not None:
            yield from _of_container(name, was, one)
    order = [text(one, "name") for one in objects(new, "initContainers")]
    late = order[order.index(SIDECAR) + 1 :]
    for one in objects(old, "initContainers"):
        if one.get("name") in late and one.get("name") not in CONTAINERS:
            yield f"init container {one['name']} starts after Sealyard's"
    yield _of_ports(_by_name(new)[SIDECAR])


def _of_container(name: str, was: Json, one: Json) -> Iterator[str]:
    if mapping(was, "securityContext") != mapping(one, "securityContext"):
        yield f"container {name} loses NET_RAW: no ping of its own, no packet capture"
    for kind in PROBE_KINDS:
        if mapping(was, kind) != mapping(one, kind):
            yield f"container {name}: its {kind} is asked by Sealyard"
    if mapping(was, "lifecycle") != mapping(one, "lifecycle"):
        yield f"container {name}: its lifecycle hooks are called by Sealyard"
    variables = [each for each in objects(one, "env") if each not in objects(was, "env")]
    for each in variables:
        yield f"container {name} gets {each['name']}={each['value']}: it must listen there"


def _of_ports(sidecar: Json) -> str:
    variables = {one["name"]: one.get("value", "") for one in objects(sidecar, "env")}
    if variables[INTERCEPTION_VARIABLE] == "port-env":
        return "only one port is sealed, and all others stay open"
    passed = variables.get(PASSED_VARIABLE)
    but = f" but {passed}" if passed else ""
    return f"every TCP port{but} is sealed: one that speaks no HTTP/1.1 is refused"


def _by_name(spec: Json) -> dict[str, Json]:
    every = [*objects(spec, "initContainers"), *objects(spec, "containers")]
    return {text(one, "name"): one for one in every}

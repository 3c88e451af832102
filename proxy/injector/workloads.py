"""Where the pod stands in a manifest: in a Pod itself, or as the template of what makes pods."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

from .inject import inject, wanted
from .names import ENABLED, LABEL
from .refusal import CannotInject
from .shapes import Json, mapping, text
from .wishes import InjectorSettings

_TEMPLATES: Final = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def inject_manifest(document: Any, settings: InjectorSettings, *, every: bool) -> Any:  # noqa: ANN401 - YAML may hold anything
    """Return the document with its pods sealed; the same object where there is none to seal.

    Sealed is what has the label, and with `every`, as in a namespace with the label, all that does
    not refuse. Raises CannotInject, whose problems name the object.
    """
    if not isinstance(document, dict):
        return document
    kind = document.get("kind")
    if kind == "List":
        items = document.get("items")
        if not isinstance(items, list):
            return document
        sealed = [inject_manifest(one, settings, every=every) for one in items]
        same = all(new is old for new, old in zip(sealed, items, strict=True))
        return document if same else {**document, "items": sealed}
    way = _TEMPLATES.get(kind) if isinstance(kind, str) else None
    if way is None:
        return document
    try:
        if way and not every:
            _refuse_misplaced_label(document, way)
        return _sealed(document, way, lambda pod: _pod(pod, settings, every=every))
    except CannotInject as refusal:
        name = text(mapping(document, "metadata"), "name")
        raise CannotInject(*(f"{kind} {name}: {one}" for one in refusal.problems)) from None


def _refuse_misplaced_label(document: Json, way: tuple[str, ...]) -> None:
    """Refuse a label that does not reach the pods: whoever wrote it believes them sealed."""
    pod = document
    for step in way:
        pod = mapping(pod, step)
    said = mapping(mapping(document, "metadata"), "labels").get(LABEL)
    if said == ENABLED and LABEL not in mapping(mapping(pod, "metadata"), "labels"):
        raise CannotInject(f"label {LABEL} belongs on the pod template, not on the object itself")


def _pod(pod: Json, settings: InjectorSettings, *, every: bool) -> Json:
    labels = mapping(mapping(pod, "metadata"), "labels")
    if not every and LABEL not in labels:
        return pod
    if not wanted(pod):
        return pod
    made = inject(pod, settings)
    if LABEL not in labels:
        # Whoever reads the pod, a webhook above all, shall see what was meant.
        made["metadata"]["labels"] = {**labels, LABEL: ENABLED}
    return pod if made == pod else made


def _sealed(document: Json, way: tuple[str, ...], seal: Callable[[Json], Json]) -> Json:
    holder = document
    for step in way:
        holder = mapping(holder, step)
    pod = seal(holder)
    if pod is holder:
        return document
    if not way:
        return pod
    made = deepcopy(document)
    parent = made
    for step in way[:-1]:
        parent = parent[step]
    parent[way[-1]] = pod
    return made

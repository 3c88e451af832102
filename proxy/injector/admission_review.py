"""Answer an AdmissionReview (admission.k8s.io/v1): a pure function from request to response.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from . import keys, mesh, violations, walls
from .annotations import SIDECAR, STATUS, InjectorSettings
from .inject import inject, wanted
from .permissions import require_permitted
from .pod_reader import CannotInject, Json, mapping, named, objects, text

Operation = Json
Patch = list[Operation]


def patch(before: Json, after: Json) -> Patch:
    """Return the JSON Patch (RFC 6902) from `before` to `after`, empty where they are equal."""
    return list(_objects(before, after, ""))


def _values(before: Any, after: Any, path: str) -> Iterator[Operation]:  # noqa: ANN401 - JSON
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _objects(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and _comparable(before, after):
        yield from _lists(before, after, path)
    else:
        yield {"op": "replace", "path": path, "value": after}


def _objects(before: Json, after: Json, path: str) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in after.items():
        place = f"{path}/{_escaped(key)}"
        if key not in before:
            yield {"op": "add", "path": place, "value": value}
        else:
            yield from _values(before[key], value, place)


def _lists(before: Sequence[Json], after: Sequence[Json], path: str) -> Iterator[Operation]:
    kept = {one["name"] for one in after}
    current = list(before)
    for index in reversed(range(len(current))):
        if current[index]["name"] not in kept:
            yield {"op": "remove", "path": f"{path}/{index}"}
            del current[index]
    old = {one["name"]: one for one in current}
    for index, one in enumerate(after):
        if one["name"] in old:
            yield from _values(old[one["name"]], one, f"{path}/{index}")
        else:
            yield {"op": "add", "path": f"{path}/{index}", "value": one}


def _comparable(before: Sequence[Any], after: Sequence[Any]) -> bool:
    """Return whether all items have unique names, and those in both lists have the same order."""
    old, new = _names(before), _names(after)
    if old is None or new is None:
        return False
    return [one for one in old if one in new] == [one for one in new if one in old]


def _names(items: Sequence[Any]) -> list[str] | None:
    if not all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in items):
        return None
    names = [one["name"] for one in items]
    return names if len(set(names)) == len(names) else None


def _escaped(key: str) -> str:
    """Return a key as RFC 6901 section 3 writes it."""
    return key.replace("~", "~0").replace("/", "~1")


ReviewOutcome = Literal["injected", "unchanged", "disabled", "denied", "debugged"]

OWNER_FIELDS: Final = ("apiVersion", "kind", "name", "uid")

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_POD: Final = {"group": "", "version": "v1", "kind": "Pod"}
_DEBUGGING: Final = "ephemeralcontainers"


class MalformedReview(Exception):
    """Raised for anything but an AdmissionReview of version v1."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review to return, and what log and Events report: names of the cluster, no secrets.

    `owner` is the object that made the pod, empty where none did or where nothing is created
    (dry run); `status` is what was injected.
    """

    answer: Json
    outcome: ReviewOutcome
    namespace: str
    problems: tuple[str, ...] = ()
    owner: Json = field(default_factory=dict)
    status: str = ""


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What an admitted request gets."""

    outcome: ReviewOutcome
    operations: Patch = field(default_factory=list)
    status: str = ""


def review(document: object, settings: InjectorSettings) -> Reviewed:
    """Return the response: a patch, or a denial with its reasons.

    A pod that cannot be injected is denied, never admitted unchanged, and so are ephemeral
    containers that reach the keys of a pod. Raises MalformedReview.
    """
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (
        _VERSION,
        _KIND,
    ):
        raise MalformedReview
    try:
        request = mapping(document, "request")
        uid, namespace = text(request, "uid"), text(request, "namespace")
    except CannotInject:
        raise MalformedReview from None
    if not uid:
        raise MalformedReview
    try:
        made = _admitted(namespace, request, settings)
    except CannotInject as refusal:
        status = {"code": HTTPStatus.FORBIDDEN, "message": f"Sealyard: {refusal.detail}"}
        answer = _answer(uid, allowed=False, status=status)
        return Reviewed(answer, "denied", namespace, refusal.problems, _owner(request))
    response: Json = {"allowed": True}
    if made.operations:
        encoded = base64.b64encode(json.dumps(made.operations).encode()).decode("ascii")
        response |= {"patchType": "JSONPatch", "patch": encoded}
    answer = _answer(uid, **response)
    return Reviewed(answer, made.outcome, namespace, (), _owner(request), made.status)


def _owner(request: Json) -> Json:
    """Return the reference to the pod's controller, with which it was made."""
    try:
        references = objects(mapping(mapping(request, "object"), "metadata"), "ownerReferences")
    except CannotInject:
        return {}
    owners = [] if request.get("dryRun") else [one for one in references if one.get("controller")]
    return {name: str(owners[0].get(name, "")) for name in OWNER_FIELDS} if owners else {}


def _admitted(namespace: str, request: Json, settings: InjectorSettings) -> _Admitted:
    asked = (request.get("kind"), request.get("operation"), text(request, "subResource"))
    pod = mapping(request, "object")
    if asked == (_POD, "UPDATE", _DEBUGGING):
        return _debugged(namespace, pod, mapping(request, "oldObject"), settings)
    if asked != (_POD, "CREATE", ""):
        raise CannotInject(
            "only the creation of a v1 Pod, and its ephemeral containers, are supported;"
            " correct the rules of the webhook"
        )
    if not wanted(pod):
        require_permitted([violations.OPTED_OUT], settings.policy, namespace)
        return _Admitted("disabled")
    made = inject(pod, settings, namespace)
    operations = patch(pod, made)
    status = str(made["metadata"]["annotations"][STATUS])
    return _Admitted("injected" if operations else "unchanged", operations, status)


def _debugged(namespace: str, pod: Json, before: Json, settings: InjectorSettings) -> _Admitted:
    """Review the ephemeral containers of a running pod, whatever its label says by now."""
    spec = mapping(pod, "spec")
    running = [*objects(spec, "initContainers"), *objects(spec, "containers")]
    sidecar = next((one for one in running if one.get("name") == SIDECAR), None)
    if sidecar is None:
        return _Admitted("debugged")
    added = named(spec, "ephemeralContainers")
    volumes = objects(spec, "volumes")
    problems = [
        one
        for each in added
        for one in (
            *keys.debugging(volumes, each, [settings.keys_secret]),
            *mesh.debugging(sidecar, each),
        )
    ]
    if problems:
        raise CannotInject(*problems)
    require_permitted(walls.of_containers(spec, added, settings.policy), settings.policy, namespace)
    return _Admitted("debugged", patch(pod, _without_raw(pod, before)))


def _without_raw(pod: Json, before: Json) -> Json:
    """Return the pod whose new ephemeral containers lack NET_RAW; those that run cannot change."""
    made = deepcopy(pod)
    running = {one["name"] for one in named(mapping(before, "spec"), "ephemeralContainers")}
    for one in named(mapping(made, "spec"), "ephemeralContainers"):
        if one["name"] not in running:
            walls.drop_raw(one)
    return made


def _answer(uid: str, **response: object) -> Json:
    return {"apiVersion": _VERSION, "kind": _KIND, "response": {"uid": uid, **response}}

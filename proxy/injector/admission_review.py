"""Answer an AdmissionReview (admission.k8s.io/v1): a pure function from request to response.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

from . import keys, violations
from .annotations import CONTAINERS, SIDECAR, InjectorSettings
from .inject import inject, wanted
from .pod_reader import CannotInject, Json, mapping, objects, text
from .policy import Violation, judged

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


ReviewOutcome = Literal["injected", "unchanged", "disabled", "denied", "valid"]

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_POD: Final = {"group": "", "version": "v1", "kind": "Pod"}
_DEBUGGING: Final = "ephemeralcontainers"


class MalformedReview(Exception):
    """Raised for anything but an AdmissionReview of version v1."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review to return, and what the log reports: names of the cluster, no secrets."""

    answer: Json
    outcome: ReviewOutcome
    namespace: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What an admitted request gets."""

    outcome: ReviewOutcome
    operations: Patch = field(default_factory=list)
    warnings: tuple[str, ...] = ()


_Admit = Callable[[str, Json, InjectorSettings], _Admitted]


def review(document: object, settings: InjectorSettings) -> Reviewed:
    """Return the response of the mutating webhook: a patch, or a denial with its reasons.

    A pod that cannot be injected is denied, never admitted unchanged. Raises MalformedReview.
    """
    return _reviewed(document, settings, _mutated)


def validation(document: object, settings: InjectorSettings) -> Reviewed:
    """Return the response of the validating webhook, which sees pods after all other webhooks.

    It reviews new pods, and the ephemeral containers of pods with a sidecar. Raises
    MalformedReview.
    """
    return _reviewed(document, settings, _validated)


def _reviewed(document: object, settings: InjectorSettings, admit: _Admit) -> Reviewed:
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
        made = admit(namespace, request, settings)
    except CannotInject as refusal:
        status = {"code": HTTPStatus.FORBIDDEN, "message": f"Sealyard: {refusal.detail}"}
        answer = _answer(uid, allowed=False, status=status)
        return Reviewed(answer, "denied", namespace, refusal.problems)
    response: Json = {"allowed": True}
    if made.operations:
        encoded = base64.b64encode(json.dumps(made.operations).encode()).decode("ascii")
        response |= {"patchType": "JSONPatch", "patch": encoded}
    if made.warnings:
        response["warnings"] = list(made.warnings)
    return Reviewed(_answer(uid, **response), made.outcome, namespace, warnings=made.warnings)


def _mutated(namespace: str, request: Json, settings: InjectorSettings) -> _Admitted:
    pod = _new_pod(request)
    if not wanted(pod):
        return _Admitted("disabled")
    made = inject(pod, settings, namespace)
    operations = patch(pod, made.pod)
    return _Admitted("injected" if operations else "unchanged", operations, made.warnings)


def _validated(namespace: str, request: Json, settings: InjectorSettings) -> _Admitted:
    if (request.get("operation"), request.get("subResource")) == ("UPDATE", _DEBUGGING):
        return _debugged(namespace, request, settings)
    pod = _new_pod(request)
    if not wanted(pod):
        return _Admitted("disabled")
    made = inject(pod, settings, namespace)
    # The author of the pod was warned by the mutating webhook already.
    warnings = judged(_undone(pod, made.pod), settings.policy, namespace)
    return _Admitted("valid", warnings=warnings)


def _new_pod(request: Json) -> Json:
    if (request.get("kind"), request.get("operation")) != (_POD, "CREATE"):
        raise CannotInject(
            "only the creation of a v1 Pod is supported; correct the rules of the webhook"
        )
    return mapping(request, "object")


def _undone(pod: Json, ours: Json) -> Iterator[Violation]:
    """Yield what others did to our containers after our last call.

    They may give resources, variables, mounts and another name to the image.
    """
    theirs = _containers(pod)
    for name, own in _containers(ours).items():
        if name not in CONTAINERS:
            continue
        found = theirs.get(name, {})
        variables = objects(found, "env")
        if any(found.get(key) != own.get(key) for key in ("command", "args")) or any(
            one not in variables for one in objects(own, "env")
        ):
            yield Violation(
                f"container {name} is not as Sealyard made it: another webhook changed it"
            )


def _debugged(namespace: str, request: Json, settings: InjectorSettings) -> _Admitted:
    pod = mapping(request, "object")
    if SIDECAR not in _containers(pod):
        return _Admitted("valid")
    spec = mapping(pod, "spec")
    added = objects(spec, "ephemeralContainers")
    volumes = objects(spec, "volumes")
    problems = [
        one for each in added for one in keys.debugging(volumes, each, [settings.keys_secret])
    ]
    if problems:
        raise CannotInject(*problems)
    warnings = judged(violations.of_privileges(added), settings.policy, namespace)
    return _Admitted("valid", warnings=warnings)


def _containers(pod: Json) -> dict[str, Json]:
    spec = mapping(pod, "spec")
    both = [*objects(spec, "initContainers"), *objects(spec, "containers")]
    return {text(one, "name"): one for one in both}


def _answer(uid: str, **response: object) -> Json:
    return {"apiVersion": _VERSION, "kind": _KIND, "response": {"uid": uid, **response}}

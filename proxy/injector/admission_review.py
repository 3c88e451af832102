"""Answer an AdmissionReview (admission.k8s.io/v1): a pure function from request to response.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal

from .annotations import InjectorSettings
from .inject import inject, wanted
from .pod_reader import CannotInject, Json, mapping, text

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


ReviewOutcome = Literal["injected", "unchanged", "disabled", "denied"]

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_POD: Final = {"group": "", "version": "v1", "kind": "Pod"}


class MalformedReview(Exception):
    """Raised for anything but an AdmissionReview of version v1."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review to return, and what the log reports: names of the cluster, no secrets."""

    answer: Json
    outcome: ReviewOutcome
    namespace: str
    problems: tuple[str, ...] = ()


def review(document: object, settings: InjectorSettings) -> Reviewed:
    """Return the response: a patch, or a denial with its reasons.

    A pod that cannot be injected is denied, never admitted unchanged. Raises MalformedReview.
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
        return _admitted(uid, namespace, request, settings)
    except CannotInject as refusal:
        status = {"code": HTTPStatus.FORBIDDEN, "message": f"Sealyard: {refusal.detail}"}
        answer = _answer(uid, allowed=False, status=status)
        return Reviewed(answer, "denied", namespace, refusal.problems)


def _admitted(uid: str, namespace: str, request: Json, settings: InjectorSettings) -> Reviewed:
    kind, operation = request.get("kind"), request.get("operation")
    if kind != _POD or operation != "CREATE":
        raise CannotInject(
            "only the creation of a v1 Pod is supported; correct the rules of the webhook"
        )
    pod = mapping(request, "object")
    if not wanted(pod):
        return Reviewed(_answer(uid, allowed=True), "disabled", namespace)
    operations = patch(pod, inject(pod, settings))
    if not operations:
        return Reviewed(_answer(uid, allowed=True), "unchanged", namespace)
    encoded = base64.b64encode(json.dumps(operations).encode()).decode("ascii")
    answer = _answer(uid, allowed=True, patchType="JSONPatch", patch=encoded)
    return Reviewed(answer, "injected", namespace)


def _answer(uid: str, **response: object) -> Json:
    return {"apiVersion": _VERSION, "kind": _KIND, "response": {"uid": uid, **response}}

"""Answer an AdmissionReview (admission.k8s.io/v1): pure, from the review to the review.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Literal

from .inject import inject, wanted
from .patch import patch
from .refusal import CannotInject
from .shapes import Json, mapping, text
from .wishes import InjectorSettings

ReviewOutcome = Literal["injected", "unchanged", "disabled", "denied"]

_VERSION: Final = "admission.k8s.io/v1"
_KIND: Final = "AdmissionReview"
_POD: Final = {"group": "", "version": "v1", "kind": "Pod"}


class MalformedReview(Exception):
    """Raised for what is no AdmissionReview of version v1."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review to send back, and what the log tells of it. Names are the cluster's, no secret."""

    answer: Json
    outcome: ReviewOutcome
    namespace: str
    problems: tuple[str, ...] = ()


def review(asked: object, settings: InjectorSettings) -> Reviewed:
    """Return the answer: the patch, or why not.

    A pod that cannot be sealed is denied, never let through as it is. Raises MalformedReview.
    """
    if not isinstance(asked, dict) or (asked.get("apiVersion"), asked.get("kind")) != (
        _VERSION,
        _KIND,
    ):
        raise MalformedReview
    try:
        request = mapping(asked, "request")
        uid, namespace = text(request, "uid"), text(request, "namespace")
    except CannotInject:
        raise MalformedReview from None
    if not uid:
        raise MalformedReview
    try:
        return _admitted(uid, namespace, request, settings)
    except CannotInject as refusal:
        status = {"code": HTTPStatus.FORBIDDEN, "message": _told(refusal)}
        answer = _answer(uid, allowed=False, status=status)
        return Reviewed(answer, "denied", namespace, refusal.problems)


def _admitted(uid: str, namespace: str, request: Json, settings: InjectorSettings) -> Reviewed:
    kind, operation = request.get("kind"), request.get("operation")
    if kind != _POD or operation != "CREATE":
        raise CannotInject("only the creation of a v1 Pod can be answered; the webhook asks more")
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


def _told(refusal: CannotInject) -> str:
    return f"Sealyard: {refusal.detail}"

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.injector.admission_review import MalformedReview, review
from proxy.injector.pod_reader import Json
from tests.injector.chain import a_review
from tests.injector.pods import (
    SETTINGS,
    STRICT,
    a_pod,
    applied,
    container,
    injected,
    pods,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
)


def test_a_pod_is_answered_with_its_patch() -> None:
    pod = a_pod()
    reviewed = review(a_review(pod), SETTINGS)
    response = reviewed.answer["response"]

    assert reviewed.outcome == "injected"
    assert (response["uid"], response["allowed"], response["patchType"]) == (
        "705ab4f5-6393-11e8-b7cc-42010a800002",
        True,
        "JSONPatch",
    )
    patched = applied(pod, json.loads(base64.b64decode(response["patch"])))
    assert container(patched, "sealyard")["image"] == SETTINGS.image


@given(pods())
def test_the_second_review_has_no_patch(pod: Json) -> None:
    reviewed = review(a_review(injected(pod)), SETTINGS)

    assert reviewed.outcome == "unchanged"
    assert reviewed.answer["response"] == {
        "uid": reviewed.answer["response"]["uid"],
        "allowed": True,
    }


def test_a_pod_that_says_no_is_left_alone_where_the_operator_permits_it() -> None:
    """Such a review is of a namespace that is sealed: the webhook asks about no others."""
    pod = a_pod()
    pod["metadata"]["labels"]["sealyard.io/inject"] = "disabled"
    told = "label sealyard.io/inject: disabled leaves a pod unsealed in a namespace that is sealed"
    permitted, denied = (review(a_review(pod), one) for one in (SETTINGS, STRICT))

    assert permitted.outcome == "disabled"
    assert "patch" not in permitted.answer["response"]
    assert (denied.outcome, denied.answer["response"]["allowed"]) == ("denied", False)
    assert denied.problems == (f"{told} (only with the operator's permission `disabled`)",)


def test_a_pod_that_cannot_be_sealed_is_denied_with_the_reason() -> None:
    reviewed = review(a_review(a_pod(hostNetwork=True)), SETTINGS)

    assert reviewed.outcome == "denied"
    assert reviewed.answer["response"]["allowed"] is False
    assert reviewed.answer["response"]["status"] == {
        "code": 403,
        "message": "Sealyard: hostNetwork: the pod has no network namespace of its own",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"operation": "UPDATE"},
        {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}},
        {"object": None},
        {"object": "pod"},
    ],
)
def test_what_is_no_new_pod_is_never_let_through(changed: Json) -> None:
    assert review(a_review(a_pod(), **changed), SETTINGS).outcome == "denied"


@pytest.mark.parametrize(
    "asked",
    [
        None,
        [],
        {},
        {**a_review(a_pod()), "apiVersion": "admission.k8s.io/v1beta1"},
        {**a_review(a_pod()), "request": "x"},
        a_review(a_pod(), uid=""),
        a_review(a_pod(), uid=7),
    ],
)
def test_what_is_no_review_is_malformed(asked: object) -> None:
    with pytest.raises(MalformedReview):
        review(asked, SETTINGS)


@given(JSON, JSON)
def test_no_pod_however_shaped_is_answered_with_anything_but_yes_with_a_patch_or_no(
    metadata: object, spec: object
) -> None:
    reviewed = review(a_review({"metadata": metadata, "spec": spec}), SETTINGS)
    response = reviewed.answer["response"]

    assert reviewed.outcome == "denied" or (response["allowed"] and "patch" in response)

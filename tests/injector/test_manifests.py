from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.injector.manifests import Manifests, inject_text
from proxy.injector.pod_reader import CannotInject
from tests.injector.pods import SETTINGS

SERVICE = "# stays\napiVersion: v1\nkind: Service\nmetadata: {name: web}  # stays too\n"
DEPLOYMENT = """\
# goes
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata:
      labels: {sealyard.io/inject: enabled}
      annotations: {since: 2024-01-01, window: 1:30, mode: 0644, part: 1.0}
    spec:
      containers:
        - {name: web, image: w, ports: [{containerPort: 8080}]}
"""

_READ: list[tuple[object, str]] = [
    (True, "y Y yes On"),
    (False, "n N Off"),
    (None, "~"),
    (0, "0 00 -0"),
    (12, "12 +12 1_2 12_ 12. 12.0 0xC 0Xc 014 0o14 0O14 0b1100 1.2e1 12e+0 +1_2e0"),
    (-8, "-8 -010 -0x8 -08 -8E0"),
    (0.5, ".5 +.5 .5_0 0.5 5e-1 .05E1"),
    (2**63 - 1, "9223372036854775807"),
    (1e20, "100000000000000000000 1e20"),
]
_TEXTS = (
    *("1:30", "2024-01-01", "12e4567", "1e", "0x", "0o8", "0b2", "1.2.3", ".", ".e1"),
    *("+", "-x", "1m", "_1", "yy", "Nn"),
)
PLAIN = {
    **{one: read for read, written in _READ for one in written.split()},
    **{one: one for one in _TEXTS},
}
"""Plain scalars, and what Kubernetes reads."""

BREAKS = ("\x85", "a\u2028b", "\u2029\n", "a\nb", "a\n", "\n", " a\n b\n\n", "a\r\nb", "\ufeff")


def annotated(written: str) -> str:
    """Return the deployment with one annotation, as written."""
    before, _, after = DEPLOYMENT.partition("{since")
    return f"{before}\n        given: {written}{after.partition('}')[2]}"


def sealed(text: str, *, every: bool = False) -> Manifests:
    """Return the manifests with their pods sealed."""
    return inject_text(text, SETTINGS, every=every)


def test_documents_with_nothing_to_seal_keep_every_byte() -> None:
    made = sealed(f"{SERVICE}---\n{DEPLOYMENT}---\n{SERVICE}")

    assert made.sealed == 1
    assert made.text.startswith(SERVICE + "---\n")
    assert made.text.endswith("---\n" + SERVICE)
    assert "# goes" not in made.text


def test_a_text_with_nothing_to_seal_is_returned_as_it_is() -> None:
    text = f"--- # first\n{SERVICE}---\n\n...\n--- {{a: [1, 2}}}}\n".replace("2}}", "2]}")

    assert sealed(text) == Manifests(text, 0)


def test_values_mean_what_they_mean_to_kubernetes() -> None:
    [made] = yaml.safe_load_all(sealed(DEPLOYMENT).text)
    annotations = made["spec"]["template"]["metadata"]["annotations"]

    assert {key: annotations[key] for key in ("since", "window", "mode", "part")} == {
        "since": "2024-01-01",
        "window": "1:30",
        "mode": 0o644,
        "part": 1.0,
    }


@pytest.mark.parametrize(("written", "read"), PLAIN.items())
def test_a_plain_value_means_what_it_means_to_kubernetes(written: str, read: object) -> None:
    """tests/chart asks kubectl the same."""
    [made] = yaml.safe_load_all(sealed(annotated(written)).text)

    got = made["spec"]["template"]["metadata"]["annotations"]["given"]
    assert (type(got), got) == (type(read), read)


@given(st.text() | st.sampled_from([*PLAIN, *BREAKS]) | st.from_regex(r"[-+.0-9yYnN]\S{0,5}"))
def test_a_text_is_the_same_to_whoever_reads_it(text: str) -> None:
    quoted = yaml.safe_dump(text, default_style='"', width=2**20).rstrip("\n")
    once = sealed(annotated(quoted)).text
    [made] = yaml.safe_load_all(once)

    assert made["spec"]["template"]["metadata"]["annotations"]["given"] == text
    assert sealed(once) == Manifests(once, 0)
    assert not re.search(r"given: ([yYnN]$|[-+.0-9])", once, re.MULTILINE)


def test_a_second_run_changes_nothing() -> None:
    once = sealed(DEPLOYMENT).text

    assert sealed(once) == Manifests(once, 0)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Pod", "{POD}"),
        ("StatefulSet", "{template: {POD}}"),
        ("CronJob", "{jobTemplate: {spec: {template: {POD}}}}"),
    ],
)
def test_pods_are_found_in_what_makes_pods(kind: str, spec: str) -> None:
    pod = "spec: {containers: [{name: web, ports: [{containerPort: 8080}]}]}"
    inner = spec.replace("POD", pod) if kind != "Pod" else pod.removeprefix("spec: ")
    text = f"kind: {kind}\nmetadata: {{name: x}}\nspec: {inner}\n"

    assert sealed(text).sealed == 0
    made = sealed(text, every=True)
    assert made.sealed == 1
    assert "sealyard.io/inject: enabled" in made.text


def test_lists_are_looked_into() -> None:
    item = yaml.safe_load(DEPLOYMENT)
    text = yaml.safe_dump({"kind": "List", "items": [{"kind": "Service"}, item]})

    assert sealed(text).sealed == 1


def test_the_items_of_a_typed_list_may_have_no_kind() -> None:
    item = yaml.safe_load(DEPLOYMENT)
    named = yaml.safe_dump({"kind": "DeploymentList", "items": [item]})
    del item["kind"]
    nameless = yaml.safe_dump({"kind": "DeploymentList", "items": [item]})

    assert (sealed(named).sealed, sealed(nameless).sealed) == (1, 1)


ROLLOUT = DEPLOYMENT.replace("kind: Deployment", "kind: Rollout")
TASKS = """\
kind: Job
metadata: {name: sums}
spec:
  template: {spec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}}
  tasks:
    - template:
        metadata: {labels: {sealyard.io/inject: enabled}}
        spec: {containers: [{name: b}]}
"""


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("Rollout web: spec.template", ROLLOUT),
        (
            "Rollout web: spec.template",
            yaml.safe_dump({"kind": "List", "items": [yaml.safe_load(ROLLOUT)]}),
        ),
        ("Rollout web: spec.template", ROLLOUT.replace("inject: enabled", "inject: yes")),
        ("Job sums: spec.tasks.0.template", TASKS),
    ],
)
def test_a_pod_that_only_the_webhook_could_seal_is_refused(place: str, text: str) -> None:
    """Printed as it is, with exit status 0, it would start without a sidecar."""
    for every in (False, True):
        with pytest.raises(CannotInject) as refused:
            sealed(text, every=every)

        [problem] = refused.value.problems
        assert problem == f"{place} is a pod template that only the webhook can inject into"


def test_a_pod_of_another_kind_that_is_not_meant_is_left_alone() -> None:
    unlabelled = ROLLOUT.replace("      labels: {sealyard.io/inject: enabled}\n", "")
    disabled = ROLLOUT.replace("inject: enabled", "inject: disabled")

    assert sealed(unlabelled) == Manifests(unlabelled, 0)
    for every in (False, True):
        assert sealed(disabled, every=every) == Manifests(disabled, 0)
    with pytest.raises(CannotInject):
        sealed(unlabelled, every=True)


def test_who_says_no_is_left_alone() -> None:
    text = DEPLOYMENT.replace("inject: enabled", "inject: disabled")

    assert sealed(text, every=True) == Manifests(text, 0)


def test_a_label_that_does_not_reach_the_pods_is_refused() -> None:
    text = DEPLOYMENT.replace("      labels: {sealyard.io/inject: enabled}\n", "").replace(
        "{name: web}", "{name: web, labels: {sealyard.io/inject: enabled}}", 1
    )
    with pytest.raises(CannotInject) as refused:
        sealed(text)

    [problem] = refused.value.problems
    assert problem.startswith("Deployment web: label sealyard.io/inject belongs on the pod templ")
    assert sealed(text, every=True).sealed == 1


def test_every_pod_that_cannot_be_sealed_is_named() -> None:
    broken = DEPLOYMENT.replace("containerPort: 8080", "containerPort: 15080")
    with pytest.raises(CannotInject) as refused:
        sealed(f"{broken}---\n{DEPLOYMENT}---\n{broken.replace('name: web}', 'name: api}', 1)}")

    assert [one.partition(":")[0] for one in refused.value.problems] == [
        "Deployment web",
        "Deployment api",
    ]


@pytest.mark.parametrize(
    "text",
    ["a: [", "a: 1\na: 2\n", "a: &x [*x]\nb: !!python/object:os.system {}\n", "\t- a"],
)
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(CannotInject):
        sealed(text)

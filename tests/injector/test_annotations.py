from __future__ import annotations

import pytest

from proxy.injector.annotations import Resources, pod_options
from proxy.injector.pod_reader import CannotInject
from tests.injector.pods import SETTINGS


def test_the_operators_word_stands_where_annotations_are_silent() -> None:
    wanted = pod_options({"team": "blue"}, SETTINGS)

    assert (wanted.config, wanted.keys_secret) == ("sealyard", "sealyard-keys")
    assert wanted.interception == "mesh"
    assert wanted.ports is None


def test_resources_are_merged_one_by_one() -> None:
    wanted = pod_options(
        {"sealyard.io/cpu-limit": "1", "sealyard.io/memory-limit": "1Gi"}, SETTINGS
    )

    assert wanted.resources == Resources("50m", "1", "96Mi", "1Gi")


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(CannotInject) as refused:
        pod_options(
            {
                "sealyard.io/port": "8080",
                "sealyard.io/interception": "x",
                "sealyard.io/cpu-limit": "yes",
            },
            SETTINGS,
        )

    assert refused.value.problems == (
        "annotations: the key `sealyard.io/port` is unknown; did you mean `sealyard.io/ports`?",
        "annotation sealyard.io/interception: `x` is unknown; one of: mesh, port-env, redirect",
        "annotation sealyard.io/cpu-limit: `yes` is not a quantity; for example `100m` or `128Mi`",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "Rules"),
        ("config", "../x"),
        ("config", ""),
        ("keys-secret", "a" * 254),
        ("audit-volume", ""),
        ("audit-volume", "EmptyDir"),
        ("audit-volume", "../x"),
        ("ports", "0"),
        ("ports", "65536"),
        ("ports", "8080,"),
        ("ports", "8080 } redirect to :1"),
        ("pass-ports", "HTTP"),
        ("port-env", "1PORT"),
        ("cpu-request", "0"),
        ("cpu-limit", "lots"),
        ("memory-limit", "-1"),
        ("memory-request", "64 Mi"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(CannotInject):
        pod_options({f"sealyard.io/{name}": value}, SETTINGS)


def test_a_value_that_is_no_text_is_refused() -> None:
    with pytest.raises(CannotInject):
        pod_options({"sealyard.io/ports": 8080}, SETTINGS)

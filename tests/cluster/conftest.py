"""A release of the chart on a real cluster, and an application with one label."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.chart.conftest import TOOLS, tool
from tests.cluster.kube import Kube

__all__ = ["bare", "kube", "tool"]


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """Return a cluster with the namespaces of the tests, and nothing installed."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip(
            "no cluster: set KUBECONFIG, and SEALYARD_TEST_IMAGE to an image that it can pull"
        )
    if not TOOLS.exists():
        pytest.skip("`./dev test-cluster` installs kubectl and helm")
    image = os.environ.get("SEALYARD_TEST_IMAGE", "")
    assert ":" in image, "SEALYARD_TEST_IMAGE must be REPOSITORY:TAG of Sealyard's image"
    kube = Kube(image, f"sealyard-test-{secrets.token_hex(3)}")
    try:
        kube.prepare(tmp_path_factory.mktemp("keys"))
        yield kube
    finally:
        kube.remove()


@pytest.fixture(scope="session")
def kube(bare: Kube) -> Kube:
    """Return a cluster with the chart installed, and the sealed Deployment `web`."""
    bare.install(*bare.settings())
    collector = f"http://collector.{bare.shop}.svc:9000"
    bare.apply(*bare.deployment("web", "backend", "8080", collector, sealed=True, replicas=2))
    bare.rolled_out("web")
    return bare

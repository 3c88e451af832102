"""What several workers cannot do is said when they start."""

from __future__ import annotations

import pytest

from proxy.config.checks.websockets import warnings_for_workers
from proxy.config.load import load
from tests.scenarios.rig import ROOT


@pytest.mark.parametrize(
    ("example", "names"), [("socketio-files.yaml", 1), ("graphql-operations.yaml", 0)]
)
def test_polled_attachments_need_one_worker(example: str, names: int) -> None:
    (listener,) = load(ROOT / "config" / "examples" / example, {}).settings.listeners

    found = list(warnings_for_workers(listener.rules))

    assert len(found) == names
    assert {name for name, _ in found} <= {one.name for one in listener.rules}

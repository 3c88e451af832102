"""What a reload cannot apply."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.settings import Settings
from proxy.core.errors import RestartNeeded
from proxy.wiring.reload import config_files
from proxy.wiring.reload.reload import require_none
from tests.scenarios.rig import a_configuration


def forwarding_to(upstream: str) -> Settings:
    text = a_configuration(3000).replace("http://127.0.0.1:3000", upstream)
    return config_files.given(text, Path("sealyard.yaml"), {}).loaded.settings


def test_a_listener_that_forwards_to_the_original_port_is_made_at_the_start_alone() -> None:
    """Only such a one asks for the port that its clients connected to."""
    fixed, original = forwarding_to("http://127.0.0.1:3000"), forwarding_to("original-port")
    for old, new in ((fixed, original), (original, fixed)):
        with pytest.raises(RestartNeeded) as raised:
            require_none(old, new, "sealyard.yaml")
        (problem,) = raised.value.problems
        assert "`api` begins or ceases to forward to `original-port`; restart" in problem


def test_another_upstream_needs_no_restart() -> None:
    old, new = forwarding_to("http://127.0.0.1:3000"), forwarding_to("http://127.0.0.1:3001")
    require_none(old, new, "sealyard.yaml")
    require_none(forwarding_to("original-port"), forwarding_to("original-port"), "sealyard.yaml")

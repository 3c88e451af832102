"""Laws are tried on the same examples every time; processes of Sealyard have imported already."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests import warm

_WARM: Final = frozenset({"cli", "drills", "keys", "redis", "scenarios"})
"""Folders of tests whose processes may begin warm: they are not about how a process begins."""
_HERE: Final = Path(__file__).parent

settings.register_profile(
    "laws",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("laws")


def pytest_sessionstart() -> None:
    """Let processes of Sealyard begin warm, where a test lets them."""
    warm.begin()


def pytest_sessionfinish() -> None:
    """End the process that they were forked from."""
    warm.end()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start the processes of a test and of its fixtures as it says."""
    folder = item.path.relative_to(_HERE).parts[0]
    warm.FORGE.cold = folder not in _WARM or item.get_closest_marker("cold") is not None

"""`-p tests.fewer`: laws are tried on a third of their examples.

CI does so wherever it tries laws. The parts `laws`, `python-core` and `python-suites` of
`./dev nightly` try all of them.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import settings

_SHARE: Final = 3


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lower what each law asks for, by itself or by the profile."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.obj, "hypothesis"):
            # Hypothesis has no public way to change what @settings said.
            asked = item.obj._hypothesis_internal_use_settings
            few = settings(asked, max_examples=max(1, asked.max_examples // _SHARE))
            item.obj._hypothesis_internal_use_settings = few

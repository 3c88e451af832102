"""`-p tests.fewer`: laws are tried on a third of their examples, those of Hypothesis and `some`.

CI does so wherever it tries laws. The parts `laws`, `python-core` and `python-suites` of
`./dev nightly` try all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import pytest
from hypothesis import settings

_SHARE: Final = 3
_T = TypeVar("_T")
_chosen = False


def some(examples: Sequence[_T]) -> Sequence[_T]:
    """Return all of the examples or, where laws are tried on fewer, each third of them."""
    return examples[:: _SHARE if _chosen else 1]


def pytest_configure() -> None:
    """Note that this is a plugin here, and no mere import."""
    global _chosen  # noqa: PLW0603 - pytest has one for the whole process too
    _chosen = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lower what each law asks for, by itself or by the profile."""
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.obj, "hypothesis"):
            # Hypothesis has no public way to change what @settings said.
            asked = item.obj._hypothesis_internal_use_settings
            few = settings(asked, max_examples=max(1, asked.max_examples // _SHARE))
            item.obj._hypothesis_internal_use_settings = few

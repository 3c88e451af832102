"""What `tests/acceptance/test_search.py` does, over as many messages as a clinic has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.searched import SEARCHED
from tests.acceptance.test_search import find_all

MESSAGES = 100_000


@pytest.mark.acceptance
@pytest.mark.timeout(3600)  # a backend takes fifteen minutes for them where another runs beside it
@pytest.mark.parametrize("name", SEARCHED)
def test_of_many_messages_all_are_found_and_nothing_else(name: str, tmp_path: Path) -> None:
    find_all(name, tmp_path, MESSAGES)

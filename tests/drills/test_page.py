"""The page and the tests name the same drills, and run every script of the page."""

from __future__ import annotations

import re
from pathlib import Path

from tests.drills.page import drills


def test_every_drill_of_the_page_is_practised() -> None:
    text = "\n".join(one.read_text() for one in Path(__file__).parent.glob("test_*.py"))
    named = {title for title in drills() if f'"{title}"' in text}
    assert named == set(drills())
    assert max(len(one.scripts) for one in drills().values()) == 3
    assert set(re.findall(r"follow\((\d)", text)) == {"1", "2"}  # later scripts, by number

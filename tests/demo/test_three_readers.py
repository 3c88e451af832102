from __future__ import annotations

from pathlib import Path

from proxy.demo import three_readers
from proxy.demo.screen import Screen

OPEN = three_readers.RULES.replace("billing: {{mask: end}}", "billing: value, anyone: value")
SILENT = three_readers.RULES.replace("opens: all", "opens: none")


async def test_what_the_chapter_on_callers_claims_holds(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await three_readers.play(tmp_path / "usual", screen)

    assert screen.failed == []


async def test_with_rules_that_give_everybody_the_value_it_does_not(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await three_readers.play(tmp_path / "open", screen, rules=OPEN)

    assert "the clerk gets a mask that ends like it" in screen.failed
    assert "the stranger is refused" in screen.failed


async def test_without_lines_nothing_says_who_got_what(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await three_readers.play(tmp_path / "silent", screen, rules=SILENT)

    assert screen.failed == ["the audit log says who got what, and that it was delivered"]

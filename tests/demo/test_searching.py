from __future__ import annotations

from pathlib import Path

from proxy.demo import searching
from proxy.demo.screen import Screen

UNSEARCHED = searching.RULES.replace(
    "request: {search: [{select: 'query:q', field: content, match: words}]}", "query: {q: plain}"
).replace("          keep: {items: $.messages, matching: q}\n", "")


async def test_what_the_chapter_on_searches_claims_holds(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await searching.play(tmp_path / "usual", screen)

    assert screen.failed == []


async def test_with_a_rule_that_lets_the_word_pass_it_does_not(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await searching.play(tmp_path / "unsearched", screen, rules=UNSEARCHED)

    assert "what has the word is found, whatever its case" in screen.failed
    assert "the backend gets one tag, and no word" in screen.failed
    assert "the word is found nowhere outside" in screen.failed

from __future__ import annotations

from pathlib import Path

from proxy.demo import private_talk
from proxy.demo.screen import Screen
from proxy.demo.story import CONTROL_RULES


async def test_without_rules_the_chapter_on_end_to_end_does_not_hold(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)

    await private_talk.play(tmp_path / "bare", screen, rules=CONTROL_RULES)

    assert "the backend, the log and the store do not contain the message" in screen.failed
    assert "the recipient opens it with her own key, without Sealyard" in screen.failed
    assert "nothing is sealed for a revoked key, and nothing is forwarded" in screen.failed

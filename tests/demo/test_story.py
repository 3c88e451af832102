from __future__ import annotations

from pathlib import Path

from proxy.demo import story
from proxy.demo.screen import Screen
from proxy.demo.stage import stage


async def test_without_rules_the_story_does_not_hold(tmp_path: Path) -> None:
    screen = Screen(lambda _: None)
    async with stage(tmp_path / "bare", rules=story.CONTROL_RULES) as bare:
        try:
            await story.send_and_read(bare, screen)
        except ValueError:
            screen.failed.append("no token to look at")
        await story.look_for_plaintext(bare, screen)

    assert "the backend has no plaintext" in screen.failed
    assert "the message is found nowhere" in screen.failed


def test_columns_stand_beside_each_other() -> None:
    lines: list[str] = []
    Screen(lines.append).side_by_side({"one": "a\nb", "two": "c"})
    assert any(line.startswith("a") and "c" in line for line in lines)


def test_a_claim_that_does_not_hold_is_remembered() -> None:
    lines: list[str] = []
    screen = Screen(lines.append, colors=True)
    screen.claim(True, "this")  # noqa: FBT003 - a claim and whether it holds
    screen.claim(False, "that")  # noqa: FBT003 - see above
    assert screen.failed == ["that"]
    assert "FAILED" in lines[-1]

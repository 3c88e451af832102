"""The status page of the demo in a real browser: its story, its buttons, a phone, and axe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from proxy.demo import old_messages, story
from proxy.demo.acts import ACTS, Buttons
from proxy.demo.screen import Screen
from proxy.demo.stage import Stage, stage
from tests.browser.chromium import MISSING, PROGRAM, Page, chromium

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

AXE: Final = Path(__file__).parent / "axe_node" / "node_modules" / "axe-core" / "axe.min.js"
PHONE: Final = (360, 740)
CHAPTERS: Final = "[...document.querySelectorAll('#messages li')].map(one => one.innerText)"
RULES_SEEN: Final = """[...document.querySelectorAll('#rules td[data-label]')].filter((one) => {
  const box = one.getBoundingClientRect();
  return box.width > 0 && box.left >= 0 && box.right <= window.innerWidth;
}).map((one) => one.dataset.label)"""
VIOLATIONS: Final = """axe.run(document).then((told) => told.violations.map((one) =>
  one.id + ': ' + one.nodes.map((node) => node.target.join(' ')).join(', ')))"""


@asynccontextmanager
async def played(folder: Path) -> AsyncIterator[tuple[Stage, Screen]]:
    """Run the demo up to where its reader takes over, as the command does."""
    screen = Screen(lambda _: None)
    async with stage(folder / "stage", buttons=Buttons) as scene:
        await story.play(scene, screen)
        await old_messages.play(scene, screen)
        assert screen.failed == []
        scene.tap.chapter = ""
        yield scene, screen


async def opened(page: Page, scene: Stage, *, size: tuple[int, int] = (1280, 900)) -> None:
    """Open the page, once the story is over."""
    await page.open(f"http://127.0.0.1:{scene.page}/", width=size[0], height=size[1])
    await page.until("!document.getElementById('demo').hidden")
    await page.until("document.querySelectorAll('#messages li').length >= 9")
    await page.until("document.querySelectorAll('#rules tr').length === 3")


async def press(page: Page, label: str) -> str:
    """Press a button; return what the page says then."""
    button = (
        f"[...document.querySelectorAll('#d-acts button')].find(b => b.innerText === '{label}')"
    )
    await page.value("document.getElementById('d-answer').replaceChildren()")
    await page.value(f"{button}.click()")
    await page.until("document.querySelector('#d-answer li, #d-answer .bad')")
    await page.until("![...document.querySelectorAll('#d-acts button')].some(b => b.disabled)")
    told: str = await page.value("document.getElementById('d-answer').innerText")
    return told


async def test_the_story_is_there_for_whoever_opens_the_page_after_it(tmp_path: Path) -> None:
    async with played(tmp_path) as (scene, _), chromium() as page:
        await asyncio.sleep(6)  # longer than a viewer's lease of the tap
        await opened(page, scene)
        first = await page.value(CHAPTERS)
        await page.call("Page.reload")
        await page.until("document.querySelectorAll('#messages li').length >= 9")
        again = await page.value(CHAPTERS)

    assert first == again
    for title in ("1. A message", "2. A tampered token", "3. A moved token", "4. A rotation"):
        assert any(title in one for one in first), title
    tampered = next(one for one in first if "2. A tampered token" in one)
    assert "refused: open-failed" in tampered
    assert page.complaints == []


async def test_a_reader_sends_a_message_tampers_with_it_and_moves_it(tmp_path: Path) -> None:
    text = "Ferritin 12, seen by Grace"
    async with played(tmp_path) as (scene, _), chromium() as page:
        await opened(page, scene)
        labels = await page.value(
            "[...document.querySelectorAll('#d-acts button')].map(b => b.innerText)"
        )
        await page.value(f"document.getElementById('d-text').value = {json.dumps(text)}")
        sent = await press(page, "Send")
        held = [row["content"] for row in scene.backend.rows]
        await page.until(
            f"document.getElementById('messages').innerText.includes({json.dumps(text)})"
        )
        tampered, moved = await press(page, "Tamper"), await press(page, "Move")
        focus = await page.value("document.activeElement.innerText")

    assert labels == [one.label for one in ACTS.values()]
    assert "the reader gets the exact message" in sent
    assert not any(text in one for one in held)
    assert "it is refused, not shown" in tampered
    assert "it opens in no other conversation" in moved
    assert focus == "Move"
    assert "✕" not in sent + tampered + moved
    assert page.complaints == []


async def test_the_story_is_played_again(tmp_path: Path) -> None:
    async with played(tmp_path) as (scene, _), chromium() as page:
        await opened(page, scene)
        before = len(await page.value(CHAPTERS))
        for _ in range(2):
            told = await press(page, "Replay the story")
            assert "✕" not in told
            assert "the old message still opens" in told
        await page.until(f"document.querySelectorAll('#messages li').length >= {before} + 14")

    assert page.complaints == []


async def test_a_wrong_act_changes_nothing(tmp_path: Path) -> None:
    async with played(tmp_path) as (scene, _):
        rows = list(scene.backend.rows)
        url = f"http://127.0.0.1:{scene.page}/demo"
        for body in ({"act": "erase"}, {"act": "send", "text": "x" * 201}, {"text": "x"}):
            async with scene.client.post(url, json=body) as answer:
                assert answer.status == 400
        foreign = {"Origin": "http://evil.example"}
        async with scene.client.post(url, json={"act": "replay"}, headers=foreign) as answer:
            assert answer.status == 403

        assert scene.backend.rows == rows


async def test_a_page_without_a_demo_has_no_buttons(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage") as scene, chromium() as page:
        await page.open(f"http://127.0.0.1:{scene.page}/")
        await page.until("document.querySelectorAll('#rules tr').length === 3")

        assert await page.value("document.getElementById('demo').hidden") is True
        async with scene.client.post(f"http://127.0.0.1:{scene.page}/demo", json={}) as answer:
            assert answer.status == 404


async def test_on_a_phone_every_number_of_a_rule_is_seen(tmp_path: Path) -> None:
    async with played(tmp_path) as (scene, _), chromium() as page:
        await opened(page, scene, size=PHONE)
        width = await page.value("document.documentElement.scrollWidth")
        seen = await page.value(RULES_SEEN)

    assert width <= PHONE[0]
    for label in ("Messages", "Sealed", "Opened", "Plain", "Refused", "Last match"):
        assert seen.count(label) >= 2, label


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core here: `./dev test tests/browser`")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing(tmp_path: Path, scheme: str, size: tuple[int, int]) -> None:
    async with played(tmp_path) as (scene, _), chromium() as page:
        await page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        await opened(page, scene, size=size)
        await press(page, "Tamper")
        await page.value(AXE.read_text() + "\n;undefined")
        assert await page.value("axe.version") is not None

        assert await page.value(VIOLATIONS) == []


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core here: `./dev test tests/browser`")
async def test_axe_would_find_something(tmp_path: Path) -> None:
    async with played(tmp_path) as (scene, _), chromium() as page:
        await opened(page, scene)
        await page.value("document.querySelector('label[for=d-text]').remove()")
        await page.value(AXE.read_text() + "\n;undefined")

        assert any("label" in one for one in await page.value(VIOLATIONS))

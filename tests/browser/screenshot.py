"""Take the picture of the status page for the docs: `python -m tests.browser.screenshot`.

It shows the demonstration: a real sidecar before a real backend, and a chat that is made up.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from proxy.demo.stage import Stage, stage
from tests.browser.chromium import MISSING, PROGRAM, Page, chromium

ASSETS: Final = Path(__file__).parents[2] / "docs" / "assets"
_CHAT: Final = (
    ("ward-7", "ada", "Penicillin allergy confirmed"),
    ("ward-7", "grace", "Noted. I told the night shift"),
    ("ward-9", "linus", "Blood pressure 120/80, sleeping well"),
)


async def chat(scene: Stage) -> None:
    """Send and read a few messages, and one that is refused."""
    for conversation, by, text in _CHAT[:2]:
        await scene.send(conversation, text, by=by)
    await scene.post(b'{"conversationId": "ward-7"}')
    await scene.read("ward-7")
    conversation, by, text = _CHAT[2]
    await scene.send(conversation, text, by=by)


async def shown(page: Page, scene: Stage) -> None:
    """Wait until the page shows the chat and its counts."""
    await page.until("document.querySelector('#link.live')")
    await chat(scene)
    await page.until("document.querySelectorAll('#messages li').length === 5")
    await page.until("document.getElementById('n-sealed').textContent === '3'")
    await page.until("document.querySelectorAll('#sessions .due').length === 2")


async def take(folder: Path) -> None:
    """Write the pictures in the light and in the dark."""
    with tempfile.TemporaryDirectory(prefix="sealyard-page-") as place:
        async with stage(Path(place) / "stage") as scene, chromium() as page:
            await page.prefer(prefers_reduced_motion="reduce")
            await page.open(f"http://127.0.0.1:{scene.page}/", width=1200, height=1340)
            await shown(page, scene)
            await page.until("document.querySelector('#ladder .n').textContent === '4'")
            for name, scheme in (("status-page", "light"), ("status-page-dark", "dark")):
                await page.prefer(prefers_reduced_motion="reduce", prefers_color_scheme=scheme)
                await asyncio.sleep(0.3)  # for the colours to change
                await page.screenshot(folder / f"{name}.png")


def main() -> None:
    """Write them into docs/assets."""
    if PROGRAM is None:
        sys.exit(MISSING)
    asyncio.run(take(ASSETS))


if __name__ == "__main__":
    main()

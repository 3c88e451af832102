"""What a reader pastes in one go works on a slow machine, and tells why where it does not."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.pages.scene import Scene
from tests.pages.scenes import scene_of
from tests.pages.test_commands import CURL, followed

SLOW: Final = 'sleep 1; exec {program} "$@"'
PAGES: Final = ("README.md", "docs/tutorial.md")

pytestmark = pytest.mark.skipif(CURL is None, reason="no curl: ./dev packages installs it")


def pasted(scene: Scene, page: str) -> str:
    """Return all commands of a page up to its first message through Sealyard, as one text."""
    texts = [block.text for block, _ in followed(page)]
    last = next(at for at, one in enumerate(texts) if "localhost:8080/api/conversations" in one)
    return scene.reader.filled("".join(texts[: last + 1]))


@pytest.mark.parametrize("page", PAGES)
def test_a_paste_works_where_everything_starts_slowly(page: str, tmp_path: Path) -> None:
    sealyard = shutil.which("sealyard", path=str(Path(sys.executable).parent))
    with scene_of(page, tmp_path) as scene:
        scene.tool("python3", SLOW.format(program=sys.executable))
        scene.tool("sealyard", SLOW.format(program=sealyard))
        _, printed = scene.reader.shell.run(pasted(scene, page))

    assert printed.count("Penicillin allergy") >= 2
    assert '[{"conversationId"' in printed


@pytest.mark.parametrize("page", PAGES)
def test_a_paste_tells_why_nothing_serves(page: str, tmp_path: Path) -> None:
    with scene_of(page, tmp_path) as scene, socket.socket() as taken:
        taken.bind(("127.0.0.1", scene.ports["8080"]))
        taken.listen()
        _, printed = scene.reader.shell.run(
            pasted(scene, page).partition("cat sealyard.log\n")[0] + "cat sealyard.log"
        )

    assert "address already in use" in printed
    assert "has ended; its log says why" in printed


def test_what_is_tried_again_is_tried_every_second() -> None:
    """By itself curl doubles its pause: where no backend starts, nine tries last eight minutes."""
    tries = [
        line
        for page in PAGES
        for block, _ in followed(page)
        for line in block.text.splitlines()
        if "--retry " in line
    ]

    assert len(tries) == len(PAGES)
    assert not [one for one in tries if "--retry 30 --retry-delay 1 " not in one]

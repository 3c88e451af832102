"""Every command of a page runs, in its order, and prints what the page shows."""

from __future__ import annotations

import re
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

from tests.pages.blocks import COMMANDS, PAGES, ROOT, Block, blocks_of
from tests.pages.follow import Reader, Step, steps
from tests.pages.scenes import NEEDS, SCENES, scene_of
from tests.pages.shell import Shell
from tests.pages.table import is_not_run, of_the_checkout

CURL: Final = shutil.which("curl")


def followed(page: str) -> list[tuple[Block, str | None]]:
    """Return the blocks of a page that are run, and the output that is shown below each."""
    listed = [*blocks_of(ROOT / page), None]
    found: list[tuple[Block, str | None]] = []
    for block, after in pairwise(listed):
        assert block is not None
        if block.language not in COMMANDS or of_the_checkout(block):
            continue
        if not is_not_run(block):
            shown = after.text if after is not None and after.language == "text" else None
            found.append((block, shown if block.language == "sh" else None))
    return found


@pytest.mark.skipif(CURL is None, reason="no curl: ./dev packages installs it")
@pytest.mark.parametrize("page", SCENES)
def test_a_reader_of_the_page_sees_what_it_shows(page: str, tmp_path: Path) -> None:
    for program in NEEDS.get(page, ()):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}: ./dev packages installs it")
    assert followed(page)
    with scene_of(page, tmp_path) as scene:
        for block, shown in followed(page):
            began = time.monotonic()
            scene.reader.follow(block, shown)
            print(f"{block.name}: {time.monotonic() - began:.1f} s")  # noqa: T201 - `-rP` measures
        assert scene.logged() == []


def test_commands_of_the_checkout_are_some_that_it_has() -> None:
    told = (ROOT / "dev").read_text("utf-8").partition("\nHELP\n")[0]
    called = re.compile(r"\./dev ([a-z-]+)(?: (tests/[^\s:`]+))?")
    found = [one for page in PAGES for one in called.findall(page.read_text("utf-8"))]
    assert found
    for command, path in found:
        assert re.search(rf"^  {command}\b", told, re.MULTILINE), command
        assert not path or (ROOT / path).exists(), path


def test_a_page_that_shows_something_else_is_found(tmp_path: Path) -> None:
    block = Block("page.md", 1, "console", "$ echo one two\none two\n$ true\n")
    wrong = Block("page.md", 1, "console", "$ echo one two\none three\n")
    failing = Block("page.md", 1, "sh", "true\nfalse\ntrue\n")
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as shell:
        reader = Reader(shell)
        reader.follow(block)
        for one in (wrong, failing):
            with pytest.raises(AssertionError):
                reader.follow(one)


def test_what_a_page_shows_as_an_example_is_learnt_and_used(tmp_path: Path) -> None:
    block = Block("page.md", 1, "console", "$ echo kx9yz\nk7qm2\n$ echo k7qm2 1\nk7qm2 …\n")
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as shell:
        reader = Reader(shell)
        reader.follow(block)

    assert reader.values == {"k7qm2": "kx9yz"}


def test_a_script_is_split_into_its_commands() -> None:
    block = Block("page.md", 1, "sh", "a \\\n  b\nfor x in 1 2; do\n  c\ndone  # d\n")

    assert steps(block) == [
        Step("a \\\n  b", None),
        Step("for x in 1 2; do\n  c\ndone  # d", None),
    ]

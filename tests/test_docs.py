"""What the code can say and what people can type is documented, and the pages are current."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import click
import pytest

from proxy.admin.problem import BY_CODE, AdminError
from proxy.cli import main
from proxy.cli.commands import reference
from proxy.core.errors import TrafficError, traffic_errors
from proxy.core.leaves.tokens import TAGS_PATTERN
from proxy.telemetry.logs.events import EVENTS
from proxy.telemetry.metrics.table import METRICS
from tests import tree
from tests.pages.blocks import COMMANDS, DATA, OTHERS, PAGES, PROGRAMS, ROOT, Block, blocks, prose
from tests.pages.scenes import SCENES
from tests.pages.table import (
    BY_OTHERS,
    NOT_RUN,
    PAGES_NOT_RUN,
    PROGRAMS_RUN,
    is_not_run,
    of_the_checkout,
)
from tools import words
from tools.release import manual

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_generated_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == reference.PAGES[name](), (
        "run ./dev docs"
    )


def test_the_manual_pages_are_current() -> None:
    written = {one.name: one.read_text("utf-8") for one in (ROOT / "docs" / "man").glob("*.1")}

    assert written == manual.pages(), "run ./dev docs"


@pytest.mark.parametrize("error", traffic_errors(), ids=lambda error: error.code)
def test_every_error_code_is_documented(error: type[TrafficError]) -> None:
    assert f"| `{error.code}` |" in (REFERENCE / "errors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_documented(event: str) -> None:
    assert f"| `{event}` |" in (REFERENCE / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_documented(metric: str) -> None:
    assert f"| `{metric}` |" in (REFERENCE / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", BY_CODE.values(), ids=lambda error: error.code)
def test_every_error_of_the_admin_api_is_documented(error: AdminError) -> None:
    page = (REFERENCE.parent / "how-to" / "admin.md").read_text(encoding="utf-8")

    assert f"`{error.code}`" in page


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_is_documented(command: str) -> None:
    page = (REFERENCE / "commands.md").read_text(encoding="utf-8")

    assert f"## sealyard {command}\n" in page


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall("^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.strip().lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match("[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_merge_left_its_marks(page: Path) -> None:
    assert not re.search("^(<{7}|={7}|>{7})( |$)", page.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("block", list(blocks()), ids=lambda block: block.name)
def test_every_example_is_run_or_listed_with_a_reason(block: Block) -> None:
    """`tests/pages` runs them; a block of a new page goes into its tables."""
    assert block.language in {*COMMANDS, *DATA, *PROGRAMS, *OTHERS}, "a block without its language"
    places = (
        block.language in {*DATA, *OTHERS},
        block.language in COMMANDS and block.page in {**SCENES, **BY_OTHERS},
        (block.page, block.language) in PROGRAMS_RUN,
        is_not_run(block),
        block.page in PAGES_NOT_RUN,
        of_the_checkout(block),
    )
    assert any(places), "see tests/pages/table.py"


def test_no_example_is_listed_that_there_is_not() -> None:
    listed = [*blocks()]

    for page, begin in NOT_RUN:
        assert any(one.page == page and one.text.startswith(begin) for one in listed), begin
    assert PROGRAMS_RUN.keys() <= {(one.page, one.language) for one in listed}
    assert {*SCENES, *BY_OTHERS} <= {one.page for one in listed}


@pytest.mark.parametrize("page", BY_OTHERS)
def test_who_runs_the_examples_of_a_page_reads_it(page: str) -> None:
    assert Path(page).name in (ROOT / BY_OTHERS[page]).read_text("utf-8")


def test_a_tag_in_an_example_is_one() -> None:
    found = [
        one
        for page in PAGES
        for one in re.findall(r"TOKEN((?:~[A-Za-z0-9]+)+~)", page.read_text(encoding="utf-8"))
    ]
    assert found
    assert [one for one in found if not TAGS_PATTERN.fullmatch(one.encode())] == []


def test_every_decision_has_the_same_form_and_one_line_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        text = page.read_text("utf-8")
        found = re.match(
            r"# (\d{4}): (.+)\n\nDate: \d{4}-\d\d-\d\d(?:, amended [\d-]+)?\. Status: .+\.\n",
            text,
        )
        assert found, page.name
        number, title = found.groups()
        assert page.name.startswith(number)
        assert index.count(f"\n| [{number}]({page.name}) | {title} | ") == 1, page.name
        sections = re.findall("^## (.+)$", text, re.MULTILINE)
        assert sections[:3] == ["Context", "Decision", "Consequences"], page.name


def test_the_tree_of_the_architecture_page_is_the_tree() -> None:
    page = tree.PAGE.read_text("utf-8")

    assert tree.written(page) == page, "run ./dev docs"


def test_the_architecture_page_names_places_that_exist() -> None:
    named = re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)+)`", prose(tree.PAGE))
    product = ROOT / "proxy"

    missing = [
        one
        for one in named
        if not (
            (product / one).is_dir() or (product / f"{one}.py").is_file() or (ROOT / one).exists()
        )
    ]
    assert named
    assert missing == []


def test_the_pages_that_people_write_stay_short() -> None:
    """Who adds a page shortens another: `python -m tools.words` shows where the words are."""
    assert sum(words.counted().values()) <= words.MOST


def test_no_page_is_called_written_by_a_program_that_is_not_there() -> None:
    for page, program in words.WRITTEN.items():
        assert (ROOT / page).exists()
        assert importlib.util.find_spec(program) is not None

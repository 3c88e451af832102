"""The documentation site: it builds without a warning, from every page, and can be searched."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pages.blocks import PAGES, ROOT
from tests.pages.tasks import BY_QUESTION, QUESTIONS

NODE = shutil.which("node")
HERE = Path(__file__).parent
QUERIES = [one.split("\t") for one in (HERE / "queries.tsv").read_text("utf-8").splitlines()]
"""What readers type, each with the pages that answer it."""
SHOWN = 3
SPHINX = ROOT / ".venv-site" / "bin" / "sphinx-build"

pytestmark = pytest.mark.skipif(
    not SPHINX.exists(), reason="no Sphinx: `./dev test tests/site` installs it"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `./dev docs --build` does; return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command: list[str | Path] = [
        SPHINX,
        "--quiet",
        "--nitpicky",
        "--fail-on-warning",
        "--keep-going",
    ]
    places: list[str | Path] = [
        "-c",
        ROOT / "docs",
        "-b",
        "dirhtml",
        "-d",
        folder / "cache",
        ROOT,
        folder / "html",
    ]
    done = subprocess.run(  # noqa: S603 - a program of this repository's environment
        [*command, *places], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


def place(page: Path) -> Path:
    """Return where the site has a page."""
    name = page.relative_to(ROOT).with_suffix("")
    return name.parent / "index.html" if name.name == "index" else name / "index.html"


def found_in(site: Path, queries: list[str]) -> dict[str, list[str]]:
    """Return what the site's search finds for each query, the best first."""
    done = subprocess.run(  # noqa: S603 - Node.js, with a script of this folder
        [str(NODE), HERE / "search.js", site],
        input="\n".join(queries),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(queries, json.loads(done.stdout), strict=True))


def pages(places: list[str]) -> list[str]:
    """Return the pages of places, each once."""
    return list(dict.fromkeys(one.partition("#")[0] for one in places))


def test_every_page_is_on_the_site_and_in_its_navigation(site: Path) -> None:
    start = (site / "docs" / "index.html").read_text("utf-8")

    assert [one for one in PAGES if not (site / place(one)).is_file()] == []
    assert {"Reference", "Explanation", "Project"} <= set(
        re.findall(r'class="caption-text">([^<]+)<', start)
    )


def test_every_link_between_pages_leads_to_a_page(site: Path) -> None:
    broken = []
    for page in site.rglob("*.html"):
        for link in re.findall(r'href="([^"#?:]+)[#"]', page.read_text("utf-8")):
            target = (page.parent / link).resolve()
            if not (target / "index.html").is_file() and not target.is_file():
                broken.append((page, link))
    assert broken == []


def test_its_root_leads_to_the_start(site: Path) -> None:
    assert 'url=docs/"' in (site / "index.html").read_text("utf-8")


def test_it_can_be_searched(site: Path) -> None:
    index = (site / "searchindex.js").read_text("utf-8")

    assert "Share sessions over Redis" in index
    assert (site / "search" / "index.html").is_file()


@pytest.mark.skipif(NODE is None, reason="no Node.js: ./dev packages installs it")
def test_nine_of_ten_queries_show_a_wanted_page_among_the_first_three(site: Path) -> None:
    """The site's own files run in Node.js, as they run in a browser."""
    assert len(QUERIES) >= 30
    found = found_in(site, [query for query, _ in QUERIES])

    shown = {query: pages(places)[:SHOWN] for query, places in found.items()}
    missed = {
        query: shown[query]
        for query, wanted in QUERIES
        if not set(wanted.split()) & {*shown[query]}
    }
    assert len(missed) * 10 <= len(QUERIES), missed


@pytest.mark.skipif(NODE is None, reason="no Node.js: ./dev packages installs it")
def test_a_question_leads_to_the_section_that_answers_it(site: Path) -> None:
    asked = [one for one in QUESTIONS if one.page == BY_QUESTION]
    found = found_in(site, [one.typed for one in asked])
    answers = {
        one.typed: "docs/how-to/by-question#" + "-".join(re.findall(r"[a-z]+", one.section.lower()))
        for one in asked
    }

    assert len(asked) >= 5
    assert {typed: found[typed][0] for typed in answers} == answers


@pytest.mark.skipif(NODE is None, reason="no Node.js: ./dev packages installs it")
def test_a_word_that_no_page_has_hides_none(site: Path) -> None:
    found = found_in(site, ["Django", "Django quuxly", "quuxly"])

    assert pages(found["Django quuxly"])[:SHOWN] == pages(found["Django"])[:SHOWN] != []
    assert found["quuxly"] == []


def test_each_wanted_page_is_there(site: Path) -> None:
    wanted = {page for _, pages in QUERIES for page in pages.split()}

    assert {one for one in wanted if not (site / one / "index.html").is_file()} == set()

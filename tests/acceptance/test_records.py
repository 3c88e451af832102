"""The table of backends says what runs have found, and each of them has a page and a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .records import BACKENDS, FOLDER, PAGE, Record, records, written

EXAMPLES = PAGE.parents[3] / "config" / "examples"
RULES_ALONE = {"express", "laravel", "rails", "spring"}
"""Pages of frameworks: their rules are checked, and no client of theirs is run."""


def test_the_table_is_that_of_the_records() -> None:
    page = PAGE.read_text("utf-8")

    assert written(page) == page, "run ./dev docs"
    assert {one.stem for one in FOLDER.glob("*.json")} == BACKENDS.keys()


@pytest.mark.parametrize("record", records(), ids=lambda one: one.backend)
def test_a_record_has_no_plaintext_behind_sealyard(record: Record) -> None:
    assert record.plaintext_with == 0
    assert 0 < record.plaintext_without <= record.places
    assert 0 < record.passed_with <= record.checks == record.passed_without


@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("*.md")), ids=lambda one: one.stem)
def test_a_page_says_how_to_begin_what_works_and_what_a_sealed_value_costs(page: Path) -> None:
    text = page.read_text("utf-8")
    if page != PAGE:
        assert f"({page.name})" in PAGE.read_text("utf-8")
    if page.stem in RULES_ALONE:
        pytest.skip("tells of rules to begin with, of no run")

    begins = "## From nothing to the first sealed " in text
    assert begins or "(README.md#from-nothing-to-the-first-sealed-message)" in text
    assert re.search(r"(?i)what (a sealed \w+|it) costs", text)
    if page != PAGE:
        assert re.search(r"^## What (works|each of them does)$", text, re.MULTILINE)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_has_a_page_and_an_example(name: str) -> None:
    assert (PAGE.parent / BACKENDS[name].page).exists()
    assert (EXAMPLES / f"{BACKENDS[name].example or name}.yaml").exists()

from pathlib import Path
from typing import Any

import pytest

from proxy.config.declared.section import Section
from proxy.config.schema.json_schema import SECTIONS
from proxy.config.schema.reference_page import PAGE, main, page
from tests.config.builders import ROOT


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE.read_text(), "run: python -m proxy.config.schema.reference_page"


def test_the_page_stands_with_the_documentation() -> None:
    assert ROOT / "docs" / "reference" / "configuration.md" == PAGE


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.name)
def test_every_key_of_the_sections_is_on_the_page(section: Section[Any]) -> None:
    shown = page().partition(f"## {section.title}\n")[2].partition("\n## ")[0]

    assert all(f"`{key.name}`" in shown for key in section.keys)


def test_it_writes_what_it_shows(tmp_path: Path) -> None:
    main(tmp_path / "new" / "page.md")

    assert page() == (tmp_path / "new" / "page.md").read_text()

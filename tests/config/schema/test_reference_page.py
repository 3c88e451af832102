from pathlib import Path

import pytest

from proxy.config.schema.json_schema import TABLES
from proxy.config.schema.reference_page import PAGE, main, page
from proxy.config.schema.tables import Table
from tests.config.builders import ROOT


def test_the_page_is_up_to_date() -> None:
    assert page() == PAGE.read_text(), "run: python -m proxy.config.schema.reference_page"


def test_the_page_stands_with_the_documentation() -> None:
    assert ROOT / "docs" / "reference" / "configuration.md" == PAGE


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_key_of_the_tables_is_on_the_page(table: Table) -> None:
    section = page().partition(f"## {table.title}\n")[2].partition("\n## ")[0]

    assert all(f"`{key.name}`" in section for key in table.keys)


def test_it_writes_what_it_shows(tmp_path: Path) -> None:
    main(tmp_path / "new" / "page.md")

    assert page() == (tmp_path / "new" / "page.md").read_text()

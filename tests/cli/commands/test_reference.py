from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.cli.commands.reference import PAGES, commands_page, reference
from tests.pages.blocks import ROOT, blocks_of


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_written_once_and_then_current(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    first = CliRunner().invoke(reference, [str(folder)])
    written = (folder / name).read_text()
    second = CliRunner().invoke(reference, [str(folder)])

    assert name in first.stderr
    assert (second.exit_code, second.stderr) == (0, "")
    assert written == PAGES[name]()


def test_check_tells_what_is_not_current_and_writes_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(reference, [str(tmp_path), "--check"])

    assert result.exit_code == 1
    assert "errors.md is out of date" in result.stderr
    assert not list(tmp_path.iterdir())


def test_the_page_of_commands_shows_examples_as_code() -> None:
    page = commands_page()

    assert "```sh\nsealyard show version\nsealyard show version --json\n```" in page
    assert "\b" not in page


def examples() -> list[str]:
    """Return the examples of commands.md, a line each."""
    found = blocks_of(ROOT / "docs" / "reference" / "commands.md")
    return [line for one in found if one.language == "sh" for line in one.text.splitlines()]


@pytest.mark.parametrize("line", examples())
def test_an_example_names_a_command_with_options_that_it_has(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("clinic.yaml", "web.yaml"):
        Path(file).touch()
    plain = re.sub(r"\$\([^)]*\)", "x", line)
    calls = [one for one in re.split(r"\||&&", plain) if "sealyard " in one]
    assert calls
    for call in calls:
        words = shlex.split(re.split(r"[<>]", call)[0], comments=True)
        at = len(words) - words[::-1].index("sealyard")
        for name, _, value in (one.partition("=") for one in words[: at - 1] if "=" in one):
            monkeypatch.setenv(name, value)
        understood(words[at:])


def understood(words: list[str]) -> None:
    """Let click read a command line as it would before it runs it; raises UsageError."""
    command: click.Command = main
    context, name = None, "sealyard"
    while isinstance(command, click.Group):
        context = command.make_context(name, words, parent=context)
        found, other, words = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert found is not None
        assert other is not None
        name, command = found, other
    command.make_context(name, words, parent=context)


@pytest.mark.parametrize("name", [one for one in PAGES if one.endswith(".md")])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(name: str) -> None:
    tables = [block for block in PAGES[name]().split("\n\n") if block.startswith("| ")]

    assert tables
    for table in tables:
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(widths) == 1


def test_the_reference_command_is_no_command_of_the_program() -> None:
    assert isinstance(reference, click.Command)
    assert "reference.py" not in commands_page()

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proxy.cli.support.lazy import CommandPlace, LazyGroup
from proxy.core.errors import UnfitEnvironment

MODULE = """
import click
from proxy.core.errors import UnfitEnvironment

@click.command()
def fit():
    click.echo("fit")

@click.command()
def unfit():
    raise UnfitEnvironment("no-disk")

@click.command()
def other():
    pass

broken = 1
"""


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    package = tmp_path / "lazily_loaded"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "some.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazily_loaded", "lazily_loaded.some"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    places = {
        "Some": {
            "unfit": CommandPlace("some", "Fails."),
            "fit": CommandPlace("some", "Works."),
        },
        "Others": {
            "other": CommandPlace("some", "Is another."),
            "missing": CommandPlace("absent", "Has no module."),
        },
    }
    return LazyGroup("program", places=places, package="lazily_loaded")


def test_commands_come_in_the_order_of_the_table_without_those_that_are_not_there(
    group: LazyGroup,
) -> None:
    assert group.list_commands(click.Context(group)) == ["unfit", "fit", "other"]


def test_help_lists_each_heading_with_its_commands(group: LazyGroup) -> None:
    listed = CliRunner().invoke(group, ["--help"]).stdout.partition("\n\nSome:\n")[2]

    assert listed == "  unfit  Fails.\n  fit    Works.\n\nOthers:\n  other  Is another.\n"


def test_a_command_runs(group: LazyGroup) -> None:
    assert CliRunner().invoke(group, ["fit"]).stdout == "fit\n"


@pytest.mark.parametrize("name", ["missing", "unknown"])
def test_what_is_not_there_is_wrong_usage(group: LazyGroup, name: str) -> None:
    assert CliRunner().invoke(group, [name]).exit_code == 2


def test_a_mistake_in_the_table_is_seen(group: LazyGroup) -> None:
    group.places["broken"] = CommandPlace("some", "Is no command.")

    with pytest.raises(TypeError, match="not a click command"):
        group.get_command(click.Context(group), "broken")


def test_an_error_of_sealyard_is_one_line_and_an_exit_code(group: LazyGroup) -> None:
    result = CliRunner().invoke(group, ["unfit"])

    assert result.stderr == f"error: {UnfitEnvironment.title[:-1]}: no-disk\n"
    assert (result.exit_code, result.stdout) == (3, "")

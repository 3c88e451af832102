from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import cleandoc

import click
import pytest

from proxy import __version__
from proxy.cli import COMMANDS, main

from .conftest import Run


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Return every command of the tree with its path, the groups too."""
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            member = command.get_command(context, name)
            assert member is not None
            yield from commands(member, click.Context(member, info_name=name, parent=context))


ALL = dict(commands(main, click.Context(main, info_name=main.name)))


@pytest.mark.parametrize("path", ALL)
def test_help_opens_with_two_examples(path: str) -> None:
    _, examples, *_ = cleandoc(ALL[path].help or "").split("\n\n")

    lines = examples.split("\n")
    assert lines[0] == "\b"
    assert len(lines) == 3
    # An example of a group is one of its members; `... | sealyard` and $(...) are examples too.
    assert all("sealyard" in line for line in lines[1:])


NUMBERS = [
    (path, option)
    for path, command in ALL.items()
    for option in command.params
    if isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
    and not getattr(option, "hidden", False)
]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", f"1{'0' * 30}"])
def test_no_number_of_a_command_is_beyond_its_bounds(text: str) -> None:
    assert len(NUMBERS) > 30
    for path, option in NUMBERS:
        assert isinstance(option, click.Option), path
        with pytest.raises(click.BadParameter, match=r"in the range|is not a valid integer"):
            option.type.convert(text, option, click.Context(ALL[path]))


@pytest.mark.parametrize(
    "line", [["show", "version"], ["show", "version", "--help"], ["inspect", "--help"]]
)
def test_a_light_command_imports_nothing_heavy(line: list[str]) -> None:
    script = (
        "import sys, json; from proxy.cli import main;"
        f"main({line!r}, standalone_mode=False);"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    heavy = {"aiohttp", "asyncio", "joserfc", "structlog", "uvloop", "yaml", "httptools"}
    assert not loaded & heavy


def test_the_list_of_commands_imports_none_of_them() -> None:
    script = (
        "import sys; from proxy.cli import main;"
        "main(['--help'], standalone_mode=False);"
        "print([m for m in sys.modules if m.startswith('proxy.cli.commands.')])"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script that stands above
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_the_commands_that_are_there(run: Run) -> None:
    text = run("--help").stdout

    listed = re.findall(r"^  ([a-z-]+) +(\S.*)$", text.partition("\nRun:\n")[2], re.MULTILINE)
    assert listed == [(name, one.summary) for name, one in main.places.items() if one.listed]
    assert [one for one in COMMANDS if f"\n{one}:\n" in text] == [*COMMANDS]


def test_help_has_few_names_in_five_groups() -> None:
    assert len(COMMANDS) <= 5
    listed = [one for each in COMMANDS.values() for one in each.values() if one.listed]
    assert len(listed) <= 23


def test_a_command_that_does_not_exist_is_wrong_usage(run: Run) -> None:
    run("nothing", status=2)


def test_python_m_proxy_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == f"sealyard {__version__}\n"


def test_usage_names_the_program(run: Run) -> None:
    assert run("show", "version", "--help").stdout.startswith("Usage: sealyard show version")

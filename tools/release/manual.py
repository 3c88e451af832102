"""Makes the manual pages of the commands: `python -m tools.release.manual docs/man` writes them.

One page for `sealyard`, and one for each command, with its subcommands. A page has no date, so that
it changes only with the command.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from proxy.cli import COMMANDS, main
from proxy.cli.commands.reference import walk
from proxy.cli.policy import ExitCode

_FILES = (
    ("sealyard.yaml", "the configuration, where --config and SEALYARD_CONFIG name no other"),
    ("keyring.jwe", "the keyring that `sealyard init` makes"),
)
_EXIT = tuple((str(int(one)), one.meaning) for one in ExitCode)


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    context = click.Context(main, info_name="sealyard")
    made = {"sealyard.1": _start(context)}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        if command is not None:
            made[f"sealyard-{name}.1"] = _of_command(name, command, context)
    return made


def _start(context: click.Context) -> str:
    listed = [
        line
        for heading, places in COMMANDS.items()
        for line in (
            f".SS {_text(heading)}",
            *(
                each
                for name, place in places.items()
                for each in (".TP", f".BR sealyard-{name} (1)", _text(place.summary))
            ),
        )
    ]
    body = [
        *_head("sealyard", "an encryption sidecar for HTTP message backends"),
        ".SH SYNOPSIS",
        *_usage(main, context),
        ".SH DESCRIPTION",
        *_prose(cleandoc(main.help or "")),
        ".SH COMMANDS",
        *listed,
    ]
    return "\n".join((*body, *_end())) + "\n"


def _of_command(name: str, command: click.Command, parent: click.Context) -> str:
    all_of = list(walk(command, click.Context(command, info_name=name, parent=parent)))
    lines = [*_head(f"sealyard-{name}", main.places[name].summary.rstrip(".")), ".SH SYNOPSIS"]
    for one, context in all_of:
        lines += [*_usage(one, context), ".br"]
    lines += [".SH DESCRIPTION", *_prose(cleandoc(command.help or ""))]
    lines += _options(".SH OPTIONS", *all_of[0])
    for one, context in all_of[1:]:
        lines += [f".SH {_text(context.command_path.upper())}", *_prose(cleandoc(one.help or ""))]
        lines += _options(".SS Options", one, context)
    return "\n".join((*lines, *_end())) + "\n"


def _head(name: str, about: str) -> Iterator[str]:
    yield f'.TH "{name.upper()}" "1" "" "Sealyard" "Sealyard"'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(about)}"


def _end() -> Iterator[str]:
    for title, rows in (("EXIT STATUS", _EXIT), ("FILES", _FILES)):
        yield f".SH {title}"
        for name, meaning in rows:
            yield from (".TP", f".B {_text(name)}", _text(meaning))


def _usage(command: click.Command, context: click.Context) -> Iterator[str]:
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".B {_text(context.command_path)}"
    yield _text(pieces)


def _options(title: str, command: click.Command, context: click.Context) -> Iterator[str]:
    records = [one.get_help_record(context) for one in command.params]
    found = [record for record in records if record is not None]
    if found:
        yield title
    for option, meaning in found:
        yield from (".TP", f".B {_text(option)}", _text(meaning))


def _prose(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from (".PP", ".EX", *map(_text, paragraph[2:].splitlines()), ".EE")
        else:
            yield from (".PP", _text(paragraph.replace("\n", " ")))


def _text(text: str) -> str:
    """Return text in which troff reads no command."""
    told = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"^([.'])", r"\\&\1", " ".join(told.splitlines()))


def write(folder: Path) -> None:
    """Write all pages into the folder, and remove those of commands that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob("*.1"):
        if old.name not in made:
            old.unlink()
    for name, page in made.items():
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""What all commands share: exit codes, the way to print, and options of one spelling."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from .failure import ENVIRONMENT, NEGATIVE, OK, USAGE, Failure, printable

__all__ = [
    "ENVIRONMENT",
    "NEGATIVE",
    "OK",
    "USAGE",
    "Failure",
    "as_json",
    "config_option",
    "print_json",
    "printable",
    "read_argument",
    "say",
]

STDIN: Final = "-"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="SEALYARD_CONFIG",
    metavar="FILE",
    help="The configuration; unless given, $SEALYARD_CONFIG or the first of the usual places.",
)


def say(text: str) -> None:
    """Write talk, which is not the result, to stderr."""
    click.echo(printable(text), err=True)


def print_json(value: Any) -> None:  # noqa: ANN401 - anything that JSON holds
    """Write a result to stdout as JSON, one line, in ASCII."""
    click.echo(json.dumps(value))


def read_argument(argument: str, *, limit: int) -> bytes:
    """Return an argument's bytes, or those of stdin for `-`, without the line's end.

    Raises a usage error above `limit` bytes.
    """
    if argument == STDIN:
        data = sys.stdin.buffer.read(limit + 3)
    else:
        data = argument.encode("utf-8", "surrogateescape")
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > limit:
        raise click.UsageError(f"more than {limit} bytes were given")
    return data

"""What all commands share: exit codes, the way to print, and options of one spelling."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from ...config.load import find, load
from ...config.settings import Loaded
from ...core.errors import ConfigurationError
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


yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def ask(*shown: str) -> None:
    """Show what is about to be done and what depends on it; return where it is meant.

    Raises a usage error where nobody is there to be asked, Failure where the answer is no.
    """
    for line in shown:
        say(line)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("nobody is at a terminal to be asked whether to do it: give --yes")
    if not click.confirm("Do it?", default=False, err=True):
        raise Failure("nothing was done", NEGATIVE)


def utc(at: int) -> str:
    """Return the time `at` (seconds since 1970) as `2026-11-24T18:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def seconds(text: str) -> int:
    """Return such a time, which names its offset, as seconds since 1970, rounded down.

    Raises a usage error for anything else.
    """
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        said = None
    if said is None or said.tzinfo is None:
        raise click.UsageError(f"{text}: write a time as 2026-11-24T18:00:00Z")
    return int(said.timestamp())


def load_configuration(chosen: Path | None) -> Loaded:
    """Return the configuration that `--config` names, or else the first of the usual places.

    Raises ConfigurationError, which tells every mistake at once.
    """
    return load(find(chosen, os.environ, Path.cwd()), os.environ)


def configuration_if_any(chosen: Path | None) -> Loaded | None:
    """Return the configuration as `load_configuration` does, or None where there is no file."""
    try:
        path = find(chosen, os.environ, Path.cwd())
    except ConfigurationError:
        return None
    return load(path, os.environ)

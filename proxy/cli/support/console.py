"""How a command talks and ends: exit codes, failures, printing, asking, and times.

Every command imports it, the light ones too, so it imports nothing heavy.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any, Final

import click

from ...core.errors import (
    InternalError,
    InvalidExpression,
    KeyUnavailable,
    OperatorError,
    SealyardError,
)
from ...telemetry.logs import code_location

OK: Final = 0
NEGATIVE: Final = 1
USAGE: Final = 2
ENVIRONMENT: Final = 3


class Failure(click.ClickException):
    """Ends the command with `error: message` on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance too

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message; nothing in it can steer a terminal."""
        click.echo(f"error: {printable(self.message)}", file=file, err=file is None)


def exit_code(error: SealyardError) -> int:
    """Return 2 for a mistake in an argument, 3 for files and the machine, 1 for a plain no."""
    if isinstance(error, InvalidExpression):
        return USAGE
    if isinstance(error, OperatorError | KeyUnavailable | InternalError):
        return ENVIRONMENT
    return NEGATIVE


def message(error: SealyardError) -> str:
    """Return `title: reason: detail`, without what would only repeat the code.

    Several problems, one a line, follow the title on lines of their own.
    """
    parts = [error.title.removesuffix(".")]
    if error.reason != error.code:
        parts.append(error.reason)
    if error.detail:
        parts.append("\n" + error.detail if "\n" in error.detail else error.detail)
    return ": ".join(parts).replace(": \n", ":\n")


def printable(text: str) -> str:
    """Return the text with every character escaped that could steer a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a command raises into a Failure; click's own exceptions pass."""
    try:
        yield
    except SealyardError as error:
        raise Failure(message(error), exit_code(error)) from None
    except OSError as error:
        if error.errno == errno.EPIPE:  # click ends quietly when the reader of stdout has gone
            raise
        named = f"{error.filename}: " if error.filename is not None else ""
        raise Failure(
            f"{named}{error.strerror or code_location.name(error)}", ENVIRONMENT
        ) from None
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - a traceback would print the text, and values in it
        where = f"{code_location.name(error)} at {code_location.raised_at(error.__traceback__)}"
        raise Failure(f"Sealyard has a mistake: {where}: report it", ENVIRONMENT) from None


STDIN: Final = "-"

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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


def parse_time(text: str) -> int:
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

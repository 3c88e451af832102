"""How a command talks and ends: exit codes, failures, printing, asking, and times.

Every command imports it, the light ones too, so it imports nothing heavy.
"""

from __future__ import annotations

import errno
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

import click

from ...core.errors import (
    InternalError,
    InvalidExpression,
    KeyUnavailable,
    NotErasable,
    OperatorError,
    SealyardError,
)
from ...telemetry.logs import code_location
from ..policy import MOST_COUNTED, ExitCode

_CURES: Final = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EISDIR: "name a file in it",
    errno.EACCES: "check its rights",
    errno.EPERM: "check its rights",
    errno.ENOSPC: "free the disk",
    errno.EROFS: "name a folder that can be written",
}
"""What to do about an error of the system, by its number."""


class Failure(click.ClickException):
    """Ends a command with `error: message` on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = ExitCode.NEGATIVE) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # click reads it from the instance too

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message; nothing in it can steer a terminal."""
        click.echo(f"error: {printable(self.message)}", file=file, err=file is None)


def exit_code(error: SealyardError) -> ExitCode:
    """Return how a command ends that raises the error."""
    if isinstance(error, InvalidExpression):
        return ExitCode.USAGE
    if isinstance(error, NotErasable):
        return ExitCode.NEGATIVE
    if isinstance(error, OperatorError | KeyUnavailable | InternalError):
        return ExitCode.ENVIRONMENT
    return ExitCode.NEGATIVE


def message(error: SealyardError) -> str:
    """Return `title: reason: detail`, without a reason that only repeats the code.

    Several problems follow the title on lines of their own.
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
        cure = f"; {_CURES[error.errno]}" if error.errno in _CURES else ""
        raise Failure(
            f"{named}{error.strerror or code_location.name(error)}{cure}", ExitCode.ENVIRONMENT
        ) from None
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - a traceback would print the text, and values in it
        where = f"{code_location.name(error)} at {code_location.raised_at(error.__traceback__)}"
        raise Failure(
            f"defect in Sealyard: {where}: please report it", ExitCode.ENVIRONMENT
        ) from None


STDIN: Final = "-"
COUNT: Final = click.IntRange(1, MOST_COUNTED)
FILE: Final = click.Path(dir_okay=False, path_type=Path)
"""The type of an option that names a file."""


class Number(click.FloatRange):
    """The type of an option that is a number between two bounds; click alone lets `nan` pass."""

    def convert(self, value: Any, *rest: Any) -> float:  # noqa: ANN401 - as click has it
        """Return the number; raise BadParameter for any other."""
        found: float = super().convert(value, *rest)
        if found != found:  # noqa: PLR0124 - so is `nan` alone
            self.fail(f"{value} is not in the range {self._describe_range()}.", *rest)
        return found


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def say(text: str) -> None:
    """Write a message, which is not the result, to stderr."""
    click.echo(printable(text), err=True)


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write a result to stdout as JSON, one line, in ASCII."""
    click.echo(json.dumps(value))


def answer(value: Any, lines: Iterable[str], *, as_json: bool) -> None:  # noqa: ANN401 - any JSON value
    """Write a result to stdout: `value` as JSON, or the lines for a person."""
    if as_json:
        print_json(value)
        return
    for line in lines:
        click.echo(printable(line))


def read_argument(argument: str, *, limit: int) -> bytes:
    """Return an argument's bytes, or those of stdin for `-`, without the line end.

    Raises a usage error above `limit` bytes.
    """
    if argument == STDIN:
        data = sys.stdin.buffer.read(limit + 3)
    else:
        data = argument.encode("utf-8", "surrogateescape")
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) > limit:
        raise click.UsageError(f"the input is longer than {limit} bytes")
    return data


yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def ask(*shown: str) -> None:
    """Show what is about to be done and what depends on it; return when it is confirmed.

    Raises a usage error without a terminal, Failure when the answer is no.
    """
    for line in shown:
        say(line)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("confirmation needs a terminal; give --yes to skip it")
    if not click.confirm("Continue?", default=False, err=True):
        raise Failure("not confirmed, nothing changed")


def utc(at: int) -> str:
    """Return the time `at` (seconds since 1970) in RFC 3339, as `2026-11-24T18:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def parse_time(text: str) -> float:
    """Return a time in RFC 3339, with its offset, as seconds since 1970.

    Raises a usage error for anything else.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise click.UsageError(f"`{text}` is not a time; write one such as 2026-11-24T18:00:00Z")
    return parsed.timestamp()

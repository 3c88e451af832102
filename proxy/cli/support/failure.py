"""How a command ends when it cannot do what it was asked: one line on stderr and an exit code."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
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

"""The file of a receipt: it is there before that is destroyed which cannot be destroyed twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from . import console


@contextmanager
def reserved(path: Path | None) -> Iterator[TextIO | None]:
    """Create the file, if one is wanted; remove it again if what follows raises.

    Raises Failure where it exists, OSError where it cannot be created.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("x")
    except FileExistsError:
        raise console.Failure(f"{path} already exists", console.ENVIRONMENT) from None
    try:
        yield file
    except BaseException:
        file.close()
        path.unlink(missing_ok=True)
        raise


def give(shown: str, receipt: str, file: TextIO | None) -> str:
    """Print `shown`, which has the receipt, then write the receipt to the reserved file.

    Each is done though the other one fails: there is no second receipt. Returns what to end the
    command with where the file could not be written, else an empty text.
    """
    problem = ""
    try:
        click.echo(shown)
    finally:
        if file is not None:
            try:
                with file:
                    file.write(receipt + "\n")
            except OSError as error:
                problem = f"{file.name}: {error.strerror}: the receipt was printed alone"
    return problem

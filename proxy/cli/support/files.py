"""What commands read and write beside the keyring: stored tokens, signed reports, receipts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ...core.crypto.token import BASE64_MARK
from ...keys.keyring.keyring import Keyring
from ..policy import REPORT_BYTES, ExitCode
from . import console

if TYPE_CHECKING:
    from ...migration.report import SignedReport


def read_token(argument: str, *, limit: int) -> bytes:
    """Return an argument's bytes, or those of stdin for `-`, without white space around a text.

    Raises a usage error above `limit` bytes.
    """
    if argument != console.STDIN:
        return console.read_argument(argument, limit=limit).strip()
    data = sys.stdin.buffer.read(limit + 1)
    if not data.startswith(BASE64_MARK):
        data = data.strip()
    if len(data) > limit:
        raise click.UsageError(f"the input is longer than {limit} bytes")
    return data


def read_report(file: Path, keyring: Keyring) -> SignedReport:
    """Return a report of `migrate`; raise Failure unless this keyring has signed it."""
    from ...migration.report import verified  # noqa: PLC0415 - few commands read one

    with file.open("rb") as opened:
        said = verified(opened.read(REPORT_BYTES), keyring.record_key)
    if said is None:
        raise console.Failure(f"{file}: not signed with this keyring")
    return said


@contextmanager
def reserve_receipt(path: Path | None) -> Iterator[TextIO | None]:
    """Create the file of a receipt, if one is wanted; remove it again if what follows raises.

    It is there before that is destroyed which cannot be destroyed twice. Raises Failure where it
    exists, OSError where it cannot be created.
    """
    if path is None:
        yield None
        return
    try:
        file = path.open("x")
    except FileExistsError:
        raise console.Failure(f"{path} already exists", ExitCode.ENVIRONMENT) from None
    try:
        yield file
    except BaseException:
        file.close()
        path.unlink(missing_ok=True)
        raise


def give_receipt(shown: str, receipt: str, file: TextIO | None) -> str:
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

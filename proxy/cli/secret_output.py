"""Where a secret that a command was asked for goes: to a private file, a terminal or a pipe.

A shell makes the file of `>` as the umask says, for most people readable by everybody, before the
command begins. So a secret is not written into such a file.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

import click

from ..keys import private_file
from . import base
from .keyring_place import FILE

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

output_option = click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="Write it to this new file (mode 0600) instead of stdout.",
)


def require_private(output: Path | None) -> None:
    """Raise Failure where a secret must not be written to; ask before it is there.

    That is a file that exists, or, without `output`, a stdout that is a file which others may use.
    """
    if output is not None:
        if output.exists() or output.is_symlink():
            raise base.Failure(f"{output}: exists already", base.ENVIRONMENT)
        return
    try:
        status = os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return  # no file at all
    if stat.S_ISREG(status.st_mode) and status.st_mode & _OTHERS:
        raise base.Failure(
            f"stdout is a file of mode {stat.S_IMODE(status.st_mode):04o}, which others may read:"
            " give --output FILE, which makes it for you alone",
            base.ENVIRONMENT,
        )


def write(text: str, output: Path | None) -> None:
    """Write a secret and a line end to where `require_private` has agreed to."""
    if output is None:
        click.echo(text)
    else:
        private_file.write(output, text.encode() + b"\n")
        base.say(f"wrote {output}")

"""The option of commands that ask the API server of their cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ...process.kubernetes_api import ACCOUNT

account_option: Final = click.option(
    "--service-account",
    "account",
    type=click.Path(file_okay=False, path_type=Path),
    default=ACCOUNT,
    show_default=True,
    metavar="FOLDER",
    help="The token for the API server, and its CA: `token` and `ca.crt`.",
)

"""A stored token, as commands read it: its text, or the bytes that a backend decoded from it."""

from __future__ import annotations

import sys

import click

from ...core.crypto.token import BASE64_MARK
from . import console


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

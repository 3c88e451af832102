"""Points in time as people write and read them: ISO 8601, in UTC."""

from __future__ import annotations

import time
from datetime import datetime

import click


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

"""What the code of a failed migration means, and what to do.

Texts of databases are not shown: they may hold values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ...core.errors import MigrationFailed

_CODE: Final = re.compile(r"(?:record \d+: )?(?P<code>[^:]+)")


@contextmanager
def in_words() -> Iterator[None]:
    """Give a failed migration that has only a code what it means and what to do."""
    try:
        yield
    except MigrationFailed as failed:
        code = _CODE.match(failed.reason)
        words = _words().get(code["code"], "") if code is not None else ""
        raise MigrationFailed(failed.reason, detail=failed.detail or words) from None


def _words() -> dict[str, str]:
    text = Path(__file__).with_name("migration_words.tsv").read_text("utf-8")
    return dict(line.split("\t") for line in text.splitlines())

"""aiohttp without what a sidecar has no use for: its client, and a list that is made in C++."""

from __future__ import annotations

import sys
from typing import Final

from .deferred import defer

# Its other form, in Python, is as good for the handlers and middlewares of an application, which is
# all that aiohttp's server keeps in such lists. Alone among all, this one loads libstdc++.
_EXTENSION: Final = "frozenlist._frozenlist"


def lean_aiohttp() -> None:
    """Spare the process some six megabytes; called before aiohttp is imported for the first time.

    Does nothing where it has been imported.
    """
    defer("aiohttp")
    # None there means that there is no such module (the import system, section 5.3.1).
    sys.modules.setdefault(_EXTENSION, None)  # type: ignore[arg-type]  # typeshed knows no None

"""The name of a host, as Host headers and targets in absolute-form spell it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
_HIGHEST_PORT: Final = 65535


@lru_cache(maxsize=1024)
def is_authority(text: bytes) -> bool:
    """Return whether `text` is `uri-host[:port]`, without userinfo and with a port that exists."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    port = match.group(1)
    return port is None or 0 < int(port) <= _HIGHEST_PORT

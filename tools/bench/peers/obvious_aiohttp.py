"""The obvious proxy on aiohttp: with asyncio's own loop, as people write it, and on uvloop."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Final

from .base import SEALING, Peer, Place

_WORKS: Final = SEALING | {"pass", "events", "websocket"}


def _with(*options: str) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        module = [sys.executable, "-P", "-m", "tools.bench.peers.obvious"]
        return [*module, str(place.port), str(place.backend), *options]

    return prepare


def _version(*names: str) -> str:
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiohttp", *names))
    return f"{packages}, Python {platform.python_version()}"


PEERS: Final = (
    Peer("obvious aiohttp", _WORKS, lambda: None, lambda: _version("orjson"), _with()),
    Peer(
        "obvious aiohttp, uvloop",
        _WORKS,
        lambda: None,
        lambda: _version("orjson", "uvloop"),
        _with("--uvloop"),
    ),
)

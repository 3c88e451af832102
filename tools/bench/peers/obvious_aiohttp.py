"""The obvious proxy on aiohttp: as people write it, on uvloop, and with TLS."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Final

from .base import SEALING, SHAPES, Peer, Place, certificate

NAME: Final = "obvious aiohttp"
TLS: Final = "obvious aiohttp, TLS"
_WORKS: Final = SEALING | {"pass", "events", "websocket"}


def _with(*options: str, tls: bool = False) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        module = [sys.executable, "-P", "-m", "tools.bench.peers.obvious"]
        files = ("--tls", *map(str, certificate(place.folder))) if tls else ()
        return [*module, str(place.port), str(place.backend), *options, *files]

    return prepare


def _version(*names: str) -> str:
    packages = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiohttp", *names))
    return f"{packages}, Python {platform.python_version()}"


PEERS: Final = (
    Peer(NAME, _WORKS | SHAPES, lambda: None, lambda: _version("orjson"), _with()),
    Peer(
        "obvious aiohttp, uvloop",
        _WORKS,
        lambda: None,
        lambda: _version("orjson", "uvloop"),
        _with("--uvloop"),
    ),
    Peer(
        TLS,
        frozenset({"chat", "chat_close_1"}),
        lambda: None,
        lambda: _version("orjson"),
        _with(tls=True),
        tls=True,
    ),
)

"""Sealyard itself: in both forms, without its line per message, with Redis, and with TLS."""

from __future__ import annotations

import compileall
import functools
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final

import proxy
from proxy import __version__

from .. import delayed
from ..absent import AS_INSTALLED
from ..ports import free_port
from .base import PASSING, SEALING, SHAPES, Peer, Place, certificate, fill, needs, said

NAME: Final = "Sealyard"
PYTHON: Final = "Sealyard, Python only"
UNLOGGED: Final = "Sealyard, no line per message"
REDIS: Final = "Sealyard, Redis"
TLS: Final = "Sealyard, TLS"
_WORKS: Final = PASSING | SEALING | SHAPES | {"tokens", "events", "websocket"}
_PYTHON_ONLY: Final = {**AS_INSTALLED, "SEALYARD_NATIVE": "0"}
_NATIVE: Final = {**AS_INSTALLED, "SEALYARD_NATIVE": "1"}
_REDIS_VERSION: Final = r" v=(\S+)"
_FOUND: Final = "from proxy.core.leaves import NATIVE; print(NATIVE)"


@functools.cache
def _native() -> str:
    """Return the version of the native part that Sealyard would use here; empty without."""
    command = [sys.executable, "-P", "-c", _FOUND]
    environment = {**os.environ, **_NATIVE}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _not_built() -> str | None:
    return None if _native() else "its native part is not built"


def _native_version() -> str:
    return f"{version()}, sealyard-native {_native()}"


def version() -> str:
    """Return what Sealyard and what it stands on are."""
    packages = ("aiohttp", "cryptography", "uvloop")
    stands_on = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return f"Sealyard {__version__}, {stands_on}, Python {platform.python_version()}"


def prepare_keys(place: Place) -> None:
    """Write a keyring, its root key and an admin token, as `sealyard init` does."""
    if not (place.folder / "keyring.jwe").exists():
        command = [sys.executable, "-P", "-m", "proxy", "init", str(place.folder)]
        subprocess.run(command, check=True, capture_output=True)


def serving(
    place: Place, *options: str, module: str = "proxy", name: str = "sealyard.yaml"
) -> list[str]:
    """Return the command that serves the configuration of that name in the folder."""
    configuration = str(place.folder / name)
    return [sys.executable, "-P", "-m", module, "serve", "--config", configuration, *options]


@functools.cache
def _compile() -> None:
    """Compile the code, as whatever installs it does: else each process does so by itself.

    That takes five more MiB, and longer to start, where Python is told to write no bytecode.
    """
    compileall.compile_dir(Path(proxy.__file__).parent, quiet=1)


def _with(
    module: str = "proxy", *, redis: bool = False, tls: bool = False
) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        _compile()
        prepare_keys(place)
        store = f"redis://127.0.0.1:{place.store}/0" if redis else "memory"
        files = "\n    tls: {{cert: {}, key: {}}}".format(*certificate(place.folder)) if tls else ""
        fill("sealyard.yaml", place, admin=str(free_port()), store=store, tls=files)
        return serving(place, module=module)

    return prepare


FORMS: Final = (
    Peer(NAME, _WORKS, _not_built, _native_version, _with(), environment=_NATIVE),
    Peer(PYTHON, _WORKS, lambda: None, version, _with(), environment=_PYTHON_ONLY),
)
PEERS: Final = (
    *FORMS,
    Peer(
        UNLOGGED,
        frozenset({"pass", "seal"}),
        lambda: None,
        version,
        _with("tools.bench.unlogged"),
        environment=AS_INSTALLED,
    ),
    Peer(
        REDIS,
        frozenset({"chat", "chat_new"}),
        lambda: _not_built() or needs("redis-server"),
        lambda: f"{_native_version()}, Redis {said(_REDIS_VERSION, 'redis-server', '--version')}",
        _with(redis=True),
        environment=_NATIVE,
        beside=delayed.redis,
    ),
    Peer(
        TLS,
        frozenset({"chat", "chat_close_1"}),
        _not_built,
        _native_version,
        _with(tls=True),
        environment=_NATIVE,
        tls=True,
    ),
)
OURS: Final = frozenset(peer.name for peer in PEERS if peer.name != UNLOGGED)
"""Those that others are compared with: of each case the first that takes part."""

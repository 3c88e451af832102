"""Envoy, passing through with one worker; `./dev bench` installs it apart from all else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .base import PASSING, ROOT, Peer, Place, fill, said

_PACKAGES: Final = ROOT / ".venv-envoy" / "lib"


def _binary() -> str | None:
    return next((str(path) for path in _PACKAGES.glob("*/site-packages/envoy/_bin/envoy")), None)


def _absent() -> str | None:
    return None if _binary() else ".venv-envoy is not set up: ./dev bench does it"


def _version() -> str:
    return "Envoy " + said(r"/(\d+\.\d+\.\d+)/", _binary() or "", "--version")


def serving(configuration: Path) -> list[str]:
    """Return the command that serves a configuration."""
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [_binary() or "", "-c", str(configuration), *options]


def _prepare(place: Place) -> list[str]:
    return serving(fill("envoy.yaml", place))


PEERS: Final = (Peer("Envoy", PASSING, _absent, _version, _prepare),)

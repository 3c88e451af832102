"""Envoy with one worker, passing through, and sealing in Lua; `./dev bench` installs it apart."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .base import PASSING, ROOT, SEALING, Peer, Place, fill, needs, said

_PACKAGES: Final = ROOT / ".venv-envoy" / "lib"
_DKJSON: Final = "/usr/share/lua/5.1/dkjson.lua"


def _binary() -> str | None:
    return next((str(path) for path in _PACKAGES.glob("*/site-packages/envoy/_bin/envoy")), None)


def _absent() -> str | None:
    return None if _binary() else ".venv-envoy is not set up: ./dev bench does it"


def _version() -> str:
    return "Envoy " + said(r"/(\d+\.\d+\.\d+)/", _binary() or "", "--version")


def _lua_version() -> str:
    package = said(r"(.+)", "dpkg-query", "-W", "-f", "${Version}", "lua-dkjson")
    return f"{_version()}, dkjson {package}"


def serving(configuration: Path) -> list[str]:
    """Return the command that serves a configuration."""
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [_binary() or "", "-c", str(configuration), *options]


def _prepare(place: Place) -> list[str]:
    return serving(fill("envoy.yaml", place))


def _prepare_lua(place: Place) -> list[str]:
    for what in ("field", "body", "list"):
        script = fill("envoy_messages.lua", place, dkjson=_DKJSON, what=what)
        script.rename(place.folder / f"{what}.lua")
    return serving(fill("envoy_lua.yaml", place))


PEERS: Final = (
    Peer("Envoy", PASSING, _absent, _version, _prepare),
    Peer(
        "Envoy + Lua + OpenSSL",
        SEALING,
        lambda: _absent() or needs(_DKJSON),
        _lua_version,
        _prepare_lua,
    ),
)

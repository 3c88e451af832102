"""nginx: passing through, sealing in Lua with OpenSSL, and sealing in njs with its WebCrypto."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from .base import PASSING, SEALING, SHAPES, Peer, Place, certificate, fill, needs, said

_MODULES: Final = Path("/usr/lib/nginx/modules")
_LUA: Final = _MODULES / "ngx_http_lua_module.so"
_NJS: Final = _MODULES / "ngx_http_js_module.so"
_TOO_LARGE: Final = frozenset({"seal_1m", "seal_8m", "list_16m"})
"""What takes njs more than a minute."""
_TLS_FILES: Final = "ssl_certificate {}; ssl_certificate_key {};"
_CJSON: Final = Path("/usr/share/lua/5.1/cjson")


def _with(template: str, **more: str) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        return ["nginx", "-p", str(place.folder), "-c", str(fill(template, place, **more))]

    return prepare


def _version() -> str:
    return "nginx " + said(r"nginx/(\S+)", "nginx", "-v")


def _package(name: str) -> str:
    version = said(r"(.+)", "dpkg-query", "-W", "-f", "${Version}", name)
    return f"{name} {version}"


def _with_lua(name: str, alphabet: str, works: frozenset[str], *, tls: bool = False) -> Peer:
    def prepare(place: Place) -> list[str]:
        files = _TLS_FILES.format(*certificate(place.folder)) if tls else ""
        return _with("nginx_lua.conf", alphabet=alphabet, ssl=" ssl" * tls, tls=files)(place)

    return Peer(
        name,
        works,
        lambda: needs("nginx", str(_LUA), str(_CJSON)),
        lambda: f"{_version()}, {_package('libnginx-mod-http-lua')}",
        prepare,
        tls=tls,
    )


LUA: Final = "nginx + Lua + OpenSSL"
LUA_TLS: Final = "nginx + Lua + OpenSSL, TLS"
PEERS: Final = (
    Peer("nginx", PASSING, lambda: needs("nginx"), _version, _with("nginx.conf")),
    _with_lua(LUA, "base64", SEALING | SHAPES | {"events"}),
    _with_lua("nginx + Lua, URL-safe", "urlsafe", SEALING | {"events"}),
    _with_lua(LUA_TLS, "base64", frozenset({"chat", "chat_close_1"}), tls=True),
    Peer(
        "nginx + njs",
        SEALING - _TOO_LARGE,
        lambda: needs("nginx", str(_NJS)),
        lambda: f"{_version()}, {_package('libnginx-mod-http-js')}",
        _with("nginx_njs.conf"),
    ),
)

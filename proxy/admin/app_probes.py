"""Probes of an application whose port is redirected here, as the injector wrote them down.

In an injected pod, the environment variable SEALYARD_APP_PROBES tells which there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..core.errors import UnfitEnvironment

VARIABLE: Final = "SEALYARD_APP_PROBES"
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class AppProbe:
    """One probe: where, how long, and what to ask for; without a `path` only a connection."""

    port: int
    timeout: float
    scheme: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def app_probes(environ: Mapping[str, str]) -> dict[str, AppProbe]:
    """Return the probes by `container/kind`; none where the variable is not set.

    Raises UnfitEnvironment where it cannot be read.
    """
    written = environ.get(VARIABLE, "")
    if not written:
        return {}
    try:
        return {str(key): _probe(one) for key, one in dict(json.loads(written)).items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise UnfitEnvironment("app-probes", detail=f"{VARIABLE} cannot be read") from None


def _probe(told: dict[str, object]) -> AppProbe:
    port, timeout, handler = told["port"], told["timeout"], told["handler"]
    if not isinstance(port, int) or not 0 < port <= _HIGHEST_PORT:
        raise ValueError("port")
    if not isinstance(timeout, int | float) or timeout <= 0 or not isinstance(handler, dict):
        raise ValueError("probe")
    if "tcpSocket" in handler:
        return AppProbe(port, timeout)
    get = handler["httpGet"]
    path = str(get.get("path") or "/")
    scheme = str(get.get("scheme") or "HTTP").lower()
    if scheme not in {"http", "https"}:
        raise ValueError("scheme")
    headers = tuple((str(one["name"]), str(one["value"])) for one in get.get("httpHeaders") or ())
    return AppProbe(port, timeout, scheme, path if path.startswith("/") else f"/{path}", headers)

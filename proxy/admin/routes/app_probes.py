"""Probes of the application: the kubelet sends them here, and they go on to 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.web_exceptions import HTTPNotFound
from aiohttp.web_request import Request
from aiohttp.web_response import Response
from aiohttp.web_routedef import RouteDef, get

from ...core.errors import UnfitEnvironment
from ..policy import MOST_REDIRECTS

VARIABLE: Final = "SEALYARD_APP_PROBES"
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class AppProbe:
    """One probe: port, timeout in seconds, and request; without a `path`, only a connection."""

    port: int
    timeout: float
    scheme: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()


def app_probes(environ: Mapping[str, str]) -> dict[str, AppProbe]:
    """Return the probes by `container/kind`; none where VARIABLE is not set.

    Raises UnfitEnvironment where its value is malformed.
    """
    written = environ.get(VARIABLE, "")
    if not written:
        return {}
    try:
        return {str(key): _probe(one) for key, one in dict(json.loads(written)).items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise UnfitEnvironment("app-probes", detail=f"{VARIABLE} is malformed") from None


def _probe(written: dict[str, object]) -> AppProbe:
    port, timeout, handler = written["port"], written["timeout"], written["handler"]
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


_HOST: Final = "127.0.0.1"
_HEADERS: Final = {"User-Agent": "kube-probe/sealyard", "Accept": "*/*"}


def app_probe_routes(probes: Mapping[str, AppProbe]) -> list[RouteDef]:
    """Return the routes that the kubelet probes."""

    async def answer(request: Request) -> Response:
        info = request.match_info
        probe = probes.get(f"{info['container']}/{info['kind']}")
        if probe is None:
            raise HTTPNotFound
        failure = await ask(probe)
        if failure:
            return Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{failure}\n")
        return Response(text="ok\n")

    return [get("/app-probe/{container}/{kind}", answer)]


async def ask(probe: AppProbe) -> str:
    """Probe the application; return the failure, or an empty string for success."""
    try:
        connector = TCPConnector(force_close=True, ssl=False)  # as the kubelet does
        async with ClientSession(
            connector=connector,
            timeout=ClientTimeout(total=probe.timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        ) as session:
            return await _ask(session, probe)
    except TimeoutError:
        return "no answer in time"
    except (ClientError, OSError, ValueError):
        return "no usable answer"


async def _ask(session: ClientSession, probe: AppProbe) -> str:
    if not probe.path:
        return await _connect(probe)
    path = probe.path
    for _ in range(MOST_REDIRECTS):
        url = f"{probe.scheme}://{_HOST}:{probe.port}{path}"
        async with session.get(url, headers=_headers(probe), allow_redirects=False) as response:
            status = response.status
            location = response.headers.get("Location", "")
        if not HTTPStatus.OK <= status < HTTPStatus.BAD_REQUEST:
            return f"status {status}"
        next_url = urlsplit(urljoin(url, location))
        elsewhere = next_url.hostname != _HOST or next_url.port != probe.port
        if status < HTTPStatus.MULTIPLE_CHOICES or not location or elsewhere:
            return ""
        path = next_url._replace(scheme="", netloc="", fragment="").geturl()
    return "too many redirects"


async def _connect(probe: AppProbe) -> str:
    async with asyncio.timeout(probe.timeout):
        _, writer = await asyncio.open_connection(_HOST, probe.port)
    writer.transport.abort()
    return ""


def _headers(probe: AppProbe) -> dict[str, str]:
    return {**_HEADERS, **dict(probe.headers)}

"""Where the kubelet asks for an application's probes; the application is asked on 127.0.0.1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web

from .app_probes import AppProbe

_HOST: Final = "127.0.0.1"
_MOST_REDIRECTS: Final = 10
_HEADERS: Final = {"User-Agent": "kube-probe/sealyard", "Accept": "*/*"}


def app_probe_routes(probes: Mapping[str, AppProbe]) -> list[web.RouteDef]:
    """Return the routes at which the kubelet asks."""

    async def answer(request: web.Request) -> web.Response:
        info = request.match_info
        probe = probes.get(f"{info['container']}/{info['kind']}")
        if probe is None:
            raise web.HTTPNotFound
        failure = await ask(probe)
        if failure:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=f"{failure}\n")
        return web.Response(text="ok\n")

    return [web.get("/app-probe/{container}/{kind}", answer)]


async def ask(probe: AppProbe) -> str:
    """Ask the application; return what is wrong, an empty text where nothing is."""
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
    for _ in range(_MOST_REDIRECTS):
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

"""The proxy that everybody would write with aiohttp: the control of the findings.

Every fault that `test_findings.py` looks for is shown on it first, so that a test which could not
fail is noticed.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
from aiohttp import web
from yarl import URL

Join = Callable[[str, web.Request], str | URL]


def by_path(base: str, request: web.Request) -> str | URL:
    """Join base and decoded path, as most do."""
    return base + request.path_qs


def by_raw_path(base: str, request: web.Request) -> str | URL:
    """Join base and raw path, as the careful do."""
    return URL(base + request.raw_path, encoded=True)


def by_reference(base: str, request: web.Request) -> str | URL:
    """Resolve the target against the base, as a browser would."""
    return URL(base).join(URL(request.raw_path))


@contextlib.asynccontextmanager
async def obvious(
    port: int, *, join: Join = by_path, shutdown: float = 0.4
) -> AsyncIterator[tuple[web.AppRunner, int]]:
    """Run the obvious proxy before an origin on `port`."""
    base = f"http://localhost:{port}"
    # The origins listen on IPv4 only.
    connector = aiohttp.TCPConnector(family=socket.AF_INET)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            async with session.request(
                request.method,
                join(base, request),
                headers=request.headers,
                data=await request.read(),
            ) as reply:
                headers = {
                    name: value
                    for name, value in reply.headers.items()
                    if name not in {"Content-Length", "Transfer-Encoding"}
                }
                if reply.content_type == "text/event-stream":
                    return await _stream(request, reply, headers)
                body = await reply.read()
                return web.Response(status=reply.status, headers=headers, body=body)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", forward)
        runner = web.AppRunner(app, shutdown_timeout=shutdown)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield runner, runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def _stream(
    request: web.Request, reply: aiohttp.ClientResponse, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    async for data in reply.content.iter_any():
        await response.write(data)
    return response

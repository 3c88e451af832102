"""A real nginx in front of Sealyard and another one behind it, which names itself in heads.

client -> nginx -> Sealyard -> nginx "app.internal", which redirects and points by its own name
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest

from tests.keys.builders import a_world
from tests.servers import free_port, listens

from .ours import local, proxied
from .test_shared_caches import NGINX, PATIENCE_SECONDS
from .wire import get, talk

FRAME: Final = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {servers}
}}
"""
BEHIND: Final = """
  server {{
    listen 127.0.0.1:{port};
    server_name app.internal;
    location = /old {{ return 301 http://app.internal/new; }}
    location = /elsewhere {{ return 302 https://other.example/?next=http://app.internal/; }}
    location / {{
      add_header Link '<http://app.internal/2>; rel=next, <http://app.internal:{port}/1>; rel=prev';
      add_header Refresh "5; url=http://app.internal/later";
      add_header Content-Location http://127.0.0.1:{port}/new;
      return 200 page;
    }}
  }}
"""
FRONT: Final = """
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{sealyard};
      {how}
    }}
  }}
"""
# How it names itself to Sealyard, and whether Sealyard believes it.
FRONTS: Final = {
    "the host": ("proxy_set_header Host $http_host;", False),
    "forwarded": (
        "proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;",
        True,
    ),
    "as Debian has it": ("", False),
}


@contextlib.asynccontextmanager
async def nginx(folder: Path, servers: str, port: int) -> AsyncIterator[None]:
    """Run an nginx with some servers, one of them at a port."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    conf = folder / "nginx.conf"
    conf.write_text(FRAME.format(folder=folder, servers=servers))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-e", "stderr", "-c", str(conf), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not listens(port):  # noqa: ASYNC110 - nobody tells when another process listens
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()


@pytest.mark.parametrize("front", FRONTS)
async def test_every_pointer_of_a_backend_leads_to_the_proxy_in_front(
    tmp_path: Path, front: str
) -> None:
    behind, port = free_port(), free_port()
    how, trusted = FRONTS[front]
    for name in ("behind", "front"):
        (tmp_path / name).mkdir()
    names = frozenset({b"app.internal", b"app.internal:%d" % behind})
    proxies = (ip_network("127.0.0.0/8"),) if trusted else ()
    async with (
        nginx(tmp_path / "behind", BEHIND.format(port=behind), behind),
        proxied(
            local(behind),
            keys=a_world().sessions,
            upstream_names=names,
            trusted_proxies=proxies,
        ) as ours,
        nginx(tmp_path / "front", FRONT.format(port=port, sealyard=ours.port, how=how), port),
    ):
        here = b"http://127.0.0.1:%d" % port

        async def header(target: bytes, name: bytes) -> bytes:
            request = get(target).replace(b"Host: h", b"Host: " + here[len(b"http://") :])
            (value,) = (await talk(port, request)).values(name)
            return value

        assert await header(b"/old", b"location") == here + b"/new"
        assert await header(b"/elsewhere", b"location") == (
            b"https://other.example/?next=http://app.internal/"
        )
        # Without `how`, nginx rewrites what points at Sealyard once more, in these two headers.
        refresh = await header(b"/page", b"refresh")
        assert refresh == b"5; url=%b/later" % (here if how else b"")
        link, place = await header(b"/page", b"link"), await header(b"/page", b"content-location")
        # In the others, Sealyard's own address stays: it is told of no other.
        seen = here if how else b"http://127.0.0.1:%d" % ours.port
        assert link == b"<%b/2>; rel=next, <%b/1>; rel=prev" % (seen, seen)
        assert place == seen + b"/new"
        direct = await talk(behind, get(b"/page"))
        assert re.search(rb"app\.internal", direct.head)  # it does name itself

"""A real nginx with a cache in front of Sealyard: what was opened for one client no other gets."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.keys.builders import a_world
from tests.servers import free_port, listens

from .exchange.test_exchange import CANARY, JSON, a_rulebook
from .ours import local, proxied
from .wire import Origin, Peer, get, post, running, talk

NGINX: Final = "/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else shutil.which("nginx")
PATIENCE_SECONDS: Final = 10.0
CONF: Final = """\
daemon off; master_process off; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  proxy_cache_path {folder}/cache keys_zone=one:1m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{behind};
      proxy_cache one;
      proxy_cache_key $uri$is_args$args;
      proxy_cache_valid any 10m;
      add_header X-Cache $upstream_cache_status always;
    }}
  }}
}}
"""
MINE: Final = b"Cookie: who=me"

SAID: Final = (
    (),
    (b"X-Accel-Expires: 600",),
    (b"x-ACCEL-expires: @99999999999",),
    (b"X-Accel-Expires: 600", b"Cache-Control: private"),
    (b"Expires: Fri, 01 Jan 2100 00:00:00 GMT",),
    (b"Cache-Control: public, max-age=600",),
    (b"Cache-Control: s-maxage=600", b"Cache-Control: max-age=0"),
    (b'Cache-Control: private="set-cookie", max-age=600',),
    (b'cache-control: PRIVATE="Set-Cookie"', b"CACHE-CONTROL: MAX-AGE=600"),
    (b"Cache-Control: max-age=600, x-private-x", b"Expires: Fri, 01 Jan 2100 00:00:00 GMT"),
    (b'Cache-Control: private="x", , ;=, max-age=600, "', b"X-Accel-Expires: 600"),
    (b"Cache-Control: no-store, must-understand, max-age=600",),
    (b"Cache-Control: private", b"Connection: cache-control, x-a", b"X-Accel-Expires: 600"),
    (b"Surrogate-Control: max-age=600", b"CDN-Cache-Control: max-age=600", b"Edge-Control: x"),
)
"""What a backend may say to caches, in many spellings."""


@contextlib.asynccontextmanager
async def nginx(folder: Path, behind: int) -> AsyncIterator[int]:
    """Run an nginx that caches all it may, by the URL alone; yield its port."""
    if NGINX is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, port=port, behind=behind))
    process = await asyncio.create_subprocess_exec(
        NGINX, "-p", str(folder), "-e", "stderr", "-c", str(conf), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not listens(port):  # noqa: ASYNC110 - nobody tells when another process listens
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()


async def test_no_cache_in_front_keeps_what_was_opened(tmp_path: Path) -> None:
    sealed: list[bytes] = []

    async def script(peer: Peer, origin: Origin) -> None:
        """Keep what comes, and give it to its owner alone, with lines about caches."""
        while True:
            seen = await peer.request()
            if seen.body:
                sealed.append(seen.body)
            mine = seen.values(b"cookie") == [b"who=me"]
            body = sealed[0] if mine else b"{}"
            said = SAID[int(seen.target.split(b"?")[1])]
            lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", *said]
            lines.append(b"Content-Length: %d" % len(body))
            peer.send(b"\r\n".join([*lines, b"", body]))

    origin = Origin(script)
    async with (
        running(origin),
        proxied(local(origin.port), rule_table=a_rulebook(), keys=a_world().sessions) as ours,
        nginx(tmp_path, ours.port) as port,
    ):
        body = b'{"content":"%b"}' % CANARY
        await talk(ours.port, post(body, JSON, MINE, target=b"/seal?0"))
        assert CANARY not in sealed[0]
        leaks: list[tuple[bytes, ...]] = []
        for number, said in enumerate(SAID):
            mine = await talk(port, get(b"/open?%d" % number, MINE))
            other = await talk(port, get(b"/open?%d" % number))
            assert CANARY in mine.body, said
            if CANARY in other.body or other.values(b"x-cache") != [b"MISS"]:
                leaks.append(said)
        assert leaks == []
        control = [await talk(port, get(b"/unruled?1", MINE)) for _ in range(2)]
        assert control[1].values(b"x-cache") == [b"HIT"]
        assert CANARY not in control[1].body

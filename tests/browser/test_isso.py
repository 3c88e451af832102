"""A real comment server behind Sealyard, and its own client in a real browser.

Sealed are the texts of comments. isso renders what it is given as Markdown, sanitises that, and its
client puts it into the page as HTML: of a token there is nothing to sanitise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.core.compiled.rule_table import RuleTable
from proxy.core.expressions.routes import parse_pattern
from proxy.core.expressions.selectors import parse_selector
from proxy.core.expressions.sources import parse_source
from proxy.core.rules.model import Block, Item, Names, Part, Rule
from tests.browser.chromium import MISSING, PROGRAM, chromium
from tests.browser.test_opened_text import PAYLOADS, PLAIN
from tests.keys.builders import a_world
from tests.servers import free_port, serving
from tests.traffic.ours import local, proxied

ISSO = Path(__file__).parents[2] / ".venv-isso" / "bin" / "isso"
PATIENCE_SECONDS = 30.0
BIND: frozenset[Part] = frozenset({"tenant", "conversation"})

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
    pytest.mark.skipif(not ISSO.exists(), reason="no isso here: `./dev setup` installs it"),
]

_CONFIGURATION = """\
[general]
dbpath = {folder}/comments.db
host = {host}
[server]
listen = http://127.0.0.1:{port}
[guard]
enabled = false
[hash]
salt = salt of the tests
"""
_PAGE = """<!doctype html><meta charset="utf-8"><title>A post</title>
<script>var fired = [];</script>
<script data-isso="http://127.0.0.1:{port}/" data-isso-css="false" data-isso-lang="en"
  src="http://127.0.0.1:{port}/js/embed.min.js"></script>
<section id="isso-thread" data-isso-id="/post"></section>
"""


@dataclass
class Site:
    """A site with comments: its address, that of Sealyard before isso, and isso's database."""

    address: str
    sealyard: str
    database: Path

    async def say(self, text: str) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.sealyard}/new?uri=%2Fpost", json={"text": text}) as answer,
        ):
            assert answer.status == 201, await answer.text()
        # Markdown takes `_…_` for emphasis where a part of a token begins so, and parts the token.
        if re.search(r"\._", self.stored()[-1]):
            self._forget_last()
            await self.say(text)

    def _forget_last(self) -> None:
        with contextlib.closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("DELETE FROM comments WHERE id = (SELECT max(id) FROM comments)")

    def stored(self) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return [row[0] for row in connection.execute("SELECT text FROM comments ORDER BY id")]


def rules() -> RuleTable:
    """Return the rules that seal what comments say."""
    names = Names(parse_source("const:site"), parse_source("const:comments"))
    text = Item(parse_selector("$.text"), "text", BIND)
    opened = (Block(decrypt=(Item(parse_selector("tokens"), "tokens", BIND),)),)
    patterns = tuple(map(parse_pattern, ("POST /new", "PUT /id/{id}")))
    write = Rule("write", patterns, names, (Block(encrypt=(text,)),), opened)
    patterns = tuple(map(parse_pattern, ("GET /", "GET /id/{id}", "GET /latest")))
    return RuleTable((write, Rule("read", patterns, names, response=opened)), pass_unmatched=True)


@contextlib.asynccontextmanager
async def isso(folder: Path, host: str) -> AsyncIterator[int]:
    """Run isso for a site; yield its port."""
    port = free_port()
    file = folder / "isso.cfg"
    file.write_text(_CONFIGURATION.format(folder=folder, host=host, port=port))
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        str(ISSO), "-c", str(file), "run", stdout=quiet, stderr=quiet
    )
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.1)
        yield port
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """Run a site whose comments isso holds, behind Sealyard."""
    shown = ""

    async def post(_: web.Request) -> web.Response:
        return web.Response(text=shown, content_type="text/html")

    app = web.Application()
    app.router.add_get("/post", post)
    async with serving(app) as host_port:
        host = f"http://127.0.0.1:{host_port}"
        async with (
            isso(folder, f"{host}/") as port,
            proxied(local(port), rule_table=rules(), keys=a_world().sessions) as ours,
        ):
            shown = _PAGE.format(port=ours.port)
            sealyard = f"http://127.0.0.1:{ours.port}"
            yield Site(f"{host}/post", sealyard, folder / "comments.db")


async def test_no_comment_runs_and_each_reads_as_it_was_written(tmp_path: Path) -> None:
    said = [one.replace("__N__", str(n)) for n, one in enumerate(PAYLOADS)]
    async with site(tmp_path) as running, chromium() as page:
        for text in (*said, PLAIN):
            await running.say(text)
        assert all(text.startswith("eyJ0eXAiOiJzeTEi") for text in running.stored())

        await page.open(running.address)
        count = len(said) + 2  # with the plain one, and what is for a preview
        await page.until(f"document.querySelectorAll('.isso-text').length >= {count}")
        shown = await page.value(
            "[...document.querySelectorAll('.isso-text')]"
            ".map(one => one.textContent.trim()).filter(Boolean)"
        )
        await page.value("document.querySelectorAll('.isso-text *').forEach(one => one.click())")
        await asyncio.sleep(0.5)

        assert await page.value("fired") == []
        assert sorted(shown) == sorted((*said, PLAIN)), json.dumps(shown)

"""Sealyard in front of an unchanged Isso, and Isso's own client in a real browser."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.demo.screen import search
from tests.browser.chromium import MISSING, PROGRAM, Page, chromium
from tests.servers import free_port, serving

from .compared import files_of, held, keep, python_version
from .conftest import ROOT, Client, Process, running, sidecar

ISSO = ROOT / ".venv-isso" / "bin" / "isso"
TEXT = '<b>5 < 6</b> & "quoted" \u00fc \U0001f600'

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(PROGRAM is None, reason=MISSING),
    pytest.mark.skipif(not ISSO.exists(), reason="no Isso: `./dev test` installs it"),
]

_CONFIGURATION = """\
[general]
dbpath = {folder}/comments.db
host = {host}
log-file = {folder}/isso.log
[server]
listen = http://127.0.0.1:{port}
[guard]
enabled = false
reply-to-self = true
[hash]
salt = salt of the tests
"""
_PAGE = """<!doctype html><meta charset="utf-8"><title>A post</title>
<script data-isso="http://127.0.0.1:{port}/" data-isso-css="false" data-isso-lang="en"
  src="http://127.0.0.1:{port}/js/embed.min.js"></script>
<section id="isso-thread" data-isso-id="{thread}"></section>
"""
_TEXTS = "[...document.querySelectorAll('.isso-text')].map(one => one.textContent.trim())"
_SHOWN = f"{_TEXTS}.filter(Boolean)"
_OF = "[...document.querySelectorAll('.isso-comment')].filter(one => one.id)"


@dataclass(frozen=True)
class Scene:
    """A site: its pages, whose comments go through Sealyard or not, and what is kept of them."""

    site: str
    isso: Process
    sidecar: Process
    folder: Path

    def kept(self) -> dict[str, bytes]:
        return files_of(self.folder)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    ports: dict[str, int] = {}

    async def page(request: web.Request) -> web.Response:
        way = request.match_info["way"]
        text = _PAGE.format(port=ports[way], thread=f"/{way}")
        return web.Response(text=text, content_type="text/html")

    app, port = web.Application(), free_port()
    app.router.add_get("/{way:through|direct}", page)
    async with serving(app) as host:
        site, file = f"http://127.0.0.1:{host}", tmp_path / "isso.cfg"
        file.write_text(_CONFIGURATION.format(folder=tmp_path, host=f"{site}/", port=port))
        command = [str(ISSO), "-c", str(file), "run"]
        with running(command, port, tmp_path / "isso.out") as isso, _front(tmp_path, isso) as front:
            ports |= {"through": front.port, "direct": port}
            yield Scene(site, isso, front, tmp_path)


@contextlib.contextmanager
def _front(folder: Path, isso: Process) -> Iterator[Process]:
    with sidecar(folder, "isso.yaml", isso.port) as process:
        yield process


async def written(page: Page, place: str, text: str) -> None:
    """Write into a field of the page."""
    await page.value(f"document.querySelector({json.dumps(place)}).value = {json.dumps(text)}")


async def conversed(page: Page, canary: str) -> dict[str, Any]:
    """Do what a reader does; return what the page shows after each step."""
    first, second = f"{canary} {TEXT}", f"{canary} reply"
    found = {}
    await page.until("document.querySelector('.isso-postbox textarea')")
    await written(page, ".isso-postbox textarea", first)
    await page.value("document.querySelector('.isso-postbox input[type=submit]').click()")
    await page.until(f"{_SHOWN}.length === 1")
    found["write"] = await page.value(_SHOWN)
    await page.value(f"{_OF}[0].querySelector('.isso-reply').click()")
    form = ".isso-comment .isso-postbox"
    await page.until(f"document.querySelector('{form} textarea')")
    await written(page, f"{form} textarea", second)
    await page.value(f"document.querySelector('{form} input[type=submit]').click()")
    await page.until(f"{_SHOWN}.length === 2")
    found["reply"] = await page.value(_SHOWN)
    await page.value(f"{_OF}[0].querySelector('.isso-edit').click()")
    await page.until(f"{_OF}[0].querySelector('textarea')")
    found["edit"] = await page.value(f"{_OF}[0].querySelector('textarea').value")
    changed = json.dumps(f"{canary} changed <i>")
    await page.value(f"{_OF}[0].querySelector('textarea').value = {changed}")
    await page.value(f"{_OF}[0].querySelector('.isso-edit').click()")
    await page.until(f"{_SHOWN}.length === 2")
    found["save"] = await page.value(_SHOWN)
    await page.value("window.old = true; location.reload()")
    await page.until(f"!window.old && document.readyState === 'complete' && {_SHOWN}.length === 2")
    found["read again"] = await page.value(_SHOWN)
    await page.value(f"{_OF}[1].querySelector('.isso-delete').click()")
    await page.value(f"{_OF}[1].querySelector('.isso-delete').click()")
    await page.until(f"{_SHOWN}.length === 1")
    found["delete"] = await page.value(_SHOWN)
    return {name: {"told": one} for name, one in found.items()}


async def test_a_reader_sees_the_same_and_the_database_has_no_text(scene: Scene) -> None:
    told = {}
    canaries = {way: f"canary{secrets.token_hex(8)}" for way in ("through", "direct")}
    for way, canary in canaries.items():
        async with chromium() as page:
            await page.open(f"{scene.site}/{way}")
            told[way] = await conversed(page, canary)
        if way == "through":
            assert search(canary, scene.kept()) == []

    names = "isso", f"Isso {python_version('.venv-isso', 'isso')}, its client in Chromium"
    keep(held(names, told["through"], told["direct"], canaries, scene.kept()))


@pytest.mark.slow
def test_no_comment_is_parted_by_markdown(scene: Scene) -> None:
    canary = f"canary{secrets.token_hex(8)}"
    texts = [f"{canary} {n}" for n in range(150)]
    client = Client(scene.sidecar.port)
    for text in texts:
        assert client.ask("POST", "/new?uri=%2Fmany", {"text": text, "title": "Many"}).status == 201

    replies = client.ask("GET", "/?uri=%2Fmany").json["replies"]

    assert [one["text"] for one in replies] == [f"<p>{text}</p>" for text in texts]
    with contextlib.closing(sqlite3.connect(scene.folder / "comments.db")) as database:
        rows = database.execute("SELECT text FROM comments").fetchall()
    assert all(row[0].startswith("sy1.") for row in rows)
    assert search(canary, scene.kept()) == []


def test_nothing_passes_by_accident(scene: Scene) -> None:
    for method, path, data in (
        ("POST", "/preview", {"text": "x"}),
        ("GET", "/feed?uri=%2Fpost", None),
        ("POST", "/new?uri=%2Fpost", {"text": "xyz", "note": "x"}),
        ("POST", "/new?uri=%2Fpost", {"text": "x"}),
        ("POST", "/id/1/edit/key", None),
        ("GET", "/admin/", None),
    ):
        answer = Client(scene.sidecar.port).ask(method, path, data)
        assert answer.header("Sealyard-Error") is not None, (path, answer)

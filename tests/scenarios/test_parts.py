"""Forms in parts through a real `sealyard serve`: by curl, and by a browser's own form."""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from proxy.core.crypto import sealed_stream
from tests.browser.chromium import MISSING, PROGRAM, chromium
from tests.scenarios.pool import shared
from tests.scenarios.rig import backend

CURL = shutil.which("curl")
PREFIX = "eyJ0eXAiOiJzeTEi"
RULES = """\
      - name: upload
        match: POST /up/{id}
        conversation: path:id
        request: {encrypt: ["part:note", "optional part:files", "optional filename:files as name"]}
      - name: deliver
        match: POST /down/{id}
        conversation: path:id
        request: {decrypt: ["part:note", "optional part:files", "optional filename:files as name"]}
      - name: page
        match: GET /page
"""
PAGE = """<!doctype html><form method=post action=/up/c1 enctype=multipart/form-data>
<input name=title value="a title"><textarea name=note></textarea>
<input type=file name=files multiple></form>"""


Field = tuple[str, str | tuple[str, str, bytes]]


class Seen:
    """What the backend was sent: the bytes, and what Werkzeug reads in them."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.fields: list[list[Field]] = []

    async def take(self, request: web.Request) -> web.Response:
        content_type, body = request.headers["Content-Type"], await request.read()
        self.bodies.append((content_type, body))
        self.fields.append(list(read(content_type, body)))
        return web.Response(text="taken")

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        return (
            web.post("/up/{id}", self.take),
            web.post("/down/{id}", self.take),
            web.get("/page", self.page),
        )


def read(content_type: str, body: bytes) -> Iterator[Field]:
    media, options = parse_options_header(content_type)
    _, values, files = FormDataParser().parse(io.BytesIO(body), media, len(body), options)
    for name in values:
        yield from ((name, one) for one in values.getlist(name))
    for name in files:
        for one in files.getlist(name):
            yield name, (one.filename or "", one.content_type or "", one.read())
            one.close()


async def _status(url: str, content_type: str, body: bytes) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers={"Content-Type": content_type}) as response,
    ):
        assert b"CANARY" not in await response.read()
        return response.status


@pytest.mark.skipif(CURL is None, reason="there is no curl here")
async def test_what_curl_uploads_is_sealed_and_opened_again(tmp_path: Path) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    small, large = tmp_path / f"s {canary}.txt", tmp_path / f"l {canary}.bin"
    small.write_text(canary)
    large.write_bytes(canary.encode() * 20_000)
    seen = Seen()
    async with backend(*seen.routes) as behind:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            base = f"http://127.0.0.1:{ours.port}"
            curl = await asyncio.create_subprocess_exec(
                *(str(CURL), "-sS", "--fail", f"{base}/up/c1", "-F", "title=a title"),
                *("-F", f"note={canary}", "-F", f"files=@{small};type=text/plain"),
                *("-F", f"files=@{large};type=image/png"),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await curl.communicate()
            assert (curl.returncode, out) == (0, b"taken")
            content_type, sealed = seen.bodies[0]
            assert await _status(f"{base}/down/c1", content_type, sealed) == 200
            assert await _status(f"{base}/down/c2", content_type, sealed) == 400
            cut = sealed.replace(b"SYST", b"SYSU")
            assert await _status(f"{base}/down/c1", content_type, cut) == 400
            swapped = sealed.replace(b'name="note"', b'name="Note"')
            assert await _status(f"{base}/up/c1", content_type, swapped) == 400
        log = ours.log.read_text()

    assert len(seen.bodies) == 2
    assert canary.encode() not in sealed
    assert canary not in log
    title, note, first, second = seen.fields[0]
    assert title == ("title", "a title")
    assert note[0] == "note"
    assert str(note[1]).startswith(PREFIX)
    assert isinstance(first[1], tuple)
    assert isinstance(second[1], tuple)
    assert [first[1][1], second[1][1]] == ["application/jose", sealed_stream.MEDIA_TYPE]
    assert first[1][0].startswith(PREFIX)
    assert first[1][2].startswith(PREFIX.encode())
    assert second[1][2].startswith(sealed_stream.MAGIC)
    assert seen.fields[1] == [
        ("title", "a title"),
        ("note", canary),
        ("files", (small.name, "text/plain", small.read_bytes())),
        ("files", (large.name, "image/png", large.read_bytes())),
    ]


@pytest.mark.skipif(PROGRAM is None, reason=MISSING)
async def test_what_a_browser_sends_is_sealed_and_opened_again(tmp_path: Path) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    digest = hashlib.sha256(canary.encode()).digest()
    seen = Seen()
    async with backend(*seen.routes) as behind:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            base = f"http://127.0.0.1:{ours.port}"
            async with chromium() as page:
                await page.open(f"{base}/page")
                await page.value(
                    f"""(() => {{
                      const form = document.forms[0], files = new DataTransfer();
                      form.elements.note.value = "\\n{canary} é \\"quoted\\"";
                      const bytes = new Uint8Array({list(digest)});
                      files.items.add(new File([bytes], 'a "{canary}" é; b.bin',
                        {{type: "application/x-thing"}}));
                      form.elements.files.files = files.files;
                      form.submit();
                    }})()"""
                )
                await page.until("document.body.innerText === 'taken'")
                # A form whose file nobody chose is a form as well.
                await page.open(f"{base}/page")
                await page.value("document.forms[0].submit()")
                await page.until("document.body.innerText === 'taken'")
            content_type, sealed = seen.bodies[0]
            assert await _status(f"{base}/down/c1", content_type, sealed) == 200
        log = ours.log.read_text()

    assert canary.encode() not in sealed
    assert digest not in sealed
    assert canary not in log
    assert seen.fields[2] == [
        ("title", "a title"),
        ("note", f'\r\n{canary} é "quoted"'),
        ("files", (f'a "{canary}" é; b.bin', "application/x-thing", digest)),
    ]
    assert seen.fields[1][0] == ("title", "a title")
    assert isinstance(seen.fields[1][2][1], tuple)
    assert seen.fields[1][2][1][::2] == ("", b"")

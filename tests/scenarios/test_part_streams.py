"""Forms beyond `limits.body` through a real `sealyard serve`: part by part as they come."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from proxy.core.crypto import sealed_stream
from proxy.core.formats.multipart import reader
from proxy.core.formats.multipart.reader import Boundary
from tests.scenarios.pool import shared
from tests.scenarios.rig import Served, backend, served
from tools.bench import bulk
from tools.bench.bulk import MEBIBYTE

PREFIX = b"eyJ0eXAiOiJzeTEi"
RULES = """\
      - name: upload
        match: POST /up/{id}
        conversation: path:id
        request: {encrypt: ["part:note", "optional part:files", "optional filename:files as name"]}
      - name: deliver
        match: POST /down/{id}
        conversation: path:id
        request: {decrypt: "body as files"}
      - name: back
        match: POST /back/{id}
        conversation: path:id
        request: {decrypt: ["part:note", "optional part:files", "optional filename:files as name"]}
      - name: give
        match: GET /give/{id}
        conversation: path:id
        response: {decrypt: ["part:note", "optional part:files", "optional filename:files as name"]}
"""
TYPE = "multipart/form-data; boundary=between-parts"
SIZE = 20 * MEBIBYTE
MOST_MORE = 16 * MEBIBYTE


class Seen:
    """What came to the backend: bodies that ended, and how much came of those that did not."""

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.unfinished: list[bytes] = []

    async def take(self, request: web.Request) -> web.Response:
        pieces: list[bytes] = []
        try:
            pieces += [piece async for piece in request.content.iter_any()]
        finally:
            ended = request.content.is_eof() and request.content.exception() is None
            (self.whole if ended else self.unfinished).append(b"".join(pieces))
        return web.Response(text=hashlib.sha256(self.whole[-1]).hexdigest())

    async def give(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form that came first, in chunks."""
        response = web.StreamResponse(headers={"Content-Type": TYPE})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in pieces(self.whole[0]):
            await response.write(piece)
        await response.write_eof()
        return response

    @property
    def routes(self) -> tuple[web.RouteDef, ...]:
        taking = (web.post(f"/{one}/{{id}}", self.take) for one in ("up", "down", "back"))
        return (*taking, web.get("/give/{id}", self.give))


def a_file(canary: str, size: int = SIZE) -> bytes:
    return (canary.encode() + bytes(100)) * (size // (len(canary) + 100))


def a_form(canary: str, content: bytes, *, last: str = "title") -> bytes:
    disposition = "Content-Disposition: form-data; name="
    parts = (
        f'{disposition}"note"\r\n\r\n{canary}'.encode(),
        f'{disposition}"files"; filename="{canary}.png"\r\n'.encode()
        + b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(content)
        + content,
        f'{disposition}"{last}"\r\n\r\na title'.encode(),
    )
    return b"".join(b"--between-parts\r\n%b\r\n" % one for one in parts) + b"--between-parts--\r\n"


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 100_000):
        yield body[at : at + 100_000]


async def post(ours: Served, path: str, body: bytes, media: str, *, told: bool) -> tuple[int, str]:
    headers = {"Content-Type": media}
    if told:
        headers["Content-Length"] = str(len(body))
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{ours.port}{path}", data=pieces(body), headers=headers
        ) as response,
    ):
        return response.status, await response.text()


def parts_of(body: bytes) -> Iterator[tuple[reader.Part, bytes]]:
    for part in reader.parts(body, Boundary(b"--between-parts", quoted=False)):
        yield part, body[part.start : part.end]


@pytest.mark.cold
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("told", [True, False], ids=["length", "chunks"])
async def test_a_form_above_the_limit_is_sealed_in_constant_memory(
    tmp_path: Path,
    told: bool,  # noqa: FBT001 - a parameter
) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    content = a_file(canary)
    seen = Seen()
    async with backend(*seen.routes) as behind:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
            pid = ours.process.pid
            small = a_form(canary, a_file(canary, 100_000))
            assert (await post(ours, "/up/c1", small, TYPE, told=told))[0] == 200
            idle = bulk.resident(pid, "VmRSS")
            bulk.forget_peak(pid)
            form = a_form(canary, content)
            assert (await post(ours, "/up/c1", form, TYPE, told=told))[0] == 200
            more = bulk.resident(pid, "VmHWM") - idle
            (note, name, title) = parts_of(seen.whole[-1])
            found = name[1]
            status, digest = await post(
                ours, "/down/c1", found, sealed_stream.MEDIA_TYPE, told=told
            )
            other, _ = await post(ours, "/down/c2", found, sealed_stream.MEDIA_TYPE, told=told)
        log = ours.log.read_text()

    print(f"{more / MEBIBYTE:.1f} MiB more at most")  # noqa: T201 - with `-s`, the figure
    assert more <= MOST_MORE
    assert (status, digest) == (200, hashlib.sha256(content).hexdigest())
    assert other == 400
    assert note[1].startswith(PREFIX)
    assert title[1] == b"a title"
    assert found.startswith(sealed_stream.MAGIC)
    assert name[0].media is not None
    assert name[0].media.essence == sealed_stream.MEDIA_TYPE
    assert canary.encode() not in seen.whole[0] + seen.whole[1] + log.encode()


@pytest.mark.cold
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
async def test_a_form_above_the_limit_is_opened_in_constant_memory(tmp_path: Path) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    form = a_form(canary, a_file(canary))
    seen = Seen()
    async with backend(*seen.routes) as behind:
        with served(tmp_path, behind.port, rules=RULES) as ours:
            await ours.event("server.ready")
            assert (await post(ours, "/up/c1", form, TYPE, told=True))[0] == 200
            sealed = seen.whole[0]
            pid = ours.process.pid
            idle = bulk.resident(pid, "VmRSS")
            bulk.forget_peak(pid)
            for told in (True, False):
                assert (await post(ours, "/back/c1", sealed, TYPE, told=told))[0] == 200
            given = await get(ours, "/give/c1")
            more = bulk.resident(pid, "VmHWM") - idle
            other, _ = await post(ours, "/back/c2", sealed, TYPE, told=True)
            cut, _ = await post(ours, "/back/c1", sealed[:-1000] + sealed[-900:], TYPE, told=True)
            for _ in range(500):
                if seen.unfinished:
                    break
                await asyncio.sleep(0.01)
        log = ours.log.read_text()

    print(f"{more / MEBIBYTE:.1f} MiB more at most")  # noqa: T201 - with `-s`, the figure
    assert more <= MOST_MORE
    assert [form, form] == seen.whole[1:]
    assert given == form
    assert (other, cut) == (400, 400)
    assert all(b"--between-parts--" not in one for one in seen.unfinished)
    assert canary not in log


async def get(ours: Served, path: str) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{ours.port}{path}") as response,
    ):
        assert response.status == 200
        return await response.read()


async def test_a_form_without_what_must_be_there_never_reaches_the_backend(tmp_path: Path) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    form = a_form(canary, a_file(canary)).replace(b'name="note"', b'name="notes"')
    seen = Seen()
    async with backend(*seen.routes) as behind:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            for told in (True, False):
                refused, problem = await post(ours, "/up/c1", form, TYPE, told=told)
                assert refused == 400
                assert "note: a value is needed within 16777216 bytes" in problem
        log = ours.log.read_text()

    assert seen.whole == seen.unfinished == []
    assert canary not in log


async def test_what_is_refused_on_its_way_never_ends_at_the_backend(tmp_path: Path) -> None:
    canary = f"CANARY{secrets.token_hex(16)}"
    content = a_file(canary)
    seen = Seen()
    async with backend(*seen.routes) as behind:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            for told in (True, False):
                form = a_form(canary, content, last="Note")
                refused, _ = await post(ours, "/up/c1", form, TYPE, told=told)
                assert refused == 400
                cut, _ = await post(ours, "/up/c1", form[:-500], TYPE, told=told)
                assert cut == 400
                unsent, _ = await post(ours, "/up/c1", b"text" + form, TYPE, told=told)
                assert unsent == 400
            await asyncio.to_thread(leave, ours.port, a_form(canary, content)[: SIZE // 2])
            for _ in range(500):
                if len(seen.unfinished) == 5:
                    break
                await asyncio.sleep(0.01)
        log = ours.log.read_text()

    assert seen.whole == []
    assert len(seen.unfinished) == 5
    assert all(b"--between-parts--" not in one for one in seen.unfinished)
    assert canary.encode() not in b"".join(seen.unfinished) + log.encode()


def leave(port: int, body: bytes) -> None:
    """Go in the middle of an upload."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = f"POST /up/c1 HTTP/1.1\r\nHost: h\r\nContent-Type: {TYPE}\r\n"
        connection.sendall(f"{head}Content-Length: {SIZE * 2}\r\n\r\n".encode() + body)

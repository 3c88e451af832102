"""Large bodies through a real `sealyard serve`: sealed and opened as frames in constant memory."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.scenarios.pool import shared
from tests.scenarios.rig import backend, served
from tools.bench import bulk
from tools.bench.bulk import MEBIBYTE

RULES = """\
      - name: store
        match: POST /frames/{id}
        conversation: path:id
        request: {encrypt: body}
      - name: fetch
        match: GET /frames/{id}
        conversation: path:id
        response: {decrypt: body}
"""
MOST_MORE = 64 * MEBIBYTE


@pytest.mark.cold
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "mebibytes", [64, pytest.param(1024, marks=pytest.mark.slow)], ids=["64 MiB", "1 GiB"]
)
async def test_a_large_body_goes_up_and_down_in_constant_memory(
    tmp_path: Path, mebibytes: int
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    size = mebibytes * MEBIBYTE
    with bulk.backend(kept) as port, served(tmp_path, port, rules=RULES) as ours:
        await ours.event("server.ready")
        pid = ours.process.pid
        bulk.upload(ours.port, "/frames/small", 100_000)
        bulk.download(ours.port, "/frames/small")
        idle = bulk.resident(pid, "VmRSS")
        bulk.forget_peak(pid)
        bulk.upload(ours.port, "/frames/one", MEBIBYTE)
        one = bulk.resident(pid, "VmHWM") - idle

        bulk.forget_peak(pid)
        up = bulk.upload(ours.port, "/frames/large", size)
        down = bulk.download(ours.port, "/frames/large")
        more = bulk.resident(pid, "VmHWM") - idle

        bare_up = bulk.upload(port, "/frames/bare", size)
        bare_down = bulk.download(port, "/frames/bare")
    with (kept / "large").open("rb") as file:
        assert file.read(5) == b"SYST\x01"
    assert up.digest == down.digest == bare_up.digest == bare_down.digest
    figures = (up.rate, bare_up.rate, down.rate, bare_down.rate)
    print(  # noqa: T201 - with `-s`, the figures
        f"{mebibytes} MiB: {more / MEBIBYTE:.1f} MiB more at most, {one / MEBIBYTE:.1f} for one;"
        " up {:.0f} MiB/s of {:.0f}, down {:.0f} of {:.0f}".format(*figures)
    )
    assert more <= MOST_MORE
    assert one <= 16 * MEBIBYTE


async def test_a_frame_shows_nothing_to_the_backend_and_nothing_in_the_log(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    text = (canary * 10_000).encode()
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    async with backend() as behind, aiohttp.ClientSession() as session:
        async with shared(tmp_path, behind.port, rules=RULES) as ours:
            url = f"http://127.0.0.1:{ours.port}/frames/a"
            async with session.post(url, data=text, headers=headers) as response:
                sealed = await response.read()
                assert response.content_type == "application/vnd.sealyard.stream"
            other = url.replace("frames/a", "frames/b")
            async with session.post(other, data=text, headers=headers) as response:
                assert response.status == 200
                assert canary.encode() not in await response.read()
        log = ours.log.read_text()

    assert behind.bodies[0] == sealed
    assert canary.encode() not in b"".join(behind.bodies) + log.encode()

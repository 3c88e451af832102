"""Both legs of a WebSocket with a rule, against the cases of an Autobahn-style suite."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.bombs.rig import serving
from tests.servers import free_port

from .rig import CONFIGURATION, MOST_BYTES, SUITE, echo, send_back, suite

pytestmark = pytest.mark.skipif(
    not SUITE.exists(), reason="the suite has an environment of its own: ./dev setup"
)
SHORT = [f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 10)]
ALL: list[str] = []
SELECTIONS = [
    pytest.param([*SHORT, "12.1.1", "12.1.5", "13.3.1", "13.5.1", "13.7.1"], id="short"),
    pytest.param(ALL, id="all", marks=pytest.mark.slow),
]


def judge(results: dict[str, str], record: Callable[[str, object], None], leg: str) -> None:
    failed = {case: told for case, told in results.items() if told != "passed"}
    record(leg, f"{len(results) - len(failed)} of {len(results)} cases")
    assert results
    assert not failed


@pytest.mark.parametrize("cases", SELECTIONS)
async def test_the_leg_of_the_client_conforms(
    tmp_path: Path, cases: list[str], record_property: Callable[[str, object], None]
) -> None:
    port, upstream = free_port(), free_port()
    with serving(tmp_path, CONFIGURATION.format(port=port, upstream=upstream)):
        async with echo(upstream):
            results = await suite("client", str(port), *cases)
    judge(results, record_property, "client")


@pytest.mark.parametrize(
    ("cases", "compress"),
    [
        pytest.param(SELECTIONS[0].values[0], 15, id="short"),
        # Compressed, megabytes of one character would be taken for a bomb.
        pytest.param(["9.*"], 0, id="large", marks=pytest.mark.slow),
        pytest.param([*SHORT, "12.*", "13.*"], 15, id="all", marks=pytest.mark.slow),
    ],
)
async def test_the_leg_of_the_upstream_conforms(
    tmp_path: Path, cases: list[str], compress: int, record_property: Callable[[str, object], None]
) -> None:
    port, upstream = free_port(), free_port()
    with serving(tmp_path, CONFIGURATION.format(port=port, upstream=upstream)):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(suite("server", str(upstream), *cases))
            await run_all(port, compress)
        results = running.result()
    judge(results, record_property, "upstream")


async def run_all(port: int, compress: int) -> None:
    """Be the client of every case, through Sealyard: echo what comes."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:

        def opened(
            path: str,
        ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
            return session.ws_connect(base + path, max_msg_size=MOST_BYTES, compress=compress)

        for case in range(1, await count(opened) + 1):
            async with opened(f"/runCase?case={case}&agent=sealyard") as socket:
                await send_back(socket)
        async with opened("/updateReports?agent=sealyard") as socket:
            await send_back(socket)


async def count(
    opened: Callable[
        [str], contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]
    ],
) -> int:
    """Return how many cases there are, once the suite listens."""
    for _ in range(100):
        with contextlib.suppress(aiohttp.ClientError):
            async with opened("/getCaseCount") as socket:
                return int(await socket.receive_str())
        await asyncio.sleep(0.1)
    raise TimeoutError("the suite does not listen")

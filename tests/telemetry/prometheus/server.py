"""A real Prometheus of a test's own, which scrapes what the test names, and its HTTP API."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.servers import PATIENCE_SECONDS, await_port, child, free_port

PROGRAM = shutil.which("prometheus")
MISSING = "there is no prometheus here: install the package prometheus"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs, and a session with it."""

    port: int
    session: aiohttp.ClientSession

    async def ready(self) -> None:
        """Wait until it has read its own files."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            async with self.session.get(f"http://127.0.0.1:{self.port}/-/ready") as answer:
                if answer.status == HTTPStatus.OK:
                    return
            assert time.monotonic() < deadline, "Prometheus does not get ready"
            await asyncio.sleep(0.1)

    async def api(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """Return the data of an answer; raise AssertionError where it is an error."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}"
        async with self.session.get(url, params=parameters) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression, now."""
        found: list[dict[str, Any]] = (await self.api("query", query=expression))["result"]
        return found

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression, once there are some."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := await self.query(expression)):
            assert time.monotonic() < deadline, f"nothing for {expression}"
            await asyncio.sleep(0.2)
        return found


@asynccontextmanager
async def prometheus(
    folder: Path, rules: Path, targets: Mapping[str, str]
) -> AsyncIterator[Prometheus]:
    """Run a server that scrapes targets (instance by address) each second, with these rules."""
    assert PROGRAM is not None, MISSING
    await asyncio.to_thread(folder.mkdir)
    port, file, log = free_port(), folder / "prometheus.yaml", folder / "prometheus.log"
    jobs = [
        {"targets": [address], "labels": {"instance": name}} for address, name in targets.items()
    ]
    file.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(rules)],
                "scrape_configs": [{"job_name": "sealyard", "static_configs": jobs}],
            }
        )
    )
    command = [
        PROGRAM,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with child(command, log) as process:
        await asyncio.to_thread(await_port, process, port, log)
        async with aiohttp.ClientSession() as session:
            made = Prometheus(port, session)
            await made.ready()
            yield made

"""Up to a made-up next version and back, over one store, keyring and backend with data.

The next version is this tree with a new form of session records: it reads both, and writes what
this version reads until it is told to write its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from aiohttp import web

from tests.servers import await_log, child, free_port, serving

ROOT: Final = Path(__file__).parents[2]
PATCHES: Final = (
    ("__init__.py", "__version__ = ", '__version__ = "9.9.0"  # '),
    (
        "keys/stores/records.py",
        "_BYTES: Final = {",
        "_BYTES: Final = {3: _SESSION_FORM.size + WRAPPED_BYTES + 1, ",
    ),
    (
        "keys/stores/records.py",
        "        return self._values(EPHEMERAL if self.wrapped else DURABLE) + self.wrapped",
        (
            "        import os\n"
            '        if self.wrapped and "WRITES_ITS_OWN" in os.environ:\n'
            '            return self._values(3) + self.wrapped + b"x"\n'
            "        return self._values(EPHEMERAL if self.wrapped else DURABLE) + self.wrapped"
        ),
    ),
    (
        "keys/stores/records.py",
        "    wrapped = values[_SESSION_FORM.size :]",
        "    wrapped = values[_SESSION_FORM.size :][:WRAPPED_BYTES]",
    ),
)
"""File, a line of it, and what the next version has in its place."""


@pytest.fixture
def next_tree(tmp_path: Path) -> Path:
    """Return the tree of the next version."""
    tree = tmp_path / "next"
    shutil.copytree(ROOT / "proxy", tree / "proxy")
    for file, old, new in PATCHES:
        text = (tree / "proxy" / file).read_text("utf-8")
        assert text.count(old) == 1, f"{file} is another: make the patch fit"
        (tree / "proxy" / file).write_text(text.replace(old, new), "utf-8")
    return tree


def sealyard(tree: Path, *words: str | Path) -> str:
    """Return what a command of a version says; it must end well."""
    command = [sys.executable, "-m", "proxy", *map(str, words)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)  # noqa: S603 - this tree, or the patched one
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Served:
    """A version that serves, beside what the backend holds."""

    client: aiohttp.ClientSession
    url: str
    log: Path

    async def send(self, conversation: str, content: str) -> int:
        """Send a message; return the status."""
        message = {"conversationId": conversation, "content": content}
        async with self.client.post(f"{self.url}/messages", json=message) as answer:
            return answer.status

    async def read(self, conversation: str) -> list[str]:
        """Return the contents of a conversation."""
        async with self.client.get(f"{self.url}/conversations/{conversation}/messages") as answer:
            return [one["content"] for one in await answer.json()]


@asynccontextmanager
async def version(tree: Path, home: Path, backend: int, **environ: str) -> AsyncIterator[Served]:
    """Serve with a version, over the home's keyring and store."""
    port, admin = free_port(), free_port()
    text = (home / "sealyard.yaml").read_text()
    for asked, used in (("8080", port), ("9901", admin), ("3000", backend)):
        text = text.replace(f"127.0.0.1:{asked}", f"127.0.0.1:{used}")
    configuration, log = home / f"{port}.yaml", home / f"{port}.log"
    configuration.write_text(text)
    command = (sys.executable, "-m", "proxy", "serve", "--config", str(configuration))
    with child(command, log, environ, cwd=tree) as process:
        await asyncio.to_thread(await_log, process, log, '"server.ready"')
        async with aiohttp.ClientSession() as client:
            yield Served(client, f"http://127.0.0.1:{port}/api", log)


async def test_up_and_back_nothing_is_lost(tmp_path: Path, next_tree: Path) -> None:
    stored: dict[str, list[dict[str, str]]] = defaultdict(list)

    async def store(request: web.Request) -> web.Response:
        message = await request.json()
        stored[message["conversationId"]].append(message)
        return web.json_response({})

    async def listed(request: web.Request) -> web.Response:
        return web.json_response(stored[request.match_info["id"]])

    app = web.Application()
    app.router.add_post("/api/messages", store)
    app.router.add_get("/api/conversations/{id}/messages", listed)
    home = tmp_path / "home"
    sealyard(ROOT, "init", home)
    text = (home / "sealyard.yaml").read_text()
    text = text.replace("store: memory", "store: sqlite:sessions.db")
    (home / "sealyard.yaml").write_text(text.replace("mode: durable", "mode: ephemeral"))
    assert "9.9.0" in sealyard(next_tree, "--version")

    async with serving(app) as backend:
        async with version(ROOT, home, backend) as old:
            assert await old.send("c1", "by the old") == 200
            # A roll-out: both serve, and one session is of both.
            async with version(next_tree, home, backend) as new:
                assert await new.read("c1") == ["by the old"]
                assert await new.send("c1", "by the next") == 200
                assert await new.send("c2", "begun by the next") == 200
                assert await old.send("c2", "gone on with by the old") == 200
                assert await old.read("c1") == await new.read("c1") == ["by the old", "by the next"]
        # Up alone, and it revokes.
        revoke = ("sessions", "revoke", "--tenant", "example", "--conversation", "gone")
        async with version(next_tree, home, backend) as new:
            assert await new.send("gone", "before it is revoked") == 200
            configuration = new.log.with_suffix(".yaml")
            await asyncio.to_thread(
                sealyard, next_tree, *revoke, "--yes", "--config", configuration
            )
            assert await new.read("c2") == ["begun by the next", "gone on with by the old"]
        # Back: all that the next version wrote counts.
        async with version(ROOT, home, backend) as old:
            assert await old.read("c1") == ["by the old", "by the next"]
            assert await old.read("c2") == ["begun by the next", "gone on with by the old"]
            assert await old.read("gone") == [stored["gone"][0]["content"]]
            assert await old.send("c1", "again by the old") == 200
        # Up, and it writes its own form.
        async with version(next_tree, home, backend, WRITES_ITS_OWN="1") as new:
            assert (await new.read("c1"))[-1] == "again by the old"
            assert await new.send("c3", "in the next form") == 200
            assert await new.read("c3") == ["in the next form"]
        # Back too late: what it does not know is neither used nor overwritten; the rest goes on.
        async with version(ROOT, home, backend) as old:
            assert (await old.read("c1"))[-1] == "again by the old"
            assert await old.read("c3") == [stored["c3"][0]["content"]]
            assert await old.send("c3", "x") == 503
            assert "record-version" in old.log.read_text()
        async with version(next_tree, home, backend) as new:
            assert await new.read("c3") == ["in the next form"]
    written = json.dumps(stored)
    for canary in ("by the", "before it", "in the next"):
        assert canary not in written

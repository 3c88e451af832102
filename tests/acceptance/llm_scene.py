"""Two Sealyards with the examples for chat completions, a gateway between, a server behind."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from tests.servers import serving

from .conftest import Process, sidecar
from .llm_backends import ChatServer, Gateway

JWE: Final = b"eyJ0eXAiOiJzeTEi"


@dataclass
class Scene:
    """All that takes part. `kept` is what must not be readable in.

    `direct` is the port of a gateway in front of the server, without a Sealyard; what it sees is
    added to what the other one has seen.
    """

    egress: Process
    ingress: Process
    gateway: Gateway
    server: ChatServer
    direct: int
    folders: tuple[Path, Path]

    @property
    def through(self) -> int:
        return self.egress.port

    async def kept(self) -> dict[str, bytes]:
        """Return what the gateway saw, all that both Sealyards wrote, and their metrics."""
        files = {
            f"{folder.name}/{one.name}": one.read_bytes()
            for folder in self.folders
            for one in folder.iterdir()
        }
        metrics = {f"metrics of {one.name}": await metrics_of(one) for one in self.folders}
        return {"gateway": b"\n".join(self.gateway.seen), **files, **metrics}


async def metrics_of(folder: Path) -> bytes:
    text = (folder / "sealyard.yaml").read_text()
    address = text.partition("admin: {listen: ")[2].partition(",")[0]
    headers = {"Authorization": f"Bearer {(folder / 'admin.token').read_text()}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"http://{address}/metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.read()


@asynccontextmanager
async def scene(
    folder: Path, *, batch: str | None = None, server: ChatServer | None = None
) -> AsyncIterator[Scene]:
    """Set all of it up; `batch` replaces the one of the example, `off` deletes it."""
    folders = folder / "ingress", folder / "egress"
    for one in folders:
        one.mkdir()
    server, gateway = server or ChatServer(), Gateway()
    async with AsyncExitStack() as servers:
        with ExitStack() as processes:
            model = await servers.enter_async_context(serving(server.app()))
            bare = Gateway(model, gateway.seen, gateway.bodies)
            direct = await servers.enter_async_context(serving(bare.app()))
            changes = {"store: memory": "store: sqlite:store.db"}
            if batch is not None:
                line = "batch: {for: 250ms, ignore: $.obfuscation}"
                changes[line] = "" if batch == "off" else line.replace("250ms", batch)
            ingress = processes.enter_context(
                sidecar(folders[0], "llm-ingress.yaml", model, changes=changes)
            )
            gateway.to = ingress.port
            between = await servers.enter_async_context(serving(gateway.app()))
            shutil.copy2(folders[0] / "keyring.jwe", folders[1])
            egress = processes.enter_context(
                sidecar(folders[1], "llm-egress.yaml", between, changes=changes)
            )
            yield Scene(egress, ingress, gateway, server, direct, folders)

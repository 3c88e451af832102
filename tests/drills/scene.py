"""A fleet of two before one backend, its operator, and the canary that must show up nowhere."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import redis

from tests.drills.page import Drill, Operator, drills
from tests.redis.pods import CANARY, Place, Pod
from tests.redis.server import Server
from tests.redis.test_keyrings import ready
from tests.redis.test_operator import url
from tests.scenarios.rig import Backend, backend

NEW_KEK = (
    'new=$(sealyard keys add); distribute keyring.jwe; until sealyard keys promote "$new";'
    " do sleep 1; done; distribute keyring.jwe; sealyard keys export newest.jwe"
)
"""What an operator runs to seal under a new KEK, and to keep a backup that has it."""
PATIENCE_SECONDS = 30.0
_START_SECONDS = 90.0


@dataclass
class Scene:
    """What one drill acts in. `noticed` are the seconds after which each thing was seen."""

    operator: Operator
    places: list[Place]
    session: aiohttp.ClientSession
    behind: Backend
    server: Server
    drill: Drill
    noticed: dict[str, float] = field(default_factory=dict)

    @property
    def mine(self) -> Place:
        """The operator's own folder."""
        return self.operator.place

    def keep_token(self, token: str, name: str = "token.txt") -> None:
        """Put a token into the operator's folder, as the page says."""
        (self.mine.folder / name).write_text(token + "\n")

    def logged(self, pod: Pod, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event so far."""
        return [one for one in pod.served.events if one["event"] == event]

    async def seen(self, what: str, look: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - what was seen
        """Return what `look` finds, within the seconds that the page promises for this drill."""
        return await self.happens(what, look, self.drill.seconds)

    async def happens(
        self, what: str, look: Callable[[], Awaitable[Any]], seconds: float = PATIENCE_SECONDS
    ) -> Any:  # noqa: ANN401 - what was seen
        """Return what `look` finds, once it finds something, within some seconds."""
        began = time.monotonic()
        while not (found := await look()):
            assert time.monotonic() - began < seconds, f"{what}: not seen within {seconds} s"
            await asyncio.sleep(0.1)
        took = round(time.monotonic() - began, 1)
        self.noticed[what] = max(took, self.noticed.get(what, 0.0))
        return found

    async def logs(self, pod: Pod, event: str, **fields: object) -> dict[str, Any]:
        """Return a line of an event with these fields, within the promised time."""

        async def look() -> dict[str, Any] | None:
            lines = self.logged(pod, event)
            return next((one for one in lines if fields.items() <= one.items()), None)

        found: dict[str, Any] = await self.seen(event, look)
        return found

    async def follow(self, at: int = 0, **variables: str) -> str:
        """Run one of the scripts of the drill; return what it printed."""
        script = self.drill.scripts[at]
        return await asyncio.to_thread(self.operator.follow, script, variables=variables)

    async def metric(self, pod: Pod, line: str) -> bool:
        """Return whether the metrics have a line."""
        return line in await pod.served.metrics()

    def leaks(self) -> list[str]:
        """Return where the canary is: nowhere but with the clients."""
        found = [f"backend {one[:80]!r}" for one in self.behind.bodies if CANARY.encode() in one]
        for folder in (self.mine.folder, *(place.folder for place in self.places)):
            files = (one for one in folder.rglob("*") if one.is_file())
            found += [str(one) for one in files if CANARY.encode() in one.read_bytes()]
        if self.server.process is not None:
            found += [str(one) for one in kept_in(self.server) if CANARY.encode() in one]
        return found


@asynccontextmanager
async def a_fleet(
    places: list[Place], *, session: aiohttp.ClientSession
) -> AsyncIterator[list[Pod]]:
    """Run a pod at each place; wait longer for them than other tests do, on a busy machine."""
    async with AsyncExitStack() as stack:
        pods = [Pod(stack.enter_context(place.serving()), session) for place in places]
        for pod in pods:
            async with asyncio.timeout(_START_SECONDS):
                while not any(one["event"] == "server.ready" for one in pod.served.events):
                    assert pod.served.process.poll() is None, pod.served.log.read_text()
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)  # until they listen to Redis
        yield pods


def refused_at(pod: Pod, token: str) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod does not open a token."""

    async def look() -> bool:
        return not await pod.opens(token)

    return look


def opened_at(pod: Pod, token: str) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod opens a token."""

    async def look() -> bool:
        return await pod.opens(token)

    return look


def clear(pod: Pod) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod is ready without a mark."""

    async def look() -> bool:
        status, text = await ready(pod)
        return status == 200 and "[!]" not in text

    return look


def generation(pod: Pod, number: int) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod has a generation of the keyring."""

    async def look() -> bool:
        address = f"http://127.0.0.1:{pod.served.health}/readyz?verbose"
        async with pod.session.get(address) as response:
            return f"generation {number}" in await response.text()

    return look


def told(pod: Pod, text: str) -> Callable[[], Awaitable[bool]]:
    """Return a look at whether a pod is ready and says something."""

    async def look() -> bool:
        status, found = await ready(pod)
        return status == 200 and text in found

    return look


def kept_in(server: Server) -> list[bytes]:
    """Return every value that a Redis holds."""
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        return [client.get(key) or b"" for key in client.keys("*")]


@asynccontextmanager
async def a_scene(
    folder: Path, server: Server, title: str, *, mode: str = "durable", own: bool = False
) -> AsyncIterator[Scene]:
    """Lay out two pods and their operator, and look for leaks at the end.

    All have one keyring, or with `own` the second pod another one. The operator has a backup of
    the keyring, `backup.jwe`.
    """
    async with backend() as behind, aiohttp.ClientSession() as session:
        mine = Place(folder / "operator", behind.port, url(server), mode).write()
        names = ("one", "two")
        places = [Place(folder / name, behind.port, url(server), mode) for name in names]
        for place in places:
            place.write(None if own and place is places[1] else mine)
        operator = Operator(mine, tuple(places)).prepare()
        operator.follow("sealyard keys export backup.jwe")
        scene = Scene(operator, places, session, behind, server, drills()[title])
        yield scene
        assert not scene.leaks()
        print(json.dumps({title: scene.noticed}))  # noqa: T201 - the figures, with pytest -rP

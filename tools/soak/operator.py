"""What operators do while a soak runs: rotations, revocations, reloads, and new KEKs."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable
from random import Random  # noqa: TID251 - a run shall be repeatable, and nothing here is secret
from typing import Final

import aiohttp

from proxy.keys.policy import BURY_SECONDS

from .journal import LISTED, Message
from .sidecars import MAX_AGE_SECONDS, Sidecar
from .traffic import named_after, revocable
from .world import World

_OK: Final = 200
_ACCEPTED: Final = 202
_RELOAD: Final = "/-/reload"
_REVOKE: Final = "/v1/sessions/revoke"
_SETTLED_SECONDS: Final = MAX_AGE_SECONDS + 2.0
_LATEST_SECONDS: Final = 60.0
_LOOKED_AT: Final = 3
_BURIED_SECONDS: Final = BURY_SECONDS + 5.0


class Operator:
    """Calls the admin API of the sidecars now and then, and looks whether it did what it says."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._stop = asyncio.Event()
        self.done: Counter[str] = Counter()

    async def run(self, world: World, stop: asyncio.Event, pause: float) -> None:
        """Work until `stop`, with about `pause` seconds between two operations."""
        self._stop = stop
        works = (self._rotate, self._rotate, self._revoke, self._reload)
        async with asyncio.TaskGroup() as group:
            while not await self._stopped(self._random.uniform(0.5 * pause, 1.5 * pause)):
                group.create_task(self._random.choice(works)(world))

    def _sidecar(self, world: World) -> Sidecar:
        present = [one for one in world.sidecars if one.name not in world.away]
        return self._random.choice(present)

    async def _call(
        self, world: World, sidecar: Sidecar, name: str, path: str, body: object = None
    ) -> bool:
        began = time.monotonic()
        status = await sidecar.admin(world.session, "POST", path, body)
        self.done[f"{name} {status}"] += 1
        # A process that was killed is missed until its successor has taken its row away.
        missed = status == _ACCEPTED and world.journal.disturbed("sidecar", _BURIED_SECONDS)
        if status != _OK and not missed and world.journal.calm(began):
            told = f"{sidecar.name}: {name}: {status}"
            world.journal.breach("operation refused without a fault", told)
        return status == _OK

    async def _rotate(self, world: World) -> None:
        one = self._sidecar(world)
        after = named_after(world.journal.flushes[one.mode])
        room = f"{one.mode}-{self._random.randrange(20)}{after}"
        scope = {"tenant": "clinic", "conversation": room}
        await self._tried(self._call(world, one, "rotate", "/v1/sessions/rotate", scope))

    async def _reload(self, world: World) -> None:
        one = self._sidecar(world)
        if world.journal.disturbed("sidecar", 1.0):
            return  # the configuration may be broken on purpose
        one.write(self._random.choice(["jwe", "short"]))
        await self._tried(self._call(world, one, "reload", _RELOAD))

    async def _revoke(self, world: World) -> None:
        """Revoke a room; once that has spread, what it held opens nowhere, and new messages do."""
        journal, one = world.journal, self._sidecar(world)
        room = self._random.choice(revocable(one.mode, journal.flushes[one.mode]))
        if journal.settling(room):
            return
        before = [message for message in journal.rooms[room] if journal.alive(message)]
        scope = {"tenant": "clinic", "conversation": room}
        journal.revoke(room, math.inf)
        while not await self._tried(self._call(world, one, "revoke", _REVOKE, scope)):
            if await self._stopped(1.0):
                return
        revoked = time.monotonic()
        if await self._stopped(_SETTLED_SECONDS):
            return
        while journal.disturbed("store", _SETTLED_SECONDS) or journal.disturbed("sidecar", 2.0):
            if await self._stopped(0.2):
                return
        for message in before[-_LOOKED_AT:]:
            for each in world.sidecars:
                if each.mode == message.mode:
                    await self._tried(self._stays_sealed(world, each, message, revoked))
        journal.revoke(room, time.monotonic())

    async def _stopped(self, seconds: float) -> bool:
        """Wait so long, or until the load ends; return whether it has."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def _tried(self, work: Awaitable[bool]) -> bool:
        try:
            return await work
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self.done["failed in a fault"] += 1
            return False

    async def _stays_sealed(
        self, world: World, one: Sidecar, message: Message, revoked: float
    ) -> bool:
        """Note if a revoked message opens: at once, or, on a busy machine, after a minute."""
        while await self._opens(world, one, message):
            late = time.monotonic() > revoked + _LATEST_SECONDS
            if late or not world.journal.busy(revoked):
                world.journal.breach("revoked message opened", f"{one.name} {message}")
                break
            if await self._stopped(2.0):
                break
        return True

    async def _opens(self, world: World, one: Sidecar, message: Message) -> bool:
        kind = "messages" if message.kind in LISTED else message.kind
        url = f"{one.url}/{kind}/{message.room}/{message.number}"
        async with world.session.get(url) as response:
            held = await response.read()
        self.done[f"looked at a revoked message {response.status}"] += 1
        return world.journal.canary.encode() in held

    async def new_kek(self, world: World) -> None:
        """Rotate the KEK of a pair: add one, wait until every process has it, promote it."""
        pair = self._random.choice(world.pairs)
        steady = pair[0]
        added = await asyncio.to_thread(steady.sealyard, "keys", "add")
        if added.returncode:
            self._told(world, "keys add", added.stderr)
            return
        for one in pair:
            await self._tried(self._call(world, one, "reload", _RELOAD))
        await asyncio.sleep(4)  # every process says every three seconds which keyring it has
        if not await self._promoted(world, steady, added.stdout.split()[0]):
            return
        for one in pair:
            await self._tried(self._call(world, one, "reload", _RELOAD))
        self.done["KEK rotated"] += 1

    async def _promoted(self, world: World, one: Sidecar, kek: str) -> bool:
        """Promote a KEK, and again while a process that was killed is still known."""
        until = time.monotonic() + _BURIED_SECONDS
        while True:
            done = await asyncio.to_thread(one.sealyard, "keys", "promote", kek)
            if done.returncode == 0:
                return True
            if time.monotonic() > until:
                self._told(world, "keys promote", done.stderr)
                return False
            await asyncio.sleep(2)

    def _told(self, world: World, what: str, error: str) -> None:
        self.done[f"{what} refused"] += 1
        journal = world.journal
        shaken = journal.disturbed("store", 10) or journal.disturbed("sidecar", 10)
        if not shaken and not journal.busy(time.monotonic() - _BURIED_SECONDS):
            world.journal.breach("operation refused without a fault", f"{what}: {error}")

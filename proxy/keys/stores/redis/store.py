"""Store `redis`: records shared by all processes that reach one Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import NoScriptError

from ....config.settings import RedisSettings
from ..store import (
    CLOCK_SKEW_MS,
    CURRENT,
    NOTE,
    REVOCATION,
    Changed,
    FoundRecords,
    HeldRecords,
    Misshapen,
    Offer,
    StoreFailed,
    end,
    erased,
    key_place,
)
from . import replies, scripts
from .client import translated
from .scripts import EPOCH_DIGITS, PROBE, Script
from .topology import reach

_T = TypeVar("_T")

FORMAT: Final = "v1"
_AGAIN_SECONDS: Final = 1.0
_LISTEN_SECONDS: Final = 5.0
_MOST_KEYS: Final = 1_000
"""How many keys one script takes at most: Lua's stack ends below 8,000."""


class RedisStore:
    """Owns the connections to one Redis, and the task that receives other processes' changes."""

    shared = True

    def __init__(self, settings: RedisSettings, environ: Mapping[str, str]) -> None:
        """Connect to nothing yet; raise UnfitEnvironment for TLS files that cannot be used."""
        self._prefix = f"{settings.prefix}:{FORMAT}"
        self._reach = reach(settings, environ)
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self.subscribed = False
        self.room = None  # Redis has limits of its own, and says when it is full

    async def open(self, changed: Changed) -> None:
        """Begin to listen; whether Redis answers shows when it is asked."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(changed))

    async def get_or_create(self, offer: Offer) -> HeldRecords:
        """Return the current session, or keep the offer."""
        return await self._agree(scripts.GET_OR_CREATE, offer)

    async def replace(self, offer: Offer, *, seen: bytes | None = None) -> HeldRecords:
        """Keep the offer unless the store holds another record than the one seen."""
        return await self._agree(scripts.REPLACE, offer, seen)

    async def find(
        self, name: str, key_ids: Sequence[str], *, current: bool = False
    ) -> FoundRecords:
        """Return the revocation and the keys.

        A question of one key is answered by a cluster also while its slot moves.
        """
        more = [CURRENT] if current else []
        places = [REVOCATION, *map(key_place, key_ids), *more]
        keys = [self._key(name, place) for place in places]
        return await self._run(
            scripts.FIND,
            keys,
            [],
            partial(replies.found, current=current, keys=len(key_ids)),
        )

    async def revoke(
        self, name: str, record: bytes, epoch: int, *, seen: bytes | None = None
    ) -> bytes:
        """Keep the revocation unless the store holds another than the one seen."""
        skew = CLOCK_SKEW_MS // 1000
        arguments = [_value(record, epoch), self._channel, name, skew, _seen(seen)]
        keys = [self._key(name, REVOCATION)]
        return await self._run(scripts.REVOKE, keys, arguments, replies.revoked)

    async def keep(  # noqa: PLR0913 - a record, its place, for how long
        self,
        name: str,
        key_id: str,
        record: bytes,
        epoch: int,
        keep_ms: int,
        *,
        seen: bytes | None = None,
    ) -> HeldRecords:
        """Keep the record unless the store holds another than the one seen."""
        keys = [self._key(name, place) for place in (key_place(key_id), REVOCATION)]
        arguments = [_value(record, epoch), keep_ms, _seen(seen)]
        return await self._run(scripts.KEEP, keys, arguments, replies.held)

    async def note(
        self,
        name: str,
        record: bytes,
        epoch: int,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Keep the note unless the store holds another than the one seen."""
        arguments = [_value(record, epoch), self._channel if publish else "", name, _seen(seen)]
        keys = [self._key(name, NOTE)]
        return await self._run(scripts.NOTE, keys, arguments, replies.record)

    async def erase(self, name: str) -> dict[str, bytes]:
        """Delete the current session and the keys, which takes a look at every name in Redis."""
        before = self._key(name, key_place("")).encode()
        found: set[bytes] = set()
        async with translated():
            for node in await self._reach.nodes():
                async for key in node.scan_iter(match=before + b"*", count=1000):
                    if not replies.text(key).startswith(before):
                        raise Misshapen
                    found.add(key)
        gone: dict[str, bytes] = {}
        keys, first = sorted(found), self._key(name, CURRENT)
        # Any client may have written more keys than a script can take at once.
        for some in [keys[at : at + _MOST_KEYS] for at in range(0, len(keys), _MOST_KEYS)] or [[]]:
            arguments = [self._channel, erased(name)]
            erasing: list[str | bytes] = [first, *some]
            _, *records = await self._run(
                scripts.ERASE,
                erasing,
                arguments,
                partial(replies.erased, keys=len(erasing)),
            )
            names = [key.removeprefix(before).decode("ascii", "replace") for key in some]
            gone |= dict(zip(names, records, strict=True))
        return gone

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        found: dict[str, bytes] = {}
        before = f"{self._prefix}:"
        async with translated():
            for node in await self._reach.nodes():
                async for key in node.scan_iter(match=f"{before}*", count=1000):
                    record = replies.record(await node.get(key))
                    if record is not None:
                        name, _, place = key.decode().removeprefix(before).partition(":")
                        found[f"{name.strip('{}')}:{place}"] = record
        return found

    async def close(self) -> None:
        """Stop listening and close all connections."""
        self._closed = True
        if self._listening is not None:
            await end(self._listening)
        self._listening = None
        with suppress(StoreFailed):
            async with translated():
                await self._reach.close()

    @property
    def _channel(self) -> str:
        return f"{self._prefix}:changed"

    def _key(self, name: str, place: str) -> str:
        return f"{self._prefix}:{{{name}}}:{place}"

    async def _agree(self, script: Script, offer: Offer, seen: bytes | None = None) -> HeldRecords:
        places = [CURRENT, REVOCATION, *([key_place(offer.key_id)] if offer.keep_ms else [])]
        arguments: list[Any] = [
            _value(offer.record, offer.epoch),
            offer.ttl_ms,
            offer.keep_ms,
            offer.made_ms,
            CLOCK_SKEW_MS,
            self._channel,
            offer.name,
            _seen(seen),
        ]
        keys = [self._key(offer.name, place) for place in places]
        return await self._run(script, keys, arguments, replies.held)

    async def _run(
        self,
        script: Script,
        keys: Sequence[str | bytes],
        arguments: list[Any],
        read: Callable[[replies.Answer], _T],
    ) -> _T:
        """Return what `read` makes of a script's answer."""
        rest, first = [len(keys), *keys, *arguments], str(keys[0])
        try:
            async with translated():
                try:
                    return read(await self._reach.ask(first, "EVALSHA", script.digest, *rest))
                except NoScriptError:
                    # Redis forgets scripts when it restarts; EVAL also makes it learn this one.
                    return read(await self._reach.ask(first, "EVAL", script.text, *rest))
        except Misshapen:
            await self._reach.doubt()
            raise

    async def _listen(self, changed: Changed) -> None:
        while not self._closed:
            with suppress(StoreFailed):
                async with translated():
                    await self._receive(changed)
            self.subscribed = False
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _receive(self, changed: Changed) -> None:
        async with self._reach.any_node().pubsub() as subscription:
            await subscription.subscribe(self._channel)
            asked = False
            while not self._closed:
                message = await subscription.get_message(timeout=_LISTEN_SECONDS)
                if message is None and asked:
                    raise StoreFailed("store-timeout")  # frozen, or gone without a word
                if message is None:
                    await subscription.ping()
                elif message["type"] == "subscribe":
                    self.subscribed = True
                    changed(None)  # earlier publications are lost
                elif message["type"] == "message":
                    name = replies.text(message["data"]).decode("ascii", "replace")
                    if name != PROBE:
                        changed(name)
                asked = message is None


def _value(record: bytes, epoch: int) -> bytes:
    return b"%0*d" % (EPOCH_DIGITS, epoch) + record


def _seen(record: bytes | None) -> bytes:
    """Return what a script compares with the stored record."""
    return b"" if record is None else b"=" + record

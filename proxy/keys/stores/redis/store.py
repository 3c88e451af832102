"""Store `redis`: records shared by all processes that reach one Redis."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from ....config.settings import RedisSentinels, RedisSettings
from ...policy import (
    DISK_MS,
    FENCE_MS,
    LISTEN_AGAIN_SECONDS,
    LISTEN_SECONDS,
    MOST_REPLICAS,
    SCRIPT_KEYS,
    SETTLE_MARGIN_SECONDS,
    SETTLE_MARK_MS,
    WAIT_MS,
)
from ..store import (
    CLOCK_SKEW_MS,
    CURRENT,
    FENCE,
    NOTE,
    REVOCATION,
    Changed,
    FoundRecords,
    HeldRecords,
    Offer,
    Settled,
    StoreFailed,
    StoreRefused,
    Under,
    end,
    erased,
    fence_ms,
    key_place,
)
from . import replication, replies, scripts
from .client import Then, Translating
from .connection import Answer, AnsweredError, Connection, Word
from .scripts import PROBE, Script
from .topology import reach

_T = TypeVar("_T")

FORMAT: Final = "v1"
_MARK_BYTES: Final = 8
_WORTH_ANOTHER: Final = frozenset({"store-failed", "store-misshapen", "store-stale"})
"""Failures after which a script is run again at once; a time-out has used up the deadline."""
_SETTLED: Final = "settled"
_LISTED: Final = "ids"
"""The place of the list of keys: a list, since no store of a million keys is to be searched."""


class RedisStore:
    """Owns the connections to one Redis, and the task that receives other processes' changes."""

    shared = True
    keeps_time = True

    def __init__(self, settings: RedisSettings, environ: Mapping[str, str]) -> None:
        """Connect to nothing yet; raise UnfitEnvironment for TLS files that cannot be used."""
        self._prefix = f"{settings.prefix}:{FORMAT}"
        self._reach = reach(settings, environ)
        self._replicated = isinstance(settings.address, RedisSentinels)
        self._listening: asyncio.Task[None] | None = None
        self._closed = False
        self._ahead: float | None = None
        self.subscribed = False
        self.room = None  # Redis has limits of its own, and says when it is full

    def time(self) -> float | None:
        """Return Redis' time; of several nodes, that of the one whose clock is ahead of the others.

        It is that of the last answer, and what our monotonic clock says has passed since then.
        """
        return None if self._ahead is None else time.monotonic() + self._ahead

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
        self, name: str, key_ids: Sequence[str], *, current: bool = False, fence: bool = False
    ) -> FoundRecords:
        """Return the revocation and the keys.

        A question of one key is answered by a cluster also while its slot moves.
        """
        more = [*([FENCE] if fence else []), *([CURRENT] if current else [])]
        places = [REVOCATION, *map(key_place, key_ids), *more]
        keys = [self._key(name, place) for place in places]
        return await self._run(
            scripts.FIND,
            keys,
            [],
            partial(replies.found, current=current, fence=fence, keys=len(key_ids)),
        )

    async def revoke(
        self, name: str, record: bytes, not_before: int, *, seen: bytes | None = None
    ) -> bytes:
        """Keep the revocation unless the store holds another than the one seen."""
        skew = CLOCK_SKEW_MS // 1000
        arguments: list[Word] = [record, not_before, self._channel, name, skew, _given(seen)]
        keys = [self._key(name, REVOCATION)]
        return await self._run(scripts.REVOKE, keys, arguments, replies.revoked)

    async def keep(  # noqa: PLR0913 - as the protocol has it
        self,
        name: str,
        key_id: str,
        record: bytes,
        keep_ms: int,
        *,
        seen: bytes | None = None,
        under: Under | None = None,
    ) -> HeldRecords:
        """Keep the record unless the store holds another than the one seen, or another fence."""
        places = key_place(key_id), REVOCATION, FENCE, _LISTED
        keys = [self._key(name, place) for place in places]
        arguments: list[Word] = [record, keep_ms, _given(seen), *_fence(under, keep_ms), key_id]
        return await self._run(scripts.KEEP, keys, arguments, replies.held)

    async def note(
        self,
        name: str,
        record: bytes | None = None,
        *,
        seen: bytes | None = None,
        publish: bool = False,
    ) -> bytes | None:
        """Keep the note unless the store holds another than the one seen."""
        arguments: list[Word] = [
            _given(record),
            self._channel if publish else "",
            name,
            _given(seen),
        ]
        keys = [self._key(name, NOTE)]
        return await self._run(scripts.NOTE, keys, arguments, replies.record)

    async def kept(self, name: str) -> dict[str, bytes]:
        """Return the keys that are listed under a name."""
        ids, kept = await self._ids(name), dict[str, bytes]()
        for at in range(0, len(ids), SCRIPT_KEYS):
            some = ids[at : at + SCRIPT_KEYS]
            found = (await self.find(name, some)).keys
            kept |= {
                one: held.record for one, held in zip(some, found, strict=True) if held is not None
            }
        return kept

    async def listed(self, name: str, key_id: str) -> bool:
        """Return whether the list of a name has a key id."""
        return key_id in await self._ids(name)

    async def erase(
        self,
        name: str,
        fence: bytes,
        *,
        seen: bytes | None = None,
        only: Sequence[str] | None = None,
    ) -> dict[str, bytes]:
        """Delete the current session and the keys that are listed under the name.

        Those that are kept while the list is read are in the answer of the first script, which
        wrote the fence: nothing is kept under the former one after that.
        """
        ids = await self._ids(name) if only is None else list(only)
        gone: dict[str, bytes] = {}
        first = [CURRENT] if only is None else []
        while True:
            some = ids[:SCRIPT_KEYS]
            places = [FENCE, _LISTED, *first, *map(key_place, some)]
            arguments: list[Word] = [self._channel, erased(name), fence, FENCE_MS, _given(seen)]
            rest, records = await self._run(
                scripts.ERASE,
                [self._key(name, place) for place in places],
                [*arguments, *some],
                partial(replies.erased, keys=len(places) - 2),
                once=True,  # the second time it would name none
            )
            gone |= dict(zip(some, records[len(first) :], strict=True))
            left = set(ids[SCRIPT_KEYS:]) | (set(rest) if first else set())
            if not left:
                return {one: record for one, record in gone.items() if record}
            ids, first, seen = sorted(left), [], fence

    async def runs(self) -> int:
        """Return how often a connection was made after one was lost, of all nodes."""
        with Translating():
            for node in await self._reach.nodes():
                await node.ask("PING")
        return sum(one.runs for one in self._reach.clocks)

    async def elsewhere(self) -> str:
        """Return that clients of another master may seal, unless a master alone takes no writes."""
        with Translating():
            for node in await self._reach.nodes():
                if problem := await replication.problem_of(node, replicated=self._replicated):
                    return f"clients of another master of Redis ({problem})"
        return ""

    async def settled(self, name: str) -> Settled:
        """Wait for a replica and for the disk, over the connection of a write behind the others."""
        keys = [self._key(name, place) for place in (_SETTLED, REVOCATION)]
        replicas: int | None = None
        disk: bool | None = None

        async def waited(line: Connection) -> None:
            nonlocal replicas, disk
            try:
                with suppress(AnsweredError):  # not permitted
                    line.send("WAIT", 1, WAIT_MS)
                    said = await line.read(WAIT_MS / 1000 + SETTLE_MARGIN_SECONDS)
                    replicas = replies.whole(said, 0, MOST_REPLICAS)
                line.send("WAITAOF", 1, 0, DISK_MS)
                disk = replies.on_disk(await line.read(DISK_MS / 1000 + SETTLE_MARGIN_SECONDS))
            except AnsweredError as error:  # not permitted, unknown before 7.2, or there is no file
                disk = False if "appendonly is disabled" in error.text else None
            except TimeoutError:
                line.close()  # a late answer is none to the next command

        revocation = await self._run(
            scripts.SETTLE, keys, [SETTLE_MARK_MS], replies.record, then=waited
        )
        return Settled(revocation, replicas, disk)

    async def dump(self) -> dict[str, bytes]:
        """Return every record by its place."""
        found: dict[str, bytes] = {}
        before = f"{self._prefix}:"
        for key in await self._names(before.encode()):
            with Translating():
                record = await self._reach.ask(key.decode(), "GET", key, read=replies.record)
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
        with suppress(StoreFailed), Translating():
            self._reach.close()

    @property
    def _channel(self) -> str:
        return f"{self._prefix}:changed"

    async def _ids(self, name: str) -> list[str]:
        """Return the ids of the keys of a name."""
        keys: list[Word] = [self._key(name, place) for place in (REVOCATION, _LISTED)]
        held = (await self._run(scripts.FIND, keys, [], partial(replies.found, keys=1))).keys[0]
        return [] if held is None else replies.listed(held.record)

    def _key(self, name: str, place: str) -> str:
        return f"{self._prefix}:{{{name}}}:{place}"

    async def _agree(self, script: Script, offer: Offer, seen: bytes | None = None) -> HeldRecords:
        more = [key_place(offer.key_id)] if offer.keep_ms else []
        kept = [FENCE, _LISTED, *more] if more or offer.under else []
        places = [CURRENT, REVOCATION, *kept]
        arguments: list[Word] = [
            offer.record,
            offer.ttl_ms,
            offer.keep_ms,
            offer.made_ms,
            CLOCK_SKEW_MS,
            self._channel,
            offer.name,
            _given(seen),
            *_fence(offer.under, max(offer.keep_ms, offer.ttl_ms)),
            offer.key_id,
        ]
        keys = [self._key(offer.name, place) for place in places]
        return await self._run(script, keys, arguments, replies.held)

    async def _names(self, before: bytes) -> set[bytes]:
        """Return every name in Redis that begins so. It has one node answer after the other."""
        found: set[bytes] = set()
        read = partial(replies.scanned, before=before)
        with Translating():
            for node in await self._reach.nodes():
                cursor, begun = 0, False
                while cursor or not begun:
                    words = "SCAN", cursor, "MATCH", before + b"*", "COUNT", 1000
                    cursor, names = await node.ask(*words, read=read)
                    begun = True
                    found.update(names)
        return found

    async def _run(  # noqa: PLR0913 - what a script is given, and what becomes of its answer
        self,
        script: Script,
        keys: Sequence[Word],
        arguments: Sequence[Word],
        read: Callable[[Answer], _T],
        *,
        once: bool = False,
        then: Then = None,
    ) -> _T:
        """Return what `read` makes of a script's answer.

        Where a connection broke or its answer was not right, the script runs again over a fresh
        one, unless `once`: all but one of them do the same the second time.
        """
        try:
            with Translating():
                return await self._ask(script, keys, arguments, read, then)
        except StoreRefused:
            raise
        except StoreFailed as failed:
            if once or str(failed) not in _WORTH_ANOTHER:
                raise
        with Translating():
            return await self._ask(script, keys, arguments, read, then)

    async def _ask(
        self,
        script: Script,
        keys: Sequence[Word],
        arguments: Sequence[Word],
        read: Callable[[Answer], _T],
        then: Then,
    ) -> _T:
        mark = os.urandom(_MARK_BYTES)
        rest, first = [len(keys), *keys, *arguments, mark], str(keys[0])

        def answer(said: Answer) -> tuple[float, _T]:
            return replies.of_script(said, mark, read)

        try:
            found = await self._reach.ask_script(
                first, "EVALSHA", script.digest, *rest, read=answer, then=then
            )
        except AnsweredError as error:
            if error.code != "NOSCRIPT":
                raise
            # Redis forgets scripts when it restarts; EVAL also makes it learn this one.
            found = await self._reach.ask_script(
                first, "EVAL", script.text, *rest, read=answer, then=then
            )
        self._ahead = max(one.ahead for one in self._reach.clocks if one.ahead is not None)
        return found

    async def _listen(self, changed: Changed) -> None:
        """Receive what others change, whatever goes wrong, until the store is closed."""
        while not self._closed:
            with suppress(StoreFailed), Translating():
                await self._receive(changed)
            self.subscribed = False
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _receive(self, changed: Changed) -> None:
        line = await self._reach.any_node().connected()
        try:
            line.send("SUBSCRIBE", self._channel)
            asked = False
            while not self._closed:
                try:
                    said = await line.read(LISTEN_SECONDS)
                except TimeoutError:
                    if asked:  # frozen, or gone without a word
                        raise
                    line.send("PING")
                    asked = True
                    continue
                asked = False
                kind, name = replies.notice(said, self._channel.encode())
                if kind == b"subscribe":
                    self.subscribed = True
                    changed(None)  # earlier publications are lost
                elif kind == b"message" and name != PROBE:
                    changed(name)
        finally:
            line.close()


def _given(record: bytes | None) -> bytes:
    """Return how a script is told of a record, or that there is none."""
    return b"" if record is None else b"=" + record


def _fence(under: Under | None, keep_ms: int) -> tuple[Word, Word, Word]:
    """Return how a script is told of the fence to keep something under."""
    if under is None:
        return b"", b"", 0
    return _given(under.seen) or b"-", under.first, fence_ms(keep_ms)

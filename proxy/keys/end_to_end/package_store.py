"""Key packages in the store: each under its session's id, for as long as it opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeysFull, KeyUnavailable
from ..lru_map import BoundedMap
from ..participants.registry import record_name
from ..policy import KNOWN_ISSUES, RECORD_TRIES
from ..sessions.agreement import began
from ..sessions.sessions import Sessions
from ..sessions.shared_clock import latest_not_before
from ..stores import Fenced, HeldRecords, StoreFailed, StoreFull, Under
from ..stores.guarded import Notice
from ..stores.records import RecordRefused, RecordUnknown
from . import package_records, rotation_marker
from .package_records import LIST, Listed, StoredPackage


class KeyErased(Exception):
    """The key of a package was erased: it is not kept again."""


class PackageStore:
    """Puts packages into the store that the sessions use, and finds them there.

    `clock` returns seconds since 1970. A package of an older issue than this process has seen is
    refused as if it were not there.
    """

    def __init__(self, sessions: Sessions, *, clock: Callable[[], float], notice: Notice) -> None:
        """Take the collaborators; nothing is asked yet."""
        self._sessions = sessions
        self._clock = clock
        self._notice = notice
        self._issues: BoundedMap[tuple[str, str], int] = BoundedMap(KNOWN_ISSUES)

    def name(self, scope: Scope) -> str:
        """Return the name of a conversation's packages in the store."""
        return package_records.record_name(self._sessions.keyring.name_key, scope)

    async def put(self, scope: Scope, package: StoredPackage, fence: bytes | None = None) -> bytes:
        """Keep a package and list it; raise KeyUnavailable unless the store has both.

        Returns the fence that it is kept under, which a later issue gives again as `fence`. Raises
        KeyErased where another one stands by then, or the key began before an erasure.
        """
        name = self.name(scope)
        try:
            for _ in range(RECORD_TRIES):
                under = self._sessions.fences.under(name) if fence is None else Under(fence)
                if began(package.sid) < self._sessions.fences.erased_before(name):
                    raise KeyErased
                try:
                    await self._keep(name, package, under)
                except Fenced as fenced:
                    await self._sessions.fences.restore(name, fenced.fence)
                    if fence is not None:
                        raise KeyErased from None
                else:
                    kept = under.first if under.seen is None else under.seen
                    self._sessions.fences.learn(name, kept)
                    await self._list(name, package, Under(kept))
                    return kept
            raise KeyUnavailable("package-not-kept")
        except Fenced:
            raise KeyErased from None
        except StoreFull:
            raise KeysFull("store-full") from None
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        except RecordUnknown as unknown:
            raise KeyUnavailable(str(unknown)) from None

    async def find(self, scope: Scope, sids: Sequence[bytes]) -> list[StoredPackage | None]:
        """Return the package of each session; raise KeyUnavailable where the store is down."""
        return await self._find(scope, [base64url.encode(sid).decode() for sid in sids])

    async def listed(self, scope: Scope) -> list[StoredPackage]:
        """Return all packages of a conversation that have not ended, the newest first."""
        name = self.name(scope)
        try:
            listed = self._decode_list(await self._held_list(name), name)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        found = await self._find(scope, [key_id for key_id, _ in reversed(listed.ends)])
        return [one for one in found if one is not None]

    async def packages(self, scope: Scope, recipient: str) -> tuple[StoredPackage, ...]:
        """Return those that are for a participant, the newest first.

        Raises KeyUnavailable where the store does not answer, ParticipantError for an id that is
        none.
        """
        name = record_name(self._sessions.keyring.name_key, recipient)
        return tuple(one for one in await self.listed(scope) if name in one.audience)

    def erasing(self, scope: Scope) -> int:
        """Return the time (seconds since 1970) before which an erasure destroys packages: all."""
        sessions, state = self._sessions, self._sessions.revocations.of(scope)
        newest = max(state.not_before, sessions.revocations.newest(state.name))
        newest = max(newest, sessions.fences.erased_before(self.name(scope)))
        now = latest_not_before(sessions.now(), shared=sessions.store.keeps_time)
        return max(now, newest + 1)

    async def erase(self, scope: Scope, not_before: int = 0) -> tuple[str, ...]:
        """Destroy all packages of a conversation; return the ids of their sessions.

        `not_before` is what `erasing` has returned. Raises KeyUnavailable where the store does not
        answer; then they may all still be there.
        """
        name, key = self.name(scope), self._sessions.keyring.record_key
        try:
            gone = await self._sessions.fences.rise(name, not_before or self.erasing(scope))
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        return tuple(
            one for one, record in gone.items() if package_records.stood(one, record, name, key)
        )

    async def mark(self, scope: Scope) -> bool:
        """Make every process begin new keys in a conversation; return whether the store has it."""
        return await rotation_marker.put(self._sessions, scope)

    async def _keep(self, name: str, package: StoredPackage, under: Under) -> None:
        """Keep a package unless a later issue is there."""
        record = package_records.encode(package, name, self._sessions.keyring.record_key)
        keep_ms = int((package.ends - self._clock()) * 1000)
        place, seen = (name, package.key_id), None
        for _ in range(RECORD_TRIES):
            held = await self._sessions.store.keep(*place, record, keep_ms, seen=seen, under=under)
            if held.record == record:
                return
            if self._issue(held.record, *place) >= package.issue:
                break
            seen = held.record
        raise KeyUnavailable("package-not-kept")

    async def _find(self, scope: Scope, key_ids: Sequence[str]) -> list[StoredPackage | None]:
        name = self.name(scope)
        try:
            found = await self._sessions.store.find(name, key_ids, fence=True)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        if found.fence is not None:
            self._sessions.fences.learn(name, found.fence)
        return [
            None if held is None else self._opened(held, name, key_id)
            for key_id, held in zip(key_ids, found.keys, strict=True)
        ]

    def _opened(self, held: HeldRecords, name: str, key_id: str) -> StoredPackage | None:
        try:
            package = package_records.decode(held.record, name, self._sessions.keyring.record_key)
        except RecordRefused as refused:
            self._notice(str(refused))
            return None
        if package.key_id != key_id or package.ends <= self._clock():
            return None
        if began(package.sid) < self._sessions.fences.erased_before(name):
            return None  # it came back, as from a backup of the store
        place = name, key_id
        if package.issue < (self._issues.get(place) or 0):
            self._notice("record-stale")
            return None
        self._issues.put(place, package.issue)
        return package

    def _issue(self, record: bytes, name: str, key_id: str) -> int:
        """Return the issue of a stored package; 0 for a forged record.

        Raises RecordUnknown for a record of another version.
        """
        try:
            package = package_records.decode(record, name, self._sessions.keyring.record_key)
        except RecordUnknown:
            raise
        except RecordRefused as refused:
            self._notice(str(refused))
            return 0
        return package.issue if package.key_id == key_id else 0

    async def _list(self, name: str, package: StoredPackage, under: Under) -> None:
        held = await self._held_list(name)
        listed = self._decode_list(held, name)
        for _ in range(RECORD_TRIES):
            now = self._clock()
            after = listed.with_one(package.key_id, package.ends, now)
            keep_ms = int((max(ends for _, ends in after.ends) - now) * 1000)
            key = self._sessions.keyring.record_key
            record = package_records.encode_list(after, name, key)
            seen = None if held is None else held.record
            held = await self._sessions.store.keep(
                name, LIST, record, keep_ms, seen=seen, under=under
            )
            if held.record == record:
                return
            listed = self._decode_list(held, name)
        raise KeyUnavailable("package-not-listed")

    async def _held_list(self, name: str) -> HeldRecords | None:
        return (await self._sessions.store.find(name, [LIST])).keys[0]

    def _decode_list(self, held: HeldRecords | None, name: str) -> Listed:
        if held is None:
            return Listed()
        try:
            return package_records.decode_list(held.record, name, self._sessions.keyring.record_key)
        except RecordRefused as refused:
            self._notice(str(refused))
            raise KeyUnavailable(str(refused)) from None

"""Key packages in the store: each under its session's id, for as long as it opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeysFull, KeyUnavailable
from ..lru_map import BoundedMap
from ..participants.registry import record_name
from ..policy import KNOWN_ISSUES, RECORD_TRIES
from ..sessions.sessions import Sessions
from ..stores import HeldRecords, StoreFailed, StoreFull
from ..stores.guarded import Notice
from ..stores.records import RecordRefused, RecordUnknown
from . import package_records, rotation_marker
from .package_records import LIST, Listed, StoredPackage


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

    async def put(self, scope: Scope, package: StoredPackage) -> None:
        """Keep a package and list it; raise KeyUnavailable unless the store has both."""
        name, key = self.name(scope), self._sessions.keyring.record_key
        record = package_records.encode(package, name, key)
        keep_ms = int((package.ends - self._clock()) * 1000)
        place, seen = (name, package.key_id), None
        try:
            for _ in range(RECORD_TRIES):
                held = await self._sessions.store.keep(*place, record, keep_ms, seen=seen)
                if held.record == record or self._issue(held.record, *place) >= package.issue:
                    break
                seen = held.record
            if held.record != record:
                raise KeyUnavailable("package-not-kept")
            await self._list(name, package)
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

    async def erase(self, scope: Scope) -> tuple[str, ...]:
        """Destroy all packages of a conversation; return the ids of their sessions.

        Raises KeyUnavailable where the store does not answer; then they may all still be there.
        """
        name, key = self.name(scope), self._sessions.keyring.record_key
        try:
            gone = await self._sessions.store.erase(name)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        return tuple(
            one for one, record in gone.items() if package_records.stood(one, record, name, key)
        )

    async def mark(self, scope: Scope) -> bool:
        """Make every process begin new keys in a conversation; return whether the store has it."""
        return await rotation_marker.put(self._sessions, scope)

    async def _find(self, scope: Scope, key_ids: Sequence[str]) -> list[StoredPackage | None]:
        name = self.name(scope)
        try:
            found = await self._sessions.store.find(name, key_ids)
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
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

    async def _list(self, name: str, package: StoredPackage) -> None:
        held = await self._held_list(name)
        listed = self._decode_list(held, name)
        for _ in range(RECORD_TRIES):
            now = self._clock()
            after = listed.with_one(package.key_id, package.ends, now)
            keep_ms = int((max(ends for _, ends in after.ends) - now) * 1000)
            key = self._sessions.keyring.record_key
            record = package_records.encode_list(after, name, key)
            seen = None if held is None else held.record
            held = await self._sessions.store.keep(name, LIST, record, keep_ms, seen=seen)
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

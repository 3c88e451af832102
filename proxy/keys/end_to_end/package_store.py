"""Key packages in the store: each under its session's id, for as long as it opens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeysFull, KeyUnavailable
from ..keyring.name_keys import NamePlace, packages_name
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
        return packages_name(self._sessions.keyring.name_key, scope)

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
        found: dict[str, StoredPackage | None] = dict.fromkeys(
            base64url.encode(sid).decode() for sid in sids
        )
        try:
            for place in self._places(scope):
                wanted = [one for one, package in found.items() if package is None]
                # Those of an adopted keyring are signed for participants whom nobody knows here.
                if wanted and not place.adopted:
                    found.update(zip(wanted, await self._found(place, wanted), strict=True))
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        return list(found.values())

    async def listed(self, scope: Scope) -> list[StoredPackage]:
        """Return all packages of a conversation that have not ended, the newest first."""
        found: list[StoredPackage] = []
        try:
            for place in self._places(scope):
                listed = self._decode_list(await self._held_list(place.packages), place)
                ids = [key_id for key_id, _ in reversed(listed.ends)]
                found += filter(None, await self._found(place, ids))
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        return found

    async def packages(self, scope: Scope, recipient: str) -> tuple[StoredPackage, ...]:
        """Return those that are for a participant, the newest first.

        Raises KeyUnavailable where the store does not answer, ParticipantError for an id that is
        none.
        """
        name = record_name(self._sessions.keyring.participant_names, recipient)
        return tuple(one for one in await self.listed(scope) if name in one.audience)

    def erasing(self, scope: Scope) -> int:
        """Return the time (seconds since 1970) before which an erasure destroys packages: all."""
        sessions, state = self._sessions, self._sessions.revocations.of(scope)
        newest = max(state.not_before, sessions.revocations.newest(state.name))
        names = (place.packages for place in self._places(scope))
        newest = max(newest, *map(sessions.fences.erased_before, names))
        now = latest_not_before(sessions.now(), shared=sessions.store.keeps_time)
        return max(now, newest + 1)

    async def erase(self, scope: Scope, not_before: int = 0) -> tuple[str, ...]:
        """Destroy all packages of a conversation; return the ids of their sessions.

        `not_before` is what `erasing` has returned. Raises KeyUnavailable where the store does not
        answer; then they may all still be there.
        """
        not_before, gone = not_before or self.erasing(scope), list[str]()
        try:
            for place in self._places(scope):
                name, stood = place.packages, package_records.stood
                found = await self._sessions.fences_at(place).rise(name, not_before)
                gone += [one for one, held in found.items() if stood(one, held, name, place.key)]
        except StoreFailed:
            raise KeyUnavailable("store-unavailable") from None
        return tuple(gone)

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

    def _places(self, scope: Scope) -> tuple[NamePlace, ...]:
        return self._sessions.keyring.places_of(scope)

    async def _found(self, place: NamePlace, key_ids: Sequence[str]) -> list[StoredPackage | None]:
        """Return the packages of a place; raise StoreFailed where the store does not answer."""
        found = await self._sessions.store.find(place.packages, key_ids, fence=True)
        if found.fence is not None and not place.adopted:
            self._sessions.fences.learn(place.packages, found.fence)
        return [
            None if held is None else self._opened(held, place, key_id)
            for key_id, held in zip(key_ids, found.keys, strict=True)
        ]

    def _opened(self, held: HeldRecords, stood: NamePlace, key_id: str) -> StoredPackage | None:
        name = stood.packages
        try:
            package = package_records.decode(held.record, name, stood.key)
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
        place = NamePlace("", name, self._sessions.keyring.record_key)
        held = await self._held_list(name)
        listed = self._decode_list(held, place)
        for _ in range(RECORD_TRIES):
            now = self._clock()
            after = listed.with_one(package.key_id, package.ends, now)
            keep_ms = int((max(ends for _, ends in after.ends) - now) * 1000)
            record = package_records.encode_list(after, name, place.key)
            seen = None if held is None else held.record
            held = await self._sessions.store.keep(
                name, LIST, record, keep_ms, seen=seen, under=under
            )
            if held.record == record:
                return
            listed = self._decode_list(held, place)
        raise KeyUnavailable("package-not-listed")

    async def _held_list(self, name: str) -> HeldRecords | None:
        return (await self._sessions.store.find(name, [LIST])).keys[0]

    def _decode_list(self, held: HeldRecords | None, place: NamePlace) -> Listed:
        if held is None:
            return Listed()
        try:
            return package_records.decode_list(held.record, place.packages, place.key)
        except RecordRefused as refused:
            self._notice(str(refused))
            raise KeyUnavailable(str(refused)) from None

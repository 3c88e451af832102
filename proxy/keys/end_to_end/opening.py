"""Sessions that open end to end: from key packages, by the private keys of a reader.

A package is looked up by the session id in a token, and opened in a thread. Its key is remembered
and never replaced by another one, whatever the store holds later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...core.crypto.context import Scope
from ...core.crypto.derivation import SID_BYTES
from ...core.crypto.secret import SessionKey
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ...core.errors import KeyUnavailable, OpenFailed
from ..lru_map import BoundedMap
from ..participants import package
from ..participants.package import Identity
from ..participants.public_key import PublicKey
from ..pieces import pieces
from ..policy import ABSENT_SECONDS, MAX_SKEW_SECONDS
from ..sessions.ephemeral import MAX_GRACE_SECONDS
from ..sessions.sessions import Sessions
from ..sessions.settings import MAX_AGE_SECONDS, SessionSettings
from .directory import Directory
from .identities import Identities
from .package_records import StoredPackage
from .package_store import PackageStore

Need = tuple[Scope, KeyId]
Opened = dict[Need, tuple[Session, str | None]]
"""For each need a session, or a decoy and why the token must not open."""

_Place = tuple[Scope, bytes]
"""A scope with its reader, and a session id."""


@dataclass(frozen=True, slots=True)
class _Live:
    """A session from a package, with its key, who signed it and when it ends (since 1970)."""

    session: Session
    key: SessionKey = field(repr=False)
    issuer: str
    kid: str
    issue: int
    ends: float


@dataclass(slots=True)
class _Known:
    """What is known of a session id: a live session, or None and why there is none."""

    live: _Live | None
    refusal: str
    decoy: Session
    fresh_until: float


class _Past(NamedTuple):
    """How often participants have changed, and all has been forgotten."""

    changes: int = 0
    clears: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """A package to be opened, with what that takes."""

    stored: StoredPackage
    identity: Identity
    sender: PublicKey


class PackagedOpening:
    """Holds the sessions that open. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what EndToEnd hands in, each by name
        self,
        sessions: Sessions,
        settings: SessionSettings,
        package_store: PackageStore,
        directory: Directory,
        identities: Identities,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Begin with none."""
        self._sessions = sessions
        self._longest = settings.package_max_age
        self._package_store = package_store
        self._directory = directory
        self._identities = identities
        self._clock = clock
        self._known: BoundedMap[_Place, _Known] = BoundedMap(settings.max_scopes)
        self._keys: BoundedMap[tuple[Scope, str, bytes], _Live] = BoundedMap(settings.max_scopes)
        self._past = _Past()

    def __len__(self) -> int:
        """Return how many session ids are known."""
        return len(self._known)

    def warm(self, needs: Iterable[Need], now: float) -> Opened | None:
        """Return what is found for each need; None where one must wait."""
        found: Opened = {}
        return found if self._add(found, needs, now, now) else None

    async def warm_many(self, needs: Collection[Need], asked: float | None) -> Opened | None:
        """Do as `warm`, in pieces. `asked` is when the store was asked, in seconds since 1970.

        What it did not have then is still taken for absent: to ask for all may take longer than
        that is remembered.
        """
        found: Opened = {}
        async for piece in pieces(needs):
            now = self._clock()
            if not self._add(found, piece, now, now if asked is None else asked):
                return None
        return found

    async def obtain(self, scope: Scope, sids: Sequence[bytes]) -> None:
        """Look for the packages of sessions; raise KeyUnavailable where the store is down."""
        now, since = self._clock(), self._past
        wanted = []
        for sid in sids:
            known = self._known.get((scope, sid))
            if known is None or now >= known.fresh_until:
                wanted.append(sid)
        if not wanted:
            return
        conversation = scope._replace(parties=None)
        found = await self._package_store.find(conversation, wanted)
        jobs: dict[bytes, tuple[_Job, float]] = {}
        for sid, stored in zip(wanted, found, strict=True):
            if stored is None:
                self._settle(scope, sid, "no-package", self._clock() + ABSENT_SECONDS, since)
                continue
            job, fresh_until = await self._job(scope, stored)
            if isinstance(job, str):
                self._settle(scope, sid, job, fresh_until, since)
            elif not self._still_good(scope, sid, stored, self._fresh(fresh_until, since)):
                jobs[sid] = job, fresh_until
        if jobs:
            # Private operations of RSA: 1.5 ms each, in which OpenSSL lets other threads run.
            now, longest = self._clock(), self._longest
            opened = await asyncio.to_thread(_open_all, jobs, conversation, now, longest)
            for sid, live in opened.items():
                self._settle(scope, sid, live, jobs[sid][1], since)

    def changed(self) -> None:
        """Ask the store about every session when it is next needed."""
        self._past = self._past._replace(changes=self._past.changes + 1)
        for known in self._known.entries():
            known.fresh_until = 0.0

    def drop_ended(self, now: float) -> Iterator[None]:
        """Drop what has ended or was absent, a few at each step."""

        def over(known: _Known) -> bool:
            ends = known.fresh_until if known.live is None else known.live.ends
            return now >= ends

        yield from self._known.dropping(over)
        yield from self._keys.dropping(lambda kept: now >= kept.ends)

    def clear(self) -> None:
        """Forget all."""
        self._past = self._past._replace(clears=self._past.clears + 1)
        self._known.clear()
        self._keys.clear()

    def possible(self, scope: Scope, key_id: KeyId, now: float) -> bool:
        """Whether a session with that id can come from a package at all."""
        durable = key_id.kek_id is not None or key_id.kek_number is not None
        reader = scope.parties is not None and scope.parties.reader is not None
        oldest = now - MAX_AGE_SECONDS - MAX_GRACE_SECONDS
        return reader and not durable and oldest < key_id.created <= now + MAX_SKEW_SECONDS

    def _add(self, found: Opened, needs: Iterable[Need], now: float, asked: float) -> bool:
        """Add what is found for the needs; return whether the store need not be asked."""
        for need in needs:
            scope, key_id = need
            if not self.possible(scope, key_id, now):
                found[need] = self._decoy(scope, key_id.sid), "not-from-a-package"
                continue
            known = self._known.get((scope, key_id.sid))
            not_before = self._sessions.not_before(scope._replace(parties=None), now)
            if known is None or not_before is None:
                return False
            if known.fresh_until <= (asked if known.live is None else now):
                return False
            found[need] = self._judged(known, not_before, now)
        return True

    def _judged(self, known: _Known, not_before: int, now: float) -> tuple[Session, str | None]:
        live = known.live
        if live is None:
            return known.decoy, known.refusal
        if live.session.created < not_before:
            return known.decoy, "revoked-session"
        if now >= live.ends:
            return known.decoy, "package-expired"
        return live.session, None

    async def _job(self, scope: Scope, stored: StoredPackage) -> tuple[_Job | str, float]:
        """Return what opens a package for the scope's reader, or why nothing does.

        The second value is how long (seconds since 1970) that is fresh.
        """
        assert scope.parties is not None  # noqa: S101 - see `possible`
        reader = scope.parties.reader or ""
        mine = await self._directory.find(self._directory.name(reader))
        theirs = await self._directory.find(stored.issuer)
        fresh_until = min(mine.fresh_until, theirs.fresh_until)
        if not self._is_from(scope.parties.sender, stored.issuer):
            return "package-of-another-sender", fresh_until
        sender = theirs.trusted.verifying_key(stored.kid, self._clock())
        if sender is None:
            some = theirs.participant.verifying_key(stored.kid, self._clock()) is not None
            return "sender-key-not-accepted" if some else "sender-key-not-valid", fresh_until
        identities = await self._identities.find(reader, mine.participant, "enc")
        for identity in identities:
            if package.is_for(stored.package, identity.public.kid):
                return _Job(stored, identity, sender), fresh_until
        return "package-not-for-us" if identities else "no-identity", fresh_until

    def _is_from(self, sender: str | None, issuer: str) -> bool:
        """Whether a package is of the sender that the message names, if it names one."""
        if sender is None:
            return True
        try:
            return self._directory.name(sender) == issuer
        except KeyUnavailable:
            return False  # an impossible id

    def _still_good(
        self, scope: Scope, sid: bytes, stored: StoredPackage, fresh_until: float
    ) -> bool:
        """Whether the session is known from this very package; then it stays fresh."""
        known = self._known.get((scope, sid))
        live = known.live if known is not None else None
        if known is None or live is None:
            return False
        same = (live.issuer, live.kid, live.issue) == (stored.issuer, stored.kid, stored.issue)
        if same:
            known.fresh_until = fresh_until
        return same

    def _unreplaced(self, scope: Scope, live: _Live | str) -> _Live | str:
        """Return a session, unless another key was in an earlier package of its issuer and id."""
        if isinstance(live, str):
            return live
        place = scope._replace(parties=None), live.issuer, live.session.sid
        kept = self._keys.get(place)
        if kept is not None and kept.key != live.key:
            return "package-key-replaced"
        self._keys.put(place, live)
        return live

    def _settle(
        self, scope: Scope, sid: bytes, live: _Live | str, fresh_until: float, since: _Past
    ) -> None:
        """Cache that there is a session, or why there is none.

        Nothing is cached where all was forgotten meanwhile: what opened it may be gone.
        """
        if since.clears != self._past.clears:
            return
        known = self._known.get((scope, sid))
        decoy = known.decoy if known is not None else self._decoy(scope, sid)
        live = self._unreplaced(scope, live)
        held, refusal = (None, live) if isinstance(live, str) else (live, "")
        fresh_until = self._fresh(fresh_until, since)
        self._known.put((scope, sid), _Known(held, refusal, decoy, fresh_until))

    def _fresh(self, fresh_until: float, since: _Past) -> float:
        # What changed meanwhile may be that a key was revoked.
        return fresh_until if since == self._past else 0.0

    def _decoy(self, scope: Scope, sid: bytes) -> Session:
        # The equal form has no session id.
        return self._sessions.decoy(scope._replace(parties=None), sid or bytes(SID_BYTES))


def _open_all(
    jobs: dict[bytes, tuple[_Job, float]], conversation: Scope, now: float, longest: float
) -> dict[bytes, _Live | str]:
    return {sid: _open(sid, job, conversation, now, longest) for sid, (job, _) in jobs.items()}


def _open(sid: bytes, job: _Job, conversation: Scope, now: float, longest: float) -> _Live | str:
    """Return the session in a package, or why it is refused."""
    stored = job.stored
    try:
        opened = package.unseal(
            stored.package,
            job.identity,
            sender=job.sender,
            scope=conversation,
            now=now,
            longest=longest,
        )
    except OpenFailed as failed:
        return failed.reason
    if opened.sid != sid or opened.exp != stored.ends:
        return "package-session"
    names = stored.issuer, stored.kid, stored.issue
    return _Live(opened.session(), opened.key, *names, float(opened.exp))

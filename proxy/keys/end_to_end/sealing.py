"""Sessions that seal end to end: random keys of this process, which leave it only in packages.

For each conversation, sender and set of recipients there is one session. Its package is for exactly
the keys that these recipients have. If a recipient or key is added, the package is issued again; if
a key is removed, a new session replaces this one at once, so that messages open only for their own
recipients. No other process has the key: each makes its own, which seals until that process ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ...core.crypto.context import Parties, Scope
from ...core.crypto.secret import KEY_BYTES, SessionKey
from ...core.crypto.session_cipher import Session
from ...core.errors import KeyUnavailable, ParticipantError
from ...telemetry.reporter import Reporter
from ..keyring.kek import RandomBytes
from ..lru_map import BoundedMap
from ..participants import package
from ..participants.package import Identity
from ..participants.public_key import PublicKey
from ..policy import MAX_RECIPIENTS, MAX_SKEW_SECONDS, REST_SECONDS
from ..sessions.agreement import new_sid
from ..sessions.sessions import Sessions
from ..sessions.settings import SessionSettings
from ..stores import ClockRefused
from . import rotation_marker
from .directory import Directory
from .identities import Identities
from .package_records import StoredPackage
from .package_store import KeyErased, PackageStore

Cause = Literal["first", "spent", "revoked", "rotated", "recipient-added", "key-gone"]
"""Why a package is issued."""

Place = tuple[Scope, str]
"""A conversation without parties, and the sender."""


class Audience(NamedTuple):
    """For whom a package is: who signs it, whose keys it has, and how long that is fresh.

    `members` are the names of the recipients' records, `marker` is the rotation marker.
    """

    sender: Identity
    issuer: str
    members: tuple[str, ...]
    keys: tuple[PublicKey, ...]
    fresh_until: float
    changes: int
    marker: str

    @property
    def kids(self) -> frozenset[str]:
        """The ids of the recipients' keys."""
        return frozenset(one.kid for one in self.keys)

    def fits(self, other: Audience) -> bool:
        """Whether a package for this one is a package for the other as it is."""
        return self.kids == other.kids and self.sender.public == other.sender.public

    def grows_into(self, other: Audience) -> bool:
        """Whether no key is removed: then the same session key may go to the others too."""
        return self.kids <= other.kids and self.sender.public == other.sender.public


@dataclass(slots=True)
class Held:
    """A session that seals until `soft_end` and opens until `ends`, both seconds since 1970.

    After `fresh_until` the participants are looked up again; once `rotated` another replaces it.
    `records` is the name of the conversation's packages, `fence` the one that this package is kept
    under.
    """

    scope: Scope
    session: Session
    key: SessionKey = field(repr=False)
    audience: Audience
    records: str
    soft_end: float
    ends: int
    fresh_until: float
    issue: int = 1
    used: int = 0
    rotated: bool = False
    fence: bytes | None = None


class PackagedSealing:
    """Holds the sessions that seal. `clock` returns seconds since 1970."""

    def __init__(  # noqa: PLR0913 - what EndToEnd hands in, each by name
        self,
        sessions: Sessions,
        settings: SessionSettings,
        package_store: PackageStore,
        directory: Directory,
        identities: Identities,
        *,
        clock: Callable[[], float],
        random: RandomBytes,
        reporter: Reporter,
    ) -> None:
        """Begin with none."""
        self._sessions = sessions
        self._settings = settings
        self._package_store = package_store
        self._directory = directory
        self._identities = identities
        self._clock = clock
        self._random = random
        self._reporter = reporter
        self._held: BoundedMap[Scope, Held] = BoundedMap(settings.max_scopes)
        self._latest: BoundedMap[Place, Held] = BoundedMap(settings.max_scopes)
        # Those whose packages are not there yet: what is announced meanwhile is for them too.
        self._storing: dict[int, Held] = {}
        self._clears = 0

    def __len__(self) -> int:
        """Return how many are held."""
        return len(self._held)

    def warm(self, seals: Mapping[Scope, int], now: float) -> list[tuple[Held, int]] | None:
        """Return a session for each need, with how much it is to seal; None where one must wait.

        Nothing is counted yet: see `take`.
        """
        found: list[tuple[Held, int]] = []
        for scope, count in seals.items():
            held = self._held.get(scope)
            if held is None or now >= held.fresh_until or not self._able(held, count, now):
                return None
            found.append((held, count))
        return found

    def take(self, found: list[tuple[Held, int]]) -> dict[Scope, Session]:
        """Count what `warm` returned as used."""
        for held, count in found:
            held.used += count
        return {held.scope: held.session for held, _ in found}

    async def obtain(self, scope: Scope, count: int) -> None:
        """See that a session can seal `count` values for the recipients that the scope names.

        Raises KeyUnavailable where the sender cannot sign, a recipient has no key, or the package
        cannot be stored. The caller holds the lock of the conversation and sender, and asks again
        where none is held yet: all was dropped meanwhile.
        """
        held, now, clears = self._held.get(scope), self._clock(), self._clears
        usable = held is not None and self._able(held, count, now)
        if held is not None and usable and now < held.fresh_until:
            return
        try:
            audience = await self._audience(scope)
        except KeyUnavailable as error:
            if held is None or not usable or error.reason != "participant-unavailable":
                raise
            held.fresh_until = (
                self._clock() + REST_SECONDS
            )  # the store is down: keep using it for now
            return
        if clears != self._clears:
            return  # a package of what was held may be destroyed, and who signs may be removed
        if held is None:
            await self._begin_first(scope, audience, count)
        elif not usable or not self._able(held, count, self._clock()):
            await self._begin(scope, audience, self._why_unable(held))
        elif held.audience.marker != audience.marker:
            await self._begin(scope, audience, "rotated")
        elif held.audience.fits(audience):
            held.audience, held.fresh_until = audience, self._fresh_until(audience)
        elif held.audience.grows_into(audience):
            await self._issue_again(held, scope, audience)
        else:
            await self._begin(scope, audience, "key-gone")

    def mark_rotated(self, name: str | None) -> None:
        """Begin new sessions at the next message in the conversation of that name.

        Without a name a notification was missed: participants are looked up, sessions stay.
        """
        for held in (*self._held.entries(), *self._storing.values()):
            if name is None:
                held.fresh_until = 0.0
            elif self._sessions.revocations.of(place(held.scope)[0]).named(name):
                held.rotated = True

    def doubt(self, name: str) -> None:
        """Look up the participants of every session again that the one of that record is in."""
        for held in self._held.entries():
            if name == held.audience.issuer or name in held.audience.members:
                held.fresh_until = 0.0

    def drop_ended(self, now: float) -> Iterator[None]:
        """Drop what has ended, a few at each step."""
        yield from self._held.dropping(lambda held: now >= held.soft_end)
        yield from self._latest.dropping(lambda held: now >= held.soft_end)

    def clear(self) -> None:
        """Drop all; what they sealed opens as long as their packages exist."""
        self._clears += 1
        self._held.clear()
        self._latest.clear()
        for held in self._storing.values():
            held.rotated = True
        self._storing.clear()

    def _able(self, held: Held, count: int, now: float) -> bool:
        not_before = self._sessions.not_before(place(held.scope)[0], now)
        if not_before is None:
            return False
        most = now + MAX_SKEW_SECONDS
        return (
            not held.rotated
            and held.session.created >= self._sessions.fences.erased_before(held.records)
            and now < held.soft_end
            and held.used + count <= self._settings.max_messages
            and not_before <= held.session.created <= most  # no reader opens one from the future
        )

    def _why_unable(self, held: Held) -> Cause:
        not_before = self._sessions.not_before(place(held.scope)[0], self._clock()) or 0
        if held.session.created < not_before:
            return "revoked"
        erased = held.session.created < self._sessions.fences.erased_before(held.records)
        return "rotated" if held.rotated or erased else "spent"

    def _grows(self, held: Held, scope: Scope, audience: Audience, count: int) -> bool:
        """Whether a session for fewer recipients can continue for those of `scope`.

        Those who join a conversation may open what was sealed in it. Where no conversation is
        bound, a larger set of recipients is another one.
        """
        if scope.conversation is None:
            return False
        before, after = _parties(held.scope).recipients, _parties(scope).recipients
        able = self._able(held, count, self._clock()) and held.audience.marker == audience.marker
        return able and set(before) < set(after) and held.audience.grows_into(audience)

    async def require_audience(self, scope: Scope) -> None:
        """Raise KeyUnavailable where there is nobody to sign or to seal for; make nothing."""
        await self._audience(scope)

    async def _audience(self, scope: Scope) -> Audience:
        parties, changes = _parties(scope), self._directory.changes
        try:
            marker = await rotation_marker.last(self._sessions, place(scope)[0])
        except KeyUnavailable:
            raise KeyUnavailable("participant-unavailable") from None
        sender, issuer = parties.sender or "", self._directory.name(parties.sender or "")
        members = tuple(self._directory.name(one) for one in parties.recipients)
        known = [await self._directory.find(name) for name in (issuer, *members)]
        identities = await self._identities.find(sender, known[0].participant, "sig")
        now = self._clock()
        active = {one.public.kid for one in known[0].participant.keys if one.seals(now)}
        signing = next((one for one in identities if one.public.kid in active), None)
        if signing is None:
            raise KeyUnavailable("sender-has-no-key")
        if known[0].trusted.verifying_key(signing.public.kid, now) is None:
            raise KeyUnavailable("sender-key-not-accepted")
        keys: dict[str, PublicKey] = {}
        for one in known[1:]:
            found = one.trusted.sealing_keys(now)
            if not found:
                some = bool(one.participant.sealing_keys(now))
                raise KeyUnavailable(
                    "recipient-key-not-accepted" if some else "recipient-has-no-key"
                )
            keys |= {key.kid: key for key in found}
        if len(keys) > MAX_RECIPIENTS:
            raise KeyUnavailable("too-many-recipients")
        fresh_until = min(one.fresh_until for one in known)
        return Audience(
            signing, issuer, members, tuple(keys.values()), fresh_until, changes, marker
        )

    async def _begin_first(self, scope: Scope, audience: Audience, count: int) -> None:
        """Go on with the session of fewer recipients, if there is one that may, or begin one."""
        smaller = self._latest.get(place(scope))
        if smaller is not None and self._grows(smaller, scope, audience, count):
            await self._issue_again(smaller, scope, audience)
        else:
            await self._begin(scope, audience, "first")

    async def _begin(self, scope: Scope, audience: Audience, cause: Cause) -> None:
        now, (conversation, _) = self._clock(), place(scope)
        records = self._package_store.name(conversation)
        revoked = self._sessions.not_before(conversation, now) or 0
        not_before = max(revoked, self._sessions.fences.erased_before(records))
        sid = new_sid(self._sessions.clock, not_before, self._random)
        key = SessionKey(self._random(KEY_BYTES))
        session = Session(key, sid=sid, scope=conversation, packaged=True)
        soft_end = now + self._settings.ttl
        longest = int(self._settings.package_max_age)
        ends = int(now) + min(int(self._settings.ttl + self._settings.grace), longest)
        held = Held(scope, session, key, audience, records, soft_end, ends, 0.0)
        self._sessions.revocations.began(self._sessions.name(conversation), session.created)
        try:
            await self._store(held, cause)
        except KeyErased:
            return  # erased since it began: the caller asks again, and another one begins
        held.fresh_until = self._fresh_until(audience)
        self._hold(held)

    async def _issue_again(self, held: Held, scope: Scope, audience: Audience) -> None:
        """Issue the package of a session to more keys; it seals for those of `scope` then."""
        grown = replace(held, scope=scope, audience=audience, issue=held.issue + 1)
        held.issue += 1  # this number is used, even if storing fails
        try:
            await self._store(grown, "recipient-added")
        except KeyErased:
            held.rotated = True
            await self._begin(scope, audience, "rotated")
            return
        grown.used, grown.fresh_until = held.used, self._fresh_until(audience)
        self._held.forget(held.scope)
        self._hold(grown)

    def _fresh_until(self, audience: Audience) -> float:
        # What changed meanwhile may be that one of them was revoked.
        return audience.fresh_until if audience.changes == self._directory.changes else 0.0

    def _hold(self, held: Held) -> None:
        self._held.put(held.scope, held)
        self._latest.put(place(held.scope), held)

    async def _store(self, held: Held, cause: Cause) -> None:
        """Make the package of a session and store it for its recipients.

        Raises KeyUnavailable where our clock is too far from the store's, which has answered for
        the audience: to readers with a right clock, the package would be too early or over.
        """
        if self._sessions.clock.wrong:
            raise KeyUnavailable(str(ClockRefused()))
        self._storing[id(held)] = held
        try:
            await self._issue(held, cause)
        finally:
            self._storing.pop(id(held), None)

    async def _issue(self, held: Held, cause: Cause) -> None:
        audience, now = held.audience, int(self._clock())
        conversation, _ = place(held.scope)
        try:
            text = await asyncio.to_thread(
                package.seal,
                held.key,
                sid=held.session.sid,
                scope=conversation,
                sender=audience.sender,
                recipients=audience.keys,
                now=now,
                ttl=max(held.ends - now, 1),
            )
        except ParticipantError:
            raise KeyUnavailable("package-not-made") from None
        kid = audience.sender.public.kid
        parts = audience.issuer, kid, audience.members, now, held.ends, text
        stored = StoredPackage(held.session.sid, held.issue, *parts)
        # Raises where a blocking audit log cannot be written: then no package is stored.
        await self._sessions.write_down(
            "package.issued",
            scope=self._sessions.name(conversation),
            sid=stored.key_id,
            issue=held.issue,
            cause=cause,
            sender=audience.issuer,
            keys=len(audience.keys),
        )
        if held.rotated and held.issue > 1:
            return  # its first package may be destroyed: the key must not come back in another one
        held.fence = await self._package_store.put(conversation, stored, held.fence)
        self._reporter.report(
            "package.issued",
            sid=stored.key_id,
            issue=held.issue,
            cause=cause,
            recipients=len(audience.members),
            keys=len(audience.keys),
            ttl_s=held.ends - now,
        )


def place(scope: Scope) -> Place:
    """Return the conversation and the sender of a scope with parties."""
    return scope._replace(parties=None), _parties(scope).sender or ""


def _parties(scope: Scope) -> Parties:
    assert scope.parties is not None  # noqa: S101 - EndToEnd gives no other
    return scope.parties

"""The key source of rules that seal or open end to end, and of all other rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakValueDictionary

from ...config.settings import IdentitySettings, PinSettings
from ...core.crypto.context import Scope
from ...core.crypto.session_cipher import Session
from ...core.crypto.token import KeyId
from ...core.errors import KeyUnavailable, Unopened
from ...core.values.key_needs import Attempt, Keys, Needs
from ...core.values.streams import REVOKED
from ...process import forks
from ...telemetry.reporter import Reporter
from ..keyring.kek import RandomBytes
from ..participants.pins import PinBook
from ..participants.registry import Participants
from ..pieces import all_done, pieces
from ..policy import PIECE, ROUNDS
from ..sessions.key_events import BLOCKED
from ..sessions.sessions import WITHDRAWN, Sessions
from ..sessions.settings import SessionSettings
from ..stores import erased
from ..stores.guarded import Notice
from .directory import Directory, Pinning
from .identities import Identities
from .opening import Need, Opened, PackagedOpening
from .package_store import PackageStore
from .sealing import PackagedSealing, place

if TYPE_CHECKING:
    from ...core.search.tags import IndexKeys


class _Found(NamedTuple):
    """What has been found of the tokens to be opened: of those with parties, and of all others."""

    opened: Opened
    plain: Keys | None


class EndToEnd:
    """Finds the sessions of plans, those with parties among them. One serves one process.

    `clock` returns seconds since 1970. What has no parties is left to `sessions`.
    """

    def __init__(  # noqa: PLR0913 - what the wiring hands in, each by name
        self,
        sessions: Sessions,
        settings: SessionSettings,
        identities: Sequence[IdentitySettings] | None,
        environ: Mapping[str, str],
        *,
        pins: PinSettings,
        clock: Callable[[], float],
        random: RandomBytes,
        notice: Notice,
        reporter: Reporter,
    ) -> None:
        """Begin with empty caches."""
        self._sessions = sessions
        self._clock = clock
        self._max_messages = settings.max_messages
        self._max_scopes = settings.max_scopes
        self._pinning = Pinning(
            sessions, pins, clock=clock, notice=notice, reporter=reporter, changed=self.changed
        )
        self._directory = Directory(
            sessions, settings.revocation_max_age, self._pinning, clock=clock, notice=notice
        )
        self._identities = Identities(sessions, identities, environ, clock=clock, reporter=reporter)
        self.package_store = PackageStore(sessions, clock=clock, notice=notice)
        """The key packages, for those who show and erase them."""
        found = sessions, settings, self.package_store, self._directory, self._identities
        self._sealing = PackagedSealing(*found, clock=clock, random=random, reporter=reporter)
        self._opening = PackagedOpening(*found, clock=clock)
        self._locks: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        self._generation = forks.generation()

    @property
    def cached(self) -> tuple[int, int]:
        """How many sessions are held for sealing, and how many session ids are known."""
        return len(self._sealing), len(self._opening)

    def resolve_warm(self, needs: Needs, found: _Found | None = None) -> Keys | None:
        """Return the sessions of a plan, or None when the store must be asked.

        `found` is what has been found of those to be opened. What is returned counts as used; None
        counts nothing. Raises KeyUnavailable for tokens to be opened while a blocking audit log
        cannot be written.
        """
        if forks.generation() != self._generation:
            self._begin_after_fork()
        plain, seals, opens = _divided(needs)
        if not seals and not opens:
            return self._sessions.resolve_warm(plain)
        if self._sessions.withdrawn:
            self._drop()  # what was begun before may have kept a key since
            raise KeyUnavailable(WITHDRAWN)
        if self._sessions.blocked and opens:
            raise KeyUnavailable(BLOCKED)
        if not self._sessions.leased:  # what opens here may be erased
            return None
        now = self._clock()
        opened = self._opening.warm(opens, now) if found is None else found.opened
        sealing = self._sealing.warm(seals, now) if opened is not None else None
        if opened is None or sealing is None:
            return None
        keys = self._sessions.resolve_warm(plain, None if found is None else found.plain)
        return None if keys is None else self._joined(keys, self._sealing.take(sealing), opened)

    async def resolve(self, needs: Needs) -> Keys:
        """Return the sessions of a plan, asking the store for those that are not cached.

        Raises KeyUnavailable when one cannot be had: a sender who cannot sign, a recipient without
        keys, a store that does not answer.
        """
        asked, known = None, None
        for _ in range(ROUNDS):
            plain, seals, opens = _divided(needs)
            if not seals and not opens:
                return await self._sessions.resolve(needs)
            await self._sessions.require_lease()
            keys = await self._found(needs, opens, asked, known)
            if keys is not None:
                return keys
            if max(seals.values(), default=0) > self._max_messages:
                raise KeyUnavailable("too-many-values")
            await self._require_room(seals, opens)
            asked, known = self._clock(), None
            await self._obtain(seals, opens)
            if plain.seals or plain.opens:
                known = await self._sessions.resolve(
                    Needs(dict.fromkeys(plain.seals, 0), plain.opens)
                )
        raise KeyUnavailable("too-many-scopes")

    @property
    def index(self) -> Sequence[IndexKeys]:
        """What makes tags."""
        return self._sessions.index

    def equal(self, scope: Scope, *, seeks: bool = False) -> Session:
        """Return who seals in the equal form, as the sessions without parties do."""
        return self._sessions.equal(scope, seeks=seeks)

    def stands(self, session: Session) -> bool:
        """Whether a session may seal on, and what it has sealed be acknowledged."""
        sessions, packages = self._sessions, self.package_store
        return sessions.stands(session) and (
            session.kek_id is not None
            or session.created >= sessions.fences.erased_before(packages.name(session.scope))
        )

    async def confirm(self, session: Session) -> None:
        """See that a session stands; raise KeyUnavailable where it does not, or nobody knows."""
        await self._sessions.confirm(session)
        if not self.stands(session):
            raise KeyUnavailable(REVOKED)

    async def require_participants(self, needs: Needs) -> None:
        """See that senders and recipients have keys for what is to be sealed; make no session.

        Raises KeyUnavailable where one has none that is accepted. That the store does not answer
        says nothing of them.
        """
        if self._sessions.withdrawn:
            return
        _, seals, _ = _divided(needs)
        for scope in seals:
            try:
                await self._sealing.require_audience(scope)
            except KeyUnavailable as error:
                if error.reason != "participant-unavailable":
                    raise

    def remember(self, sessions: Mapping[Session, int]) -> None:
        """Keep sessions under which a tag has verified; those from packages are kept anyway."""
        self._sessions.remember(sessions)

    @property
    def shut(self) -> set[tuple[str, str]]:
        """Listeners and rules that refuse all messages."""
        return self._sessions.shut

    def refused(self, unopened: Sequence[Unopened], attempt: Attempt) -> bool:
        """Report tokens that did not open; return whether a poison token is among them."""
        return self._sessions.refused(unopened, attempt)

    def participants(self) -> Participants:
        """Return the participants; changes through them apply here at once."""
        store, keyring = self._sessions.store, self._sessions.keyring
        return Participants(store, keyring, changed=self.changed)

    def pins(self) -> PinBook:
        """Return the pins of participants; what is accepted through them applies here at once."""
        return self._pinning.book

    def changed(self, name: str | None) -> None:
        """Handle that a conversation was rotated or revoked, or that a participant changed.

        Without a name a notification was missed, and everything is looked up again.
        """
        if name is not None and name.endswith(erased("")):
            self._opening.clear()
            self._sealing.clear()
        whose = None if name is None else self._pinning.whose(name)
        if self._directory.changed(whose):
            self._opening.changed()
            if whose is not None:
                self._sealing.doubt(whose)
        self._sealing.mark_rotated(name)

    def replace_identities(self, identities: Sequence[IdentitySettings] | None) -> None:
        """Use other identities; sessions that the old ones opened are dropped."""
        self._identities.replace(identities)
        self._opening.clear()
        self._sealing.clear()

    def replace_pins(self, pins: PinSettings) -> None:
        """Use other pins; all participants are looked up again."""
        self._pinning.replace(pins)
        self.changed(None)

    def drop_ended(self) -> Iterator[None]:
        """Drop sessions that have ended, a few at each step."""
        now = self._clock()
        yield from self._sealing.drop_ended(now)
        yield from self._opening.drop_ended(now)
        yield from self._identities.drop_ended(now)

    async def _found(
        self, needs: Needs, opens: Sequence[Need], asked: float | None, known: Keys | None
    ) -> Keys | None:
        """Do as `resolve_warm`, in pieces; what was absent when the store was `asked` stays so.

        `known` are those without parties, if they have just been found.
        """
        forked = forks.generation() != self._generation
        refused = self._sessions.withdrawn or self._sessions.blocked
        if len(needs.opens) <= PIECE or refused or forked:
            return self.resolve_warm(needs)
        opened = await self._opening.warm_many(opens, asked)
        return None if opened is None else self.resolve_warm(needs, _Found(opened, known))

    async def _require_room(self, seals: Mapping[Scope, int], opens: Sequence[Need]) -> None:
        """Raise KeyUnavailable for more than can be at hand at once, before the store is asked."""
        number = 0
        async for piece in pieces(opens):
            now = self._clock()
            number += sum(self._opening.possible(*need, now) for need in piece)
            if max(number, len(seals)) > self._max_scopes:
                raise KeyUnavailable("too-many-scopes")

    async def _obtain(self, seals: Mapping[Scope, int], opens: Sequence[Need]) -> None:
        conversations = {scope._replace(parties=None) for scope in seals}
        sids: dict[Scope, list[bytes]] = {}
        async for piece in pieces(opens):
            now = self._clock()
            for scope, key_id in piece:
                conversations.add(scope._replace(parties=None))
                if self._opening.possible(scope, key_id, now):
                    sids.setdefault(scope, []).append(key_id.sid)
        now = self._clock()
        asked = [one for one in conversations if self._sessions.not_before(one, now) is None]
        await all_done([partial(self._sessions.ask, one) for one in asked])
        sealing = [partial(self._seal_for, *one) for one in seals.items()]
        await all_done([*sealing, *(partial(self._open_for, *one) for one in sids.items())])

    async def _seal_for(self, scope: Scope, count: int) -> None:
        async with self._lock(place(scope)):
            await self._sealing.obtain(scope, count)

    async def _open_for(self, scope: Scope, sids: list[bytes]) -> None:
        async with self._lock(scope):
            async for piece in pieces(sids):
                await self._opening.obtain(scope, piece)

    def _joined(self, keys: Keys, sealing: dict[Scope, Session], opened: Opened) -> Keys:
        opening, decoys = dict(keys.opening), dict(keys.decoys)
        refusals = dict(keys.refusals)
        for need, (session, refusal) in opened.items():
            (opening if refusal is None else decoys)[need] = session
            refusals[need] = refusal
        return Keys({**keys.sealing, **sealing}, opening, decoys, refusals, self)

    def _lock(self, of: object) -> asyncio.Lock:
        lock = self._locks.get(of)
        if lock is None:
            lock = self._locks[of] = asyncio.Lock()
        return lock

    def _drop(self) -> None:
        self._sealing.clear()
        self._opening.clear()
        self._identities.forget()

    def _begin_after_fork(self) -> None:
        # Two processes must not seal with one key, nor share an event loop's locks.
        self._generation = forks.generation()
        self._drop()
        self._locks = WeakValueDictionary()


def _divided(
    needs: Needs,
) -> tuple[Needs, dict[Scope, int], list[tuple[Scope, KeyId]]]:
    """Return the needs without parties, and those to seal and to open with parties."""
    seals = {scope: count for scope, count in needs.seals.items() if scope.parties is not None}
    opens = [need for need in needs.opens if need[0].parties is not None]
    if not seals and not opens:
        return needs, seals, opens
    plain = {scope: count for scope, count in needs.seals.items() if scope.parties is None}
    rest = frozenset(need for need in needs.opens if need[0].parties is None)
    return Needs(plain, rest, needs.seeks), seals, opens

"""What operators do with the sessions of one scope: show, create, rotate, revoke, erase.

This process refuses revoked sessions at once; those that share the store do so as soon as they are
notified or ask again. A revocation is permanent once it is in the keyring: one that is only in a
store is lost with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.crypto.derivation import audit_key
from ...core.crypto.joined_names import some_from_json, to_json
from ...core.edits.key_needs import Needs
from ...core.errors import KeyUnavailable, NotErasable, SealyardError
from ..audit import AuditLog, Value
from ..end_to_end import rotation_marker
from ..end_to_end.package_store import PackageStore
from ..keyring import file
from ..keyring.keyring import Keyring
from ..keyring.roots import RootProvider, Roots
from ..sessions import joined_scopes, session_control
from ..sessions.pending_revocations import PendingRevocations
from ..sessions.sessions import Sessions
from ..sessions.settings import SessionView
from . import erase_receipt

Action = Literal["show", "create", "rotate", "revoke", "erase", "refresh"]

Keep = Callable[[str, int], None]
"""Writes into the keyring's file that the sessions of a scope's name from before a time (seconds
since 1970) are revoked. It blocks; raises SealyardError."""

StillOpen = Literal[
    "others-late", "others-not-told", "not-stored-yet", "lost-with-store", "lost-with-process"
]
STILL_OPEN: Final[Mapping[StillOpen, str]] = {
    "others-late": (
        "processes that missed the notification may open for `others_within` seconds more"
    ),
    "others-not-told": "no store notifies other processes: they open until they load the keyring",
    "not-stored-yet": (
        "the store has not taken it: it is retried until the store has, and until then other"
        " processes open"
    ),
    "lost-with-process": (
        "no file holds it: if this process ends before the store takes it, the revocation is lost"
    ),
    "lost-with-store": (
        "it is not in the keyring: if the store loses its data, the revocation is lost"
    ),
}
"""What a revocation does not cover yet, or not permanently."""

UNKNOWN: Final = (
    "this scope is unknown: it has no current session and no revocation. If it is not the one you"
    " meant, check the spelling of tenant and conversation"
)


@dataclass(frozen=True, slots=True)
class SessionCall:
    """A call about a scope. `not_before` (seconds since 1970; 0: now) is for `revoke` and `erase`.

    `keep` says whether a revocation is to be written to the store and the keyring as well; of
    several workers one does. `refresh` makes a worker ask the store again after another's change.
    """

    action: Action
    scope: Scope
    not_before: int = 0
    keep: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON, for another process."""
        said = {"action": self.action, "not_before": self.not_before, "keep": self.keep}
        return {**said, **scope_to_json(self.scope)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SessionCall:
        """Return the call that another process of the same version sent."""
        scope = scope_from_json(value)
        return cls(value["action"], scope, value["not_before"], value["keep"])


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A session that seals: its id, its KEK (None: ephemeral), its times (seconds since 1970)."""

    sid: str
    kek: str | None
    began: int
    soft_end: int
    sealed: int


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The sessions of a scope after a call; `scope` is its name in the store, a keyed hash.

    `agreed` is whether other processes use a new session too; None without a shared store. `store`
    is whether the store holds a revocation, read back and verified; where it does not, `kept` is
    whether a file holds it until it does. `durable` is whether the keyring holds it, and `problem`
    why not; `open` where it does not hold yet, and `others_within` for how many seconds at most.
    `unknown` is True where nothing was known of the scope. `erased` are the ids of session keys
    that were destroyed, `receipt` the signed statement of it (a compact JWS), and `key` the public
    JWK that verifies it.
    """

    scope: str
    not_before: int
    sessions: tuple[SessionFacts, ...] = ()
    agreed: bool | None = None
    store: bool | None = None
    durable: bool | None = None
    problem: str = ""
    open: tuple[StillOpen, ...] | None = None
    others_within: float | None = None
    unknown: bool | None = None
    erased: tuple[str, ...] | None = None
    receipt: str = ""
    key: dict[str, str] | None = None
    kept: bool | None = None

    @property
    def reaches_others(self) -> bool:
        """Whether a revocation outlives this process."""
        return bool(self.store or self.durable or self.kept)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON, without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SessionResult:
        """Return the result that another process of the same version sent."""
        sessions = tuple(SessionFacts(**one) for one in value["sessions"])
        lists: dict[str, Any] = {
            name: tuple(value[name]) for name in ("erased", "open") if name in value
        }
        return cls(**{**value, "sessions": sessions, **lists})

    def joined(self, other: SessionResult) -> SessionResult:
        """Return this result together with that of another worker."""
        held = {one.sid: one for one in self.sessions}
        for one in other.sessions:
            before = held[one.sid].sealed if one.sid in held else 0
            held[one.sid] = replace(one, sealed=before + one.sealed)
        return replace(
            self,
            not_before=max(self.not_before, other.not_before),
            sessions=tuple(held.values()),
            unknown=(self.unknown and other.unknown) or None,
        )


class SessionOperations:
    """Runs calls on the sessions of one process."""

    def __init__(
        self, sessions: Sessions, keep: Keep, pending: PendingRevocations | None = None
    ) -> None:
        """Take the sessions, and what writes a revocation into the keyring's file.

        `pending` keeps and retries what the store does not take.
        """
        self._sessions = sessions
        self._keep = keep
        self._pending = pending

    async def run(self, call: SessionCall) -> SessionResult:
        """Run the call.

        Raises KeyUnavailable where an ephemeral session cannot be agreed on or erased,
        OperatorError for a revocation of a time in the future, NotErasable where there are durable
        sessions and no key packages.
        """
        if call.action == "revoke":
            return await self._revoke(call)
        if call.action == "erase":
            return await self._erase(call)
        agreed: bool | None = None
        unknown = await self._unknown(call.scope) if call.action == "rotate" else None
        scope = self._sessions.forms(call.scope)[0]
        if call.action == "create":
            await self._sessions.resolve(Needs({scope: 0}))
        elif call.action == "rotate":
            marked = await rotation_marker.put(self._sessions, scope)
            rotated = await session_control.rotate(self._sessions, scope)
            agreed = rotated.agreed and marked if self._sessions.store.shared else None
        view = self._sessions.view(scope)
        if call.action == "refresh":
            session_control.announce(self._sessions, view.name)
        return SessionResult(view.name, view.not_before, _facts(view), agreed, unknown=unknown)

    async def timed(self, call: SessionCall) -> SessionCall:
        """Return a call that revokes with the time that it means, by the store's clock.

        Raises OperatorError where our clock is too far from that one to revoke.
        """
        now = await session_control.latest(self._sessions, call.scope)
        return replace(call, not_before=call.not_before or now)

    async def _unknown(self, scope: Scope) -> bool | None:
        """Return True where nothing is known of a scope, here or in the store; else None."""
        packages = PackageStore(self._sessions, clock=self._sessions.now, notice=lambda _: None)
        try:
            for form in self._sessions.forms(scope):
                if await session_control.known(self._sessions, form) or await packages.listed(form):
                    return None
        except KeyUnavailable:
            return None
        return True

    async def _revoke(self, call: SessionCall) -> SessionResult:
        """Revoke every form of the scope; the result is that of all of them together."""
        if call.keep:
            call = await self.timed(call)
        keyring, now = self._sessions.keyring, self._sessions.now()
        first, *others = [
            await self._revoke_form(replace(call, scope=form, not_before=before))
            for form, before in joined_scopes.revocations(call.scope, keyring, now, call.not_before)
        ]
        for one in others:
            first = replace(
                first,
                store=first.store and one.store,
                kept=one.kept if first.kept is None else first.kept and one.kept is not False,
                durable=first.durable and one.durable,
                problem=first.problem or one.problem,
                unknown=(first.unknown and one.unknown) or None,
            )
        if not call.keep:
            return first
        return replace(
            first,
            open=_still_open(first),
            others_within=self._sessions.revocation_max_age if first.store else None,
        )

    async def _revoke_form(self, call: SessionCall) -> SessionResult:
        unknown = await self._unknown(call.scope)
        if not call.keep:
            session_control.refuse(self._sessions, call.scope, call.not_before)
            view = self._sessions.view(call.scope)
            return SessionResult(view.name, view.not_before, unknown=unknown)
        name = self._sessions.view(call.scope).name
        await self._sessions.write_down("sessions.revoke", scope=name, not_before=call.not_before)
        timed = not self._sessions.clock.unknown
        taken = await session_control.revoke(self._sessions, call.scope, call.not_before)
        view = self._sessions.view(call.scope)
        durable, problem = True, ""
        try:
            # The keyring gets what was asked for, or the later time that was already revoked.
            await asyncio.to_thread(self._keep, view.name, view.not_before)
        except SealyardError as error:
            durable, problem = False, error.reason
        store, kept = taken if self._sessions.store.shared else None, None
        if store is False and self._pending is not None:
            kept = await self._pending.add(view.name, view.not_before, timed=timed)
        return SessionResult(
            view.name,
            view.not_before,
            store=store,
            kept=kept,
            durable=durable,
            problem=problem,
            unknown=unknown,
        )

    async def _erase(self, call: SessionCall) -> SessionResult:
        """Destroy the keys and revoke them, since copies may come back: both, or an error.

        Where sessions are durable, only keys in packages are destroyed. Nothing is revoked then,
        since that would revoke the durable sessions too.
        """
        sessions, scope = self._sessions, call.scope
        packages = PackageStore(sessions, clock=sessions.now, notice=lambda _: None)
        forms = sessions.forms(scope)
        if not call.keep:
            if sessions.ephemeral:
                await self._revoke(call)
                for form in forms:
                    sessions.drop(form)
            view = sessions.view(forms[0])
            return SessionResult(view.name, view.not_before)
        listed = [one for form in forms for one in await packages.listed(form)]
        if not sessions.ephemeral and not listed:
            raise NotErasable
        name = sessions.view(forms[0]).name
        await sessions.write_down("sessions.erase", scope=name)
        revoked = SessionResult(name, 0, unknown=await self._unknown(scope))
        gone: tuple[str, ...] = ()
        if sessions.ephemeral:
            revoked = await self._revoke(call)
        for form in forms:
            if sessions.ephemeral:
                gone += await session_control.erase(sessions, form)
            gone += await packages.erase(form)
            # A process that has a key of such a package in memory begins another one.
            await rotation_marker.put(sessions, form)
        await sessions.write_down("sessions.erased", scope=name, keys=len(gone))
        unknown = None if gone else revoked.unknown
        return self._with_receipt(scope, replace(revoked, erased=gone, unknown=unknown))

    def _with_receipt(self, scope: Scope, result: SessionResult) -> SessionResult:
        sessions, key = self._sessions, self._sessions.keyring.record_key
        said = erase_receipt.of_sessions(
            scope,
            result.erased or (),
            name=result.scope,
            not_before=result.not_before,
            revoked_in_store=result.store,
            revoked_in_keyring=bool(result.durable),
            shared=sessions.store.shared,
            durable=not sessions.ephemeral,
        )
        signed = erase_receipt.sign(said, key, now=int(sessions.now()))
        return replace(result, receipt=signed, key=erase_receipt.public_jwk(key))


def scope_to_json(scope: Scope) -> dict[str, Any]:
    """Return the names of a scope as JSON holds them, for another process."""
    return {"tenant": to_json(scope.tenant), "conversation": to_json(scope.conversation)}


def scope_from_json(value: Mapping[str, Any]) -> Scope:
    """Return the scope that another process of the same version named."""
    return Scope(some_from_json(value["tenant"]), some_from_json(value["conversation"]))


def _still_open(result: SessionResult) -> tuple[StillOpen, ...]:
    found: list[StillOpen] = ["others-late" if result.store else "others-not-told"]
    if result.kept is not None:
        found = ["not-stored-yet"]
    if not result.durable:
        found.append("lost-with-store")
    if result.kept is False and not result.durable:
        found.append("lost-with-process")
    return tuple(found)


def _facts(view: SessionView) -> tuple[SessionFacts, ...]:
    session = view.session
    if session is None:
        return ()
    sid = base64url.encode(session.sid).decode()
    return (SessionFacts(sid, session.kek_id, session.created, int(view.soft_end), view.sealed),)


@dataclass(frozen=True, slots=True)
class KeyringRevocations:
    """Changes the keyring at `path`, unless the change cannot be written to the audit log."""

    path: Path
    roots: RootProvider | Roots
    audit: AuditLog
    clock: Callable[[], float] = time.time

    def revoke(self, name: str, not_before: int) -> None:
        """Write into the keyring that sessions of `name` from before `not_before` are revoked.

        It blocks, for about 0.3 s under a passphrase. Raises KeyringError or UnfitEnvironment,
        naming the file; then the keyring is as it was.
        """

        def change(keyring: Keyring) -> Keyring:
            changed = keyring.revoke(name, not_before, now=int(self.clock()))
            key, path = audit_key(keyring.record_key), str(self.path)
            fields: dict[str, Value] = {"keyring": path, "scope": name, "not_before": not_before}
            self.audit.write(key, "keys.revoke", **fields)
            return changed

        file.update_keyring(self.path, self.roots, change)

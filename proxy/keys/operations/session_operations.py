"""What operators do with the sessions of one scope: show, create, rotate, revoke, erase.

This process refuses revoked sessions at once; those that share the store do so as soon as they are
notified or ask again. A revocation is permanent once it is in the keyring: one that is only in a
store is lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeyUnavailable, NotErasable, SealyardError
from ...core.values.key_needs import Needs
from ..end_to_end import rotation_marker
from ..end_to_end.package_store import PackageStore
from ..sessions import session_control
from ..sessions.pending_revocations import PendingRevocations
from ..sessions.sessions import Sessions
from ..sessions.settings import SessionView
from ..stores import erased
from . import erase_receipt
from .session_calls import SessionCall, SessionFacts, SessionResult, StillOpen

Keep = Callable[[str, int], None]
"""Writes into the keyring's file that the sessions of a scope's name from before a time (seconds
since 1970) are revoked. It blocks; raises SealyardError."""

UNKNOWN: Final = (
    "this scope is unknown: it has no current session and no revocation. If it is not the one you"
    " meant, check the spelling of tenant and conversation"
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
        scope = call.scope
        if call.action == "create":
            await self._sessions.resolve(Needs({scope: 0}))
        elif call.action == "rotate":
            marked = await rotation_marker.put(self._sessions, scope)
            rotated = await session_control.rotate(self._sessions, scope)
            agreed = rotated.agreed and marked if self._sessions.store.shared else None
        view = self._sessions.view(scope)
        if call.action == "refresh":
            self._sessions.announce(view.name)
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
            if await session_control.known(self._sessions, scope) or await packages.listed(scope):
                return None
        except KeyUnavailable:
            return None
        return True

    async def _revoke(self, call: SessionCall) -> SessionResult:
        if call.keep:
            call = await self.timed(call)
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
        result = SessionResult(
            view.name,
            view.not_before,
            store=store,
            kept=kept,
            durable=durable,
            problem=problem,
            unknown=unknown,
        )
        within = self._sessions.revocation_max_age if store else None
        return replace(result, open=_still_open(result), others_within=within)

    async def _erase(self, call: SessionCall) -> SessionResult:
        """Destroy the keys and revoke them, since copies may come back: both, or an error.

        Where sessions are durable, only keys in packages are destroyed. Nothing is revoked then,
        since that would revoke the durable sessions too.
        """
        sessions, scope = self._sessions, call.scope
        packages = PackageStore(sessions, clock=sessions.now, notice=lambda _: None)
        if not call.keep:
            if sessions.ephemeral:
                await self._revoke(call)
                sessions.drop(scope)
            self._drop_packaged(scope)
            view = sessions.view(scope)
            return SessionResult(view.name, view.not_before)
        listed = await packages.listed(scope)
        if not sessions.ephemeral and not listed:
            raise NotErasable
        name = sessions.view(scope).name
        await sessions.write_down("sessions.erase", scope=name)
        revoked = SessionResult(name, 0, unknown=await self._unknown(scope))
        gone: tuple[str, ...] = ()
        if sessions.ephemeral:
            revoked = await self._revoke(call)
            gone = await session_control.erase(sessions, scope)
        # Before and after: messages in between begin keys that are destroyed with the others.
        self._drop_packaged(scope)
        try:
            gone += await packages.erase(scope)
        finally:  # what timed out may have been done all the same
            self._drop_packaged(scope)
        # A process that has a key of such a package in memory begins another one.
        await rotation_marker.put(sessions, scope)
        await sessions.write_down("sessions.erased", scope=name, keys=len(gone))
        unknown = None if gone else revoked.unknown
        return self._with_receipt(scope, replace(revoked, erased=gone, unknown=unknown))

    def _drop_packaged(self, scope: Scope) -> None:
        """Drop the keys of packages in this process, as if the store had told of the erasure."""
        self._sessions.forward(erased(self._sessions.name(scope)))

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

"""What operators ask of the sessions of one scope: show, create, rotate, revoke.

A revocation is refused by this process at once, by those that share the store as soon as they hear
of it or ask again, and for good once it stands in the keyring: what stands only in a store dies
with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from ..core import base64url
from ..core.context import Scope
from ..core.errors import NotErasable, SealyardError
from ..core.needs import Needs
from . import receipt
from .end_to_end import turn
from .end_to_end.shelf import PackageShelf
from .session_view import SessionView
from .sessions import Sessions

Action = Literal["show", "create", "rotate", "revoke", "erase", "hear"]

Keep = Callable[[str, int], None]
"""Writes into the keyring's file that the sessions of a scope's name from before a time (seconds
since 1970) are revoked. It blocks; raises SealyardError."""

REVOKE_MARGIN_SECONDS: Final = 1
"""Session ids count whole seconds: what began in this second is revoked with the one to come."""


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked about a scope. `not_before` (seconds since 1970) is for `revoke`.

    `keep` says whether a revocation is to be written to the store and the keyring as well; of
    several workers one does. `hear` makes a worker ask anew that another one has changed something.
    """

    action: Action
    scope: Scope
    not_before: int = 0
    keep: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the call as JSON holds it, for another process."""
        scope = {"tenant": self.scope.tenant, "conversation": self.scope.conversation}
        return {"action": self.action, "not_before": self.not_before, "keep": self.keep, **scope}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Call:
        """Return the call that another process of the same version sent."""
        scope = Scope(value["tenant"], value["conversation"])
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
class Answer:
    """How the sessions of a scope stand now; `scope` is its name in the store, which tells nothing.

    `agreed` tells whether other processes take a new session too; None where nobody else could.
    `store` tells the same of a revocation; `durable` whether it stands in the keyring, and
    `problem` why not. `erased` are the ids of session keys that were destroyed, `receipt` the
    signed statement of it (a compact JWS), and `key` the public JWK that verifies it.
    """

    scope: str
    not_before: int
    sessions: tuple[SessionFacts, ...] = ()
    agreed: bool | None = None
    store: bool | None = None
    durable: bool | None = None
    problem: str = ""
    erased: tuple[str, ...] | None = None
    receipt: str = ""
    key: dict[str, str] | None = None

    @property
    def reaches_others(self) -> bool:
        """Whether a revocation is known anywhere but in this process."""
        return bool(self.store or self.durable)

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON holds it, without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Answer:
        """Return the answer that another process of the same version sent."""
        sessions = tuple(SessionFacts(**one) for one in value["sessions"])
        made = cls(**{**value, "sessions": sessions})
        return made if made.erased is None else replace(made, erased=tuple(made.erased))

    def joined(self, other: Answer) -> Answer:
        """Return this answer with what another worker holds as well."""
        held = {one.sid: one for one in self.sessions}
        for one in other.sessions:
            before = held[one.sid].sealed if one.sid in held else 0
            held[one.sid] = replace(one, sealed=before + one.sealed)
        not_before = max(self.not_before, other.not_before)
        return replace(self, not_before=not_before, sessions=tuple(held.values()))


class Desk:
    """Answers calls for the sessions of one process."""

    def __init__(self, sessions: Sessions, keep: Keep) -> None:
        """Take the sessions, and what writes a revocation into the keyring's file."""
        self._sessions = sessions
        self._keep = keep

    async def answer(self, call: Call) -> Answer:
        """Do what is asked.

        Raises KeyUnavailable where an ephemeral session cannot be agreed on or erased,
        OperatorError for a revocation of a time to come, NotErasable where there are durable
        sessions and no key packages.
        """
        if call.action == "revoke":
            return await self._revoke(call)
        if call.action == "erase":
            return await self._erase(call)
        agreed: bool | None = None
        if call.action == "create":
            await self._sessions.resolve(Needs({call.scope: 0}))
        elif call.action == "rotate":
            turned = await turn.put(self._sessions, call.scope)
            rotated = await self._sessions.rotate(call.scope)
            agreed = rotated.agreed and turned if self._sessions.store.shared else None
        view = self._sessions.view(call.scope)
        if call.action == "hear":
            self._sessions.hear(view.name)
        return Answer(view.name, view.not_before, _facts(view), agreed)

    async def _revoke(self, call: Call) -> Answer:
        if not call.keep:
            self._sessions.refuse(call.scope, call.not_before)
            view = self._sessions.view(call.scope)
            return Answer(view.name, view.not_before)
        name = self._sessions.view(call.scope).name
        await self._sessions.write_down("sessions.revoke", scope=name, not_before=call.not_before)
        taken = await self._sessions.revoke(call.scope, call.not_before)
        view = self._sessions.view(call.scope)
        durable, problem = True, ""
        try:
            # What stands in the keyring is what was asked for, or what was already revoked.
            await asyncio.to_thread(self._keep, view.name, view.not_before)
        except SealyardError as error:
            durable, problem = False, error.reason
        store = taken if self._sessions.store.shared else None
        return Answer(view.name, view.not_before, (), None, store, durable, problem)

    async def _erase(self, call: Call) -> Answer:
        """Destroy the keys, and refuse them wherever a copy may come from: both, or an error.

        Where sessions are durable, that is the keys in packages alone. Nothing is refused then,
        since it would be refused to the durable ones as well.
        """
        sessions, scope = self._sessions, call.scope
        shelf = PackageShelf(sessions, clock=sessions.now, notice=lambda _: None)
        if not call.keep:
            if sessions.ephemeral:
                sessions.refuse(scope, call.not_before)
                sessions.let_go(scope)
            view = sessions.view(scope)
            return Answer(view.name, view.not_before)
        if not sessions.ephemeral and not await shelf.listed(scope):
            raise NotErasable
        name = sessions.view(scope).name
        await sessions.write_down("sessions.erase", scope=name)
        revoked = Answer(name, 0)
        gone: tuple[str, ...] = ()
        if sessions.ephemeral:
            revoked = await self._revoke(call)
            gone = await sessions.erase(scope)
        gone += await shelf.erase(scope)
        # Who has a key of such a package in memory goes on with another one.
        await turn.put(sessions, scope)
        await sessions.write_down("sessions.erased", scope=name, keys=len(gone))
        return self._with_receipt(scope, replace(revoked, erased=gone))

    def _with_receipt(self, scope: Scope, answer: Answer) -> Answer:
        sessions, key = self._sessions, self._sessions.keyring.record_key
        said = receipt.of_sessions(
            scope,
            answer.erased or (),
            name=answer.scope,
            not_before=answer.not_before,
            revoked_in_store=answer.store,
            revoked_in_keyring=bool(answer.durable),
            shared=sessions.store.shared,
            durable=not sessions.ephemeral,
        )
        signed = receipt.sign(said, key, now=int(sessions.now()))
        return replace(answer, receipt=signed, key=receipt.public_jwk(key))


def latest_not_before(now: float) -> int:
    """Return the time (seconds since 1970) before which every session made until now began."""
    return int(now) + REVOKE_MARGIN_SECONDS


def _facts(view: SessionView) -> tuple[SessionFacts, ...]:
    session = view.session
    if session is None:
        return ()
    sid = base64url.encode(session.sid).decode()
    return (SessionFacts(sid, session.kek_id, session.created, int(view.soft_end), view.sealed),)

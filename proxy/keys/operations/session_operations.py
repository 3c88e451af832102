"""What the verbs about sessions do: show, create, rotate, revoke, erase, and find packages.

This process refuses revoked sessions at once; those that share the store do so as soon as they are
notified or ask again. A revocation is permanent once it is in the keyring: one that is only in a
store is lost with it. Each function raises KeyUnavailable where an ephemeral session cannot be
agreed on or erased, or the audit log blocks.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.errors import KeyUnavailable, NotErasable, SealyardError
from ...core.values.key_needs import Needs
from ..keyring.name_keys import NamePlace
from ..sessions import session_control
from ..sessions.agreement import began
from ..sessions.fences import Fences
from ..sessions.settings import SessionView
from ..stores import StoreFailed, erased
from .session_verbs import StillOpen
from .verb import At, Done, Fresh

if TYPE_CHECKING:  # loaded for a store that processes share
    from ..fleet.fence_log import FenceEvent, Kind
    from ..fleet.presence import Reach


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The sessions of a scope after a call; `scope` is its name in the store, a keyed hash.

    `agreed` is whether other processes use a new session too; None without a shared store. `store`
    is whether the store holds a revocation, read back and verified, `replicas` how many of its
    replicas have acknowledged it, and `disk` whether its disk has it, as far as that is known;
    where the store does not hold it, `kept` is whether a file does until it does. `durable` is
    whether the keyring holds it, and `problem` why not; `open` where it does not hold yet, and
    `others_within` for how many seconds at most.
    `complete` is whether every process that may seal knows of it, of how many `processes` that have
    said so, and `missed` the names of those that were not reached; None without a shared store.
    `fresh` is what keeps it so, should the store be put back to what it held before.
    `unknown` is True where nothing was known of the scope. `erased` are the ids of session keys
    that were destroyed, `receipt` the signed statement of it (a compact JWS), and `key` the public
    JWK that verifies it.
    """

    scope: str
    not_before: int
    sessions: tuple[Mapping[str, Any], ...] = ()
    agreed: bool | None = None
    store: bool | None = None
    durable: bool | None = None
    problem: str = ""
    open: tuple[StillOpen, ...] | None = None
    others_within: float | None = None
    unknown: bool | None = None
    replicas: int | None = None
    disk: bool | None = None
    erased: tuple[str, ...] | None = None
    receipt: str = ""
    key: dict[str, str] | None = None
    kept: bool | None = None
    complete: bool | None = None
    processes: int | None = None
    missed: tuple[str, ...] | None = None
    fresh: Fresh | None = None

    @property
    def answer(self) -> dict[str, Any]:
        """The result as JSON, without what does not apply."""
        said = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        kept = {name: said.pop(name) for name in ("replicas", "disk") if name in said}
        if self.store is not None:
            said["store"] = {"master": self.store, **kept}
        return said

    def done(self, *told: str, failed: str = "", **more: object) -> Done:
        """Return it as what a verb has done; `told` names what the log is told of it."""
        said = {name: getattr(self, name) for name in told}
        status = HTTPStatus.ACCEPTED if self.complete is False else 0
        return Done(self.answer, {**said, **more}, failed, status=status)

    def reaching(self, reach: Reach | None) -> SessionResult:
        """Return it with the processes that were reached."""
        if reach is None:
            return self
        told: dict[str, Any] = {"complete": reach.complete, "processes": reach.processes}
        if reach.complete and self.open is not None:
            still = tuple(one for one in self.open if one != "others-late")
            told |= {"open": still, "others_within": None}
        return replace(self, missed=reach.missed or None, **told)


async def show(at: At, scope: Scope) -> Done:
    """Return what this process has."""
    return _seen(at, scope).done()


async def create(at: At, scope: Scope) -> Done:
    """Begin a session unless there is one. One process does it for all that share the store."""
    if at.after is not None and at.sessions.store.shared:
        return SessionResult(_name(at, scope), 0).done()
    await at.sessions.resolve(Needs({scope: 0}))
    return _seen(at, scope).done()


async def rotate(at: At, scope: Scope) -> Done:
    """Begin another session; workers that share the store with the first ask the store again."""
    sessions, name = at.sessions, _name(at, scope)
    if at.after is not None and sessions.store.shared:
        sessions.announce(name)
        return SessionResult(name, 0, unknown=at.after.get("unknown")).done()
    unknown = await _unknown(at, scope)
    if at.after is None:
        await at.write_down("sessions.rotate", scope=name)
    marked = await _mark(at, scope)
    rotated = await session_control.rotate(sessions, scope)
    agreed = rotated.agreed and marked if sessions.store.shared else None
    return replace(_seen(at, scope), agreed=agreed, unknown=unknown).done()


async def revoke(at: At, scope: Scope, not_before: int = 0, expect: int | None = None) -> Done:
    """Revoke what began before a time, by default now by the store's clock.

    Raises OperatorError for a time in the future, or where our clock is too far from the store's.
    """
    result, told = await _revoke(at, scope, not_before)
    result = result.reaching(await _reach(at, told, expect))
    # Of the other workers none keeps it: the first one did.
    kept = at.after is not None or bool(result.store or result.durable or result.kept)
    return result.done(
        "scope",
        "not_before",
        "durable",
        "store",
        "kept",
        "unknown",
        failed="" if kept else "revocation-not-kept",
        source="admin",
    )


async def erase(at: At, scope: Scope, expect: int | None = None) -> Done:
    """Destroy the keys and revoke them, since copies may come back: both, or an error.

    Where sessions are durable, only keys in packages are destroyed. Nothing is revoked then, since
    that would revoke the durable sessions too. Raises NotErasable where there are none.
    """
    if at.after is not None:
        return await _erase_here(at, scope)
    sessions, name = at.sessions, _name(at, scope)
    listed = await _listed(at, scope)
    if not sessions.ephemeral and not listed:
        raise NotErasable
    await at.write_down("sessions.erase", scope=name)
    revoked = SessionResult(name, 0, unknown=await _unknown(at, scope))
    packages, erasing, places = at.packages, 0, _places(at, scope)
    fences: list[tuple[Kind, str, int]] = [("erased", place.sessions, 0) for place in places]
    if packages is not None:
        erasing = packages.erasing(scope)
        fences += (("fenced", place.packages, erasing) for place in places)
    # Before anything is destroyed: whoever learns of it keeps none of the keys any more.
    told = await _fence(at, *fences)
    gone: tuple[str, ...] = ()
    if sessions.ephemeral:
        revoked, more = await _revoke(at, scope, 0)
        told = (*told, *more) if told and more else ()
        gone = await session_control.erase(sessions, scope)
        newest = max((began(base64url.decode(one.encode())) for one in gone), default=0)
        if newest >= revoked.not_before:
            # A message began it in between: its key is gone, so it must not be acknowledged.
            sessions.revocations.began(name, newest)
            again, more = await _revoke(at, scope, 0)
            revoked, told = replace(again, unknown=None), (*told, *more) if told and more else ()
    # Before and after: messages in between begin keys that are destroyed with the others.
    _drop_packaged(at, scope)
    try:
        gone += () if packages is None else await packages.erase(scope, erasing)
    finally:  # what timed out may have been done all the same
        _drop_packaged(at, scope)
    # A process that has a key of such a package in memory begins another one.
    await _mark(at, scope)
    result = replace(revoked, erased=gone, unknown=None if gone else revoked.unknown)
    if listed:
        kept = [await at.outlives(place.packages, erasing) for place in places]
        lost = [one for one in (*kept, revoked.fresh) if one not in {"keyring", None}]
        result = replace(result, fresh=lost[0] if lost else "keyring")
    await _enter(at, scope, result.not_before, erasing)
    result = result.reaching(await _reach(at, told, expect))
    await _sweep(at, scope, result.not_before, erasing)
    await at.write_down("sessions.erased", scope=name, keys=len(gone))
    kind = at.keys.store.address.partition(":")[0]
    return _with_receipt(at, scope, result).done(
        "scope", keys=len(gone), store=kind, source="admin"
    )


async def package(at: At, scope: Scope, recipient: str, sid: str | None = None) -> Done:
    """Return the key packages of a conversation for a participant, newest first."""
    found = () if at.packages is None else await at.packages.packages(scope, recipient)
    facts = [one for one in (each.facts() for each in found) if sid in {None, one["sid"]}]
    if not facts:
        return Done({"packages": []}, failed="no-package")
    newest = facts[0]
    headers = {"Sealyard-Sid": newest["sid"], "Sealyard-Signer": newest["kid"]}
    body = json.dumps(newest["package"], separators=(",", ":"))
    return Done({"packages": facts}, body=body, headers=headers)


def _name(at: At, scope: Scope) -> str:
    return at.sessions.view(scope).name


def _places(at: At, scope: Scope) -> tuple[NamePlace, ...]:
    """Return where records of a scope may be: under every name that this keyring knows."""
    return at.sessions.keyring.places_of(scope)


def _own_places(at: At, scope: Scope) -> list[NamePlace]:
    """Return those of this keyring, whose records its record key authenticates."""
    return [place for place in _places(at, scope) if not place.adopted]


def _seen(at: At, scope: Scope) -> SessionResult:
    view = at.sessions.view(scope)
    return SessionResult(view.name, view.not_before, _facts(view))


async def _unknown(at: At, scope: Scope) -> bool | None:
    """Return True where nothing is known of a scope, here or in the store; else None."""
    try:
        if await session_control.known(at.sessions, scope) or await _listed(at, scope):
            return None
    except KeyUnavailable:
        return None
    return True


async def _listed(at: At, scope: Scope) -> bool:
    """Return whether there are key packages of a conversation."""
    return at.packages is not None and bool(await at.packages.listed(scope))


async def _mark(at: At, scope: Scope) -> bool:
    """Let who has a key of a package begin another one; return whether they will."""
    return at.packages is None or await at.packages.mark(scope)


async def _fence(at: At, *fences: tuple[Kind, str, int]) -> tuple[FenceEvent, ...]:
    """Write down what takes rights away, for all processes; return what all are to learn.

    Each fence is the kind, name and value of its event. Nothing is returned where the store does
    not take it, or no other process has it.
    """
    sessions = at.sessions
    if not sessions.store.shared:
        return ()
    from ..fleet import fence_log  # noqa: PLC0415 - loaded with such a store

    events = tuple(fence_log.FenceEvent(*one) for one in fences)
    try:
        if sessions.lease is not None:
            await sessions.lease.fence(events)
        else:
            await fence_log.append(sessions.store, sessions.keyring, events, now=sessions.now)
    except StoreFailed:
        return ()
    return events


async def _reach(at: At, events: Sequence[FenceEvent], expect: int | None) -> Reach | None:
    """Wait until all processes know of a fence; None where no other process has the store."""
    sessions = at.sessions
    if not sessions.store.shared or at.after is not None:
        return None
    from ..fleet import presence  # noqa: PLC0415 - as above

    if not events:
        return presence.Reach()
    try:
        return await presence.reached(
            sessions.store, sessions.keyring, events, clock=sessions.now, expected=expect
        )
    except StoreFailed:
        return presence.Reach()


async def _enter(at: At, scope: Scope, revoked: int, erasing: int) -> None:
    """Keep what was erased, to be erased again should the store forget it."""
    if at.ledger is None or not at.sessions.store.shared:
        return
    for place in _own_places(at, scope):
        if at.sessions.ephemeral:
            await at.ledger.add("erased", place.sessions, revoked)
        if at.packages is not None:
            await at.ledger.add("erased", place.packages, erasing)


async def _sweep(at: At, scope: Scope, revoked: int, erasing: int) -> None:
    """See that what was destroyed is still absent, now that all know of it and it has settled.

    Raises KeyUnavailable where the store does not answer: then that is not known.
    """
    swept: list[tuple[Fences, str, int]] = []
    for place in _places(at, scope):
        fences = at.sessions.fences_at(place)
        if at.sessions.ephemeral:
            swept.append((fences, place.sessions, revoked))
        if at.packages is not None:
            swept.append((fences, place.packages, erasing))
    try:
        await asyncio.gather(*(at.sessions.store.settled(name) for _, name, _ in swept))
        for fences, name, not_before in swept:
            await fences.sweep(name, not_before)
    except StoreFailed:
        raise KeyUnavailable("store-unavailable") from None


async def _revoke(
    at: At, scope: Scope, not_before: int
) -> tuple[SessionResult, tuple[FenceEvent, ...]]:
    sessions = at.sessions
    if at.after is not None:
        unknown = await _unknown(at, scope)
        session_control.refuse(sessions, scope, at.after["not_before"])
        return replace(_seen(at, scope), sessions=(), unknown=unknown), ()
    now = await session_control.latest(sessions, scope)
    not_before = not_before or now
    unknown = await _unknown(at, scope)
    await at.write_down("sessions.revoke", scope=_name(at, scope), not_before=not_before)
    timed = not sessions.clock.unknown
    session_control.require_past(sessions, scope, not_before)
    names = [place.sessions for place in _places(at, scope)]
    told = await _fence(at, *(("revoked", name, not_before) for name in names))
    taken = await session_control.revoke(sessions, scope, not_before)
    view = sessions.view(scope)
    durable, problem = True, ""
    try:
        # The keyring gets what was asked for, or the later time that was already revoked.
        await asyncio.to_thread(at.keep, view.name, view.not_before)
    except SealyardError as error:
        durable, problem = False, error.reason
    store, kept, settled = taken if sessions.store.shared else None, None, None
    if store:
        store, settled = await session_control.settled(sessions, scope)
    own = [place.sessions for place in _own_places(at, scope)]
    if store is False and at.pending is not None:
        kept = all([await at.pending.add(one, view.not_before, timed=timed) for one in own])
    if sessions.store.shared and at.ledger is not None:
        for one in own:
            await at.ledger.add("revoked", one, view.not_before)
    result = SessionResult(
        view.name,
        view.not_before,
        store=store,
        replicas=settled.replicas if settled else None,
        disk=settled.disk if settled else None,
        kept=kept,
        durable=durable,
        fresh="keyring" if durable else "this-process-until-restart",
        problem=problem,
        unknown=unknown,
    )
    within = sessions.revocation_max_age if store else None
    return replace(result, open=_still_open(result), others_within=within), told


async def _erase_here(at: At, scope: Scope) -> Done:
    """Drop what another process has destroyed."""
    if at.sessions.ephemeral:
        await _revoke(at, scope, 0)
        at.sessions.drop(scope)
    _drop_packaged(at, scope)
    return replace(_seen(at, scope), sessions=()).done()


def _drop_packaged(at: At, scope: Scope) -> None:
    """Drop the keys of packages in this process, as if the store had told of the erasure."""
    at.sessions.forward(erased(at.sessions.name(scope)))


def _with_receipt(at: At, scope: Scope, result: SessionResult) -> SessionResult:
    from . import erase_receipt  # noqa: PLC0415 - loaded where something can be erased

    sessions, key = at.sessions, at.sessions.keyring.record_key
    places = _places(at, scope)
    reached = [place.packages for place in places] if at.packages is not None else []
    if sessions.ephemeral:
        reached = [*(place.sessions for place in places), *reached]
    said = erase_receipt.of_sessions(
        scope,
        result.erased or (),
        name=result.scope,
        names=reached,
        not_before=result.not_before,
        revoked_in_store=result.store,
        reached=result.complete,
        revoked_in_keyring=bool(result.durable),
        shared=sessions.store.shared,
        durable=not sessions.ephemeral,
        fresh=result.fresh,
        indexed=bool(sessions.keyring.index),
        elsewhere=[(one.adopted, one.sessions) for one in places if one.adopted],
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


def _facts(view: SessionView) -> tuple[Mapping[str, Any], ...]:
    """Return the session that seals: its id, its KEK (None: ephemeral), its times in seconds."""
    session = view.session
    if session is None:
        return ()
    sid = base64url.encode(session.sid).decode()
    times = {"began": session.created, "soft_end": int(view.soft_end)}
    return ({"sid": sid, "kek": session.kek_id, **times, "sealed": view.sealed},)

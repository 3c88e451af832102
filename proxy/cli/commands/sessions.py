"""The `sessions` commands: show, rotate, revoke and erase the sessions of one scope."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from ...config.settings import KeySettings
from ...core.crypto.context import Scope
from ...core.crypto.joined_names import Name, to_json
from ...core.errors import KeyUnavailable, NotErasable
from ...keys.end_to_end.package_records import StoredPackage
from ...keys.end_to_end.package_store import PackageStore
from ...keys.operations.keyring_revocations import KeyringRevocations
from ...keys.operations.session_calls import STILL_OPEN, SessionCall, SessionResult
from ...keys.operations.session_operations import UNKNOWN, SessionOperations
from ...keys.sessions.pending_revocations import PendingRevocations, files
from ...keys.sessions.sessions import Sessions
from ...keys.sessions.settings import MAX_SKEW_SECONDS
from ..support import console
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option
from ..support.console import FILE, ask, parse_time, utc, yes_option
from ..support.files import give_receipt, reserve_receipt
from ..support.keyring_options import KeyringPlace, context_options, keyring_options
from ..support.store_access import AtStore, at_store


@click.command()
@context_options
@token_file_option
@ca_option
@console.as_json
@config_option
def show(  # noqa: PLR0913 - each is one option
    *,
    config: Path | None,
    tenant: Name | None,
    conversation: Name | None,
    token_file: Path | None,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Show the sessions that a running Sealyard seals with for one scope, and its revocation.

    \b
    sealyard sessions show --tenant clinic --conversation c1
    sealyard sessions show --tenant clinic --conversation c1 --json

    Calls the admin listener of the configuration, since sessions are in its processes. Sessions of
    end-to-end rules have key packages: see `sealyard sessions package`. Exits with 1 if there is
    no session.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    named = {"tenant": tenant, "conversation": conversation}
    parts = dict(_parameter(name, value) for name, value in named.items() if value is not None)
    if not parts:
        raise click.UsageError(
            "nothing is named; give --tenant, --conversation or both, as the rules bind them"
        )
    state = AdminListener(config, token_file, ca).asked(f"/v1/sessions?{urlencode(parts)}")
    console.answer(state, _lines(state), as_json=as_json)
    raise click.exceptions.Exit(console.OK if state["sessions"] else console.NEGATIVE)


def _parameter(part: str, name: Name) -> tuple[str, str]:
    """Return the query parameter for a name: text as it is, a joined name as JSON."""
    return (part, name) if isinstance(name, str) else (f"{part}_json", json.dumps(to_json(name)))


def _lines(state: Mapping[str, Any]) -> Iterator[str]:
    yield f"scope    {state['scope']}"
    if state["not_before"]:
        yield f"revoked  sessions that began before {utc(state['not_before'])}"
    for one in state["sessions"]:
        under = f"KEK {one['kek']}" if one.get("kek") else "ephemeral"
        began, ends = utc(one["began"]), utc(one["soft_end"])
        yield f"session  {one['sid']}  {under}  {began} to {ends}  {one['sealed']} sealed"
    if not state["sessions"]:
        yield "no session seals for this scope"


_NO_STORE = "keys.store is memory, so each process has its own sessions; call its admin API, "
_UNSEEN = (
    "keys.store is memory, so this command does not see which scopes have sessions: check the"
    " spelling of tenant and conversation"
)


@click.group()
def sessions() -> None:
    """Show, rotate, revoke and erase the sessions of one conversation or tenant.

    \b
    sealyard sessions rotate --tenant clinic --conversation c1
    sealyard sessions revoke --tenant clinic --conversation c1

    Give exactly what the rules bind: a session belongs to a tenant and conversation as bound.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


sessions.add_command(show)


@sessions.command()
@context_options
@console.as_json
@keyring_options
def rotate(
    place: KeyringPlace, tenant: Name | None, conversation: Name | None, *, as_json: bool
) -> None:
    """Begin a new session in the shared store; what the old one sealed still opens.

    \b
    sealyard sessions rotate --tenant clinic --conversation c1
    sealyard sessions rotate --tenant clinic --conversation c1 --json

    Subscribed processes use it at once, others within `revocation_max_age`. Exits with 1 if the
    store is not shared or does not accept it.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    scope, keys = _scope(tenant, conversation), place.keys()
    if keys.store.address == "memory":
        raise console.Failure(_NO_STORE + "POST /v1/sessions/rotate", console.NEGATIVE)
    answer = asyncio.run(_rotate(place, keys, scope))
    _warn_unknown(answer)
    new = answer.sessions[0]
    told = f"{answer.scope}: session {new.sid} seals until {utc(new.soft_end)}"
    console.answer(answer.to_json(), (told,), as_json=as_json)


@sessions.command()
@context_options
@click.option(
    "--not-before",
    metavar="TIME",
    help="Revoke sessions that began before this time, such as 2026-11-24T18:00:00Z; default: now.",
)
@yes_option
@console.as_json
@keyring_options
def revoke(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    tenant: Name | None,
    conversation: Name | None,
    not_before: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Revoke the sessions that began before a time: they no longer seal or open.

    \b
    sealyard sessions revoke --tenant clinic --conversation c1
    sealyard sessions revoke --tenant clinic --conversation c1 --not-before 2026-11-24T18:00:00Z

    The revocation is written to the shared store, published, and written to the keyring, so that it
    outlives the store. What the store does not take is kept in a file, from which a Sealyard that
    runs beside the same keyring or audit log retries it. It cannot be undone, so the command asks
    for confirmation. Exits with 1 if the store or the keyring did not accept it.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    scope, keys = _scope(tenant, conversation), place.keys()
    before = 0 if not_before is None else parse_time(not_before)
    if before > time.time() + MAX_SKEW_SECONDS:
        raise click.UsageError("--not-before must not be in the future")
    if keys.store.address == "memory":
        console.say(_UNSEEN)
    if not yes:
        ask(
            f"{_shown(scope)}: sessions that began before"
            f" {utc(before) if before else 'now'} never seal or open again,"
            " in any process"
        )
    answer, reason = asyncio.run(_revoke(place, keys, SessionCall("revoke", scope, before)))
    _warn_unknown(answer)
    console.answer(answer.to_json(), _report(answer, place, keys, reason), as_json=as_json)
    if not answer.reaches_others:
        raise console.Failure(
            "neither the keyring nor the store accepted the revocation", console.ENVIRONMENT
        )
    sys.exit(console.OK if _revoked(answer) else console.NEGATIVE)


@sessions.command("package")
@context_options
@click.option("--recipient", required=True, metavar="ID", help="The participant.")
@click.option("--sid", help="Only the package of this session, as the `kid` of a token names it.")
@keyring_options
def packages(
    place: KeyringPlace,
    tenant: Name | None,
    conversation: Name | None,
    recipient: str,
    sid: str | None,
) -> None:
    """Print the key packages of a conversation for one participant, newest first.

    \b
    sealyard sessions package --tenant clinic --conversation c1 --recipient bob
    sealyard sessions package --tenant clinic --conversation c1 --recipient bob --sid SID

    Any JOSE library opens a package with the participant's private key. Exits with 1 if there is no
    package.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    scope, keys = _scope(tenant, conversation), place.keys()
    found = asyncio.run(_packages(place, keys, scope, recipient))
    facts = [one.facts() for one in found if sid in {None, one.key_id}]
    console.print_json({"packages": facts})
    sys.exit(console.OK if facts else console.NEGATIVE)


async def _packages(
    place: KeyringPlace, keys: KeySettings, scope: Scope, recipient: str
) -> tuple[StoredPackage, ...]:
    async with at_store(place, keys) as at:
        store = PackageStore(at.sessions, clock=time.time, notice=at.notices.append)
        try:
            return await store.packages(scope, recipient)
        except KeyUnavailable:
            raise console.Failure(f"the store failed: {at.reason}", console.ENVIRONMENT) from None


@sessions.command()
@context_options
@click.option("--receipt", "file", type=FILE, help="Write the receipt to this file.")
@yes_option
@console.as_json
@keyring_options
def erase(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    tenant: Name | None,
    conversation: Name | None,
    file: Path | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Destroy the ephemeral session keys of a conversation, and print a signed receipt.

    \b
    sealyard sessions erase --tenant clinic --conversation c1 --receipt c1.jws
    sealyard sessions erase --tenant clinic --conversation c1 --yes > c1.jws

    Asks for confirmation. What the keys sealed never opens again. The sessions are also revoked, so
    that a copy of a key from a backup does not open either. Verify the receipt with `sealyard audit
    verify-receipt`. Durable keys are derived from the KEK: under `mode: durable`, only the key
    packages of end-to-end sealing are erased, without a revocation. Exits with 1 if there are none,
    or if the store or the keyring did not accept the revocation: then revoke the sessions, too.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    scope, keys = _scope(tenant, conversation), place.keys()
    if keys.store.address == "memory" and keys.sessions.mode != "ephemeral":
        raise console.Failure(NotErasable.title, console.NEGATIVE)
    if keys.store.address == "memory":
        raise console.Failure(_NO_STORE + "DELETE /v1/sessions", console.NEGATIVE)
    with reserve_receipt(file) as kept:
        if not yes:
            ask(
                f"{_shown(scope)}: its ephemeral session keys and key packages are destroyed; what"
                " they sealed never opens again"
            )
        answer, reason = asyncio.run(_erase(place, keys, SessionCall("erase", scope)))
    shown = json.dumps(answer.to_json()) if as_json else answer.receipt
    problem = give_receipt(shown, answer.receipt, kept)
    _warn_unknown(answer)
    if not as_json:
        console.say(f"{answer.scope}: {len(answer.erased or ())} session keys destroyed")
        if keys.sessions.mode == "ephemeral":
            console.say("\n".join(_report(answer, place, keys, reason)))
        else:
            console.say("no durable session key was destroyed, and nothing was revoked")
    if problem:
        raise console.Failure(problem, console.ENVIRONMENT)
    if keys.sessions.mode == "ephemeral" and not _revoked(answer):
        sys.exit(console.NEGATIVE)


def _shown(scope: Scope) -> str:
    """Return the scope as the operator named it."""
    named = {"tenant": scope.tenant, "conversation": scope.conversation}
    return ", ".join(f"{part} {to_json(name)}" for part, name in named.items() if name is not None)


async def _erase(
    place: KeyringPlace, keys: KeySettings, call: SessionCall
) -> tuple[SessionResult, str]:
    async with at_store(place, keys) as at:
        name = at.sessions.view(call.scope).name
        await _require_erasable(at, call.scope)
        place.write_down(at.sessions.keyring, "sessions.erase", scope=name)
        answer = await _operations(place, at.sessions).run(call)
        number = len(answer.erased or ())
        place.write_down(at.sessions.keyring, "sessions.erased", scope=name, keys=number)
        return answer, at.reason


async def _require_erasable(at: AtStore, scope: Scope) -> None:
    store = PackageStore(at.sessions, clock=time.time, notice=at.notices.append)
    if not at.sessions.ephemeral and not await store.listed(scope):
        raise console.Failure(NotErasable.title, console.NEGATIVE)


async def _rotate(place: KeyringPlace, keys: KeySettings, scope: Scope) -> SessionResult:
    async with at_store(place, keys) as at:
        name = at.sessions.view(scope).name
        place.write_down(at.sessions.keyring, "sessions.rotate", scope=name)
        answer = await _operations(place, at.sessions).run(SessionCall("rotate", scope))
        if not answer.agreed:
            raise console.Failure(f"the store did not accept it: {at.reason}", console.NEGATIVE)
        return answer


async def _revoke(
    place: KeyringPlace, keys: KeySettings, call: SessionCall
) -> tuple[SessionResult, str]:
    async with at_store(place, keys) as at:
        name, operations = at.sessions.view(call.scope).name, _operations(place, at.sessions)
        call = await operations.timed(call)
        place.write_down(
            at.sessions.keyring, "sessions.revoke", scope=name, not_before=call.not_before
        )
        answer = await operations.run(call)
        if keys.store.address == "memory":  # that of this command, which knows no scope
            answer = replace(answer, unknown=None)
        return answer, at.reason


def _operations(place: KeyringPlace, held: Sessions) -> SessionOperations:
    keep = KeyringRevocations(place.path, place.roots, place.audit).revoke
    pending = PendingRevocations(held, files(place.path, place.audit.path))
    return SessionOperations(held, keep, pending)


def _revoked(answer: SessionResult) -> bool:
    """Whether the keyring holds the revocation, and the store, if there is one."""
    return bool(answer.durable) and answer.store is not False


def _report(
    answer: SessionResult, place: KeyringPlace, keys: KeySettings, reason: str
) -> Iterator[str]:
    before, kind = utc(answer.not_before), keys.store.address.partition(":")[0]
    yield f"{answer.scope}: sessions that began before {before} are revoked"
    yield f"keyring  {place.path}" if answer.durable else f"keyring  NOT WRITTEN: {answer.problem}"
    if answer.store is None:
        yield f"store    {kind}: processes read it from the keyring once they have the new file"
    elif answer.store:
        within = f"within {keys.sessions.revocation_max_age:g} s"
        when = f"at once, or {within} if it missed the notification" if kind == "redis" else within
        yield f"store    {kind}: every process applies it {when}"
    else:
        yield f"store    NOT WRITTEN: {reason}"
        where = "beside the keyring or the audit log" if answer.kept else "NOT WRITTEN"
        yield f"pending  {where}: a Sealyard that runs here retries it; else run this command again"
    for one in answer.open or ():
        text = STILL_OPEN[one].replace("`others_within`", f"{answer.others_within or 0:g}")
        yield f"open     {text}"


def _warn_unknown(answer: SessionResult) -> None:
    if answer.unknown:
        console.say(f"warning: {UNKNOWN}")


def _scope(tenant: Name | None, conversation: Name | None) -> Scope:
    scope = Scope(tenant, conversation)
    if scope == Scope():
        raise click.UsageError(
            "nothing is named; give --tenant, --conversation or both, as the rules bind them"
        )
    return scope

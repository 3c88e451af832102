"""The `sessions` commands: show, rotate, revoke and erase the sessions of one scope."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ...keys.operations.session_verbs import SESSIONS, STILL_OPEN
from ..policy import ExitCode
from ..support import console
from ..support.console import utc
from ..support.verb_commands import Showing, VerbOutcome, add_commands


@click.group()
def sessions() -> None:
    """Show, rotate, revoke and erase the sessions of one conversation or tenant.

    \b
    sealyard sessions rotate --tenant clinic --conversation c1
    sealyard sessions revoke --tenant clinic --conversation c1

    Give exactly what the rules bind: a session belongs to a tenant and conversation as bound.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


def _held(outcome: VerbOutcome) -> list[str]:
    state = outcome.answer
    lines = [f"scope    {state['scope']}"]
    if state["not_before"]:
        lines.append(f"revoked  sessions that began before {utc(state['not_before'])}")
    for one in state["sessions"]:
        under = f"KEK {one['kek']}" if one.get("kek") else "ephemeral"
        began, ends = utc(one["began"]), utc(one["soft_end"])
        lines.append(f"session  {one['sid']}  {under}  {began} to {ends}  {one['sealed']} sealed")
    return lines if state["sessions"] else [*lines, "no session seals for this scope"]


def _begun(outcome: VerbOutcome) -> list[str]:
    answer = outcome.answer
    if not answer["agreed"]:
        raise console.Failure(f"the store did not accept it: {outcome.reason}")
    new = answer["sessions"][0]
    return [f"{answer['scope']}: session {new['sid']} seals until {utc(new['soft_end'])}"]


def _kept(outcome: VerbOutcome) -> Iterator[str]:
    """Yield what holds a revocation, and what does not hold it yet."""
    answer, keys = outcome.answer, outcome.keys
    before, kind = utc(answer["not_before"]), keys.store.address.partition(":")[0]
    yield f"{answer['scope']}: sessions that began before {before} are revoked"
    durable = answer["durable"]
    yield f"keyring  {outcome.keyring if durable else 'NOT WRITTEN: ' + answer['problem']}"
    if "store" not in answer:
        yield f"store    {kind}: processes read it from the keyring once they have the new file"
    elif answer["store"]["master"]:
        within = f"within {keys.sessions.revocation_max_age:g} s"
        when = f"at once, or {within} if it missed the notification" if kind == "redis" else within
        copies, disk = answer["store"].get("replicas"), answer["store"].get("disk")
        has = "" if copies is None else f", {copies} replicas have it"
        has += "" if disk is None else f", its disk {'has it' if disk else 'does not have it'}"
        yield f"store    {kind}: every process applies it {when}{has}"
    else:
        yield f"store    NOT WRITTEN: {outcome.reason}"
        where = "beside the keyring or the audit log" if answer.get("kept") else "NOT WRITTEN"
        yield f"pending  {where}: a Sealyard that runs here retries it; else run this command again"
    yield from _reached(answer)
    for one in answer.get("open", ()):
        text = STILL_OPEN[one].replace("`others_within`", f"{answer.get('others_within', 0):g}")
        yield f"open     {text}"


def _reached(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield whether all processes that may seal know of it."""
    if "complete" not in answer:
        return
    number, missed = answer["processes"], answer.get("missed", ())
    if answer["complete"]:
        yield f"fleet    all {number} processes known to the store"
    elif missed:
        yield f"fleet    NOT REACHED, and may seal without the store: {', '.join(missed)}"
    else:
        yield f"fleet    {number} processes answer: it is not known whether these are all"


def _destroyed(outcome: VerbOutcome) -> list[str]:
    answer = outcome.answer
    told = f"{answer['scope']}: {len(answer['erased'])} session keys destroyed"
    if outcome.keys.sessions.mode == "ephemeral":
        return [told, *_kept(outcome)]
    lasting = answer.get("fresh") == "keyring"
    return [
        told,
        "no durable session key was destroyed, and nothing was revoked",
        f"keyring  {outcome.keyring if lasting else 'NOT WRITTEN: an old store brings them back'}",
        *_reached(answer),
    ]


def _revoked(outcome: VerbOutcome) -> int:
    """Return whether the keyring holds the revocation, and the store, if there is one."""
    if outcome.done.failed:
        raise console.Failure(
            "neither the keyring nor the store accepted the revocation", ExitCode.ENVIRONMENT
        )
    answer = outcome.answer
    holds = answer.get("durable") and answer.get("store", {}).get("master") is not False
    return ExitCode.OK if holds and not answer.get("missed") else ExitCode.NEGATIVE


def _erased(outcome: VerbOutcome) -> int:
    if outcome.keys.sessions.mode == "ephemeral":
        return _revoked(outcome)
    return ExitCode.NEGATIVE if outcome.answer.get("missed") else ExitCode.OK


def _some(member: str) -> Showing:
    """Return the showing of a command that fails where the answer has none of what it lists."""
    return Showing(end=lambda one: ExitCode.OK if one.answer[member] else ExitCode.NEGATIVE)


add_commands(
    sessions,
    SESSIONS,
    show=Showing(_held, _some("sessions").end),
    rotate=Showing(_begun),
    revoke=Showing(lambda one: list(_kept(one)), _revoked),
    erase=Showing(_destroyed, _erased),
    package=_some("packages"),
)

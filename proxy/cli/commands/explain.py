"""`sealyard explain`: what `serve` does to a message, with values masked."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import click

from ...config.settings import ListenerSettings, Settings
from ...config.yaml.nodes import suggest
from ...core.callers import VerifiedCaller
from ...core.crypto.context import Context, Parties
from ...core.crypto.token import ASSUMED_KEK_ID
from ...core.explain.explanation import (
    Explained,
    Explanation,
    PlayedAnswer,
    SocketMessage,
    Wanted,
    bound_parts,
    explained_document,
)
from ...core.http.message import Headers
from ...explaining import trial
from ...keys.keyring.roots import configured
from ..policy import EXAMPLE_BYTES, ExitCode
from ..support import console, reasons
from ..support.configuration import config_option, listener_named, load_configuration
from ..support.store_access import KeyringAt, at_store


@click.command()
@click.argument("method")
@click.argument("target", metavar="PATH[?QUERY]")
@config_option
@click.option(
    "--listener", metavar="NAME", help="Which listener; may be omitted if there is only one."
)
@click.option("-d", "--data", metavar="BODY", help="The body; @FILE reads it from a file.")
@click.option(
    "-H",
    "--header",
    multiple=True,
    metavar="NAME: VALUE",
    help="A header of the request; may be repeated.",
)
@click.option(
    "--response",
    metavar="BODY",
    help="Also explain a response with this body; @FILE reads it from a file.",
)
@click.option(
    "--status", type=click.IntRange(200, 599), default=200, help="The status of that response."
)
@click.option(
    "--response-header",
    multiple=True,
    metavar="NAME: VALUE",
    help="A header of that response; may be repeated.",
)
@click.option(
    "--message",
    "messages",
    multiple=True,
    metavar="TEXT",
    help="With the method WS, a message that the client sends; @FILE reads it; may be repeated.",
)
@click.option(
    "--reply",
    "replies",
    multiple=True,
    metavar="TEXT",
    help="A message that the backend sends, after those of the client; as --message.",
)
@click.option(
    "--caller",
    metavar="NAME",
    help="Who sends it: one of `callers` of the listener; by default, who has no credential.",
)
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="NAME=TEXT",
    help="With --caller, a verified claim that `caller:` reads; may be repeated.",
)
@click.option("--binary", is_flag=True, help="The messages are binary.")
@click.option(
    "--keys",
    "with_keys",
    is_flag=True,
    help="Open tokens with the configured keyring and store, instead of assuming that they open.",
)
@console.as_json
def explain(  # noqa: PLR0913 - each is one option
    method: str,
    target: str,
    *,
    config: Path | None,
    listener: str | None,
    data: str | None,
    header: tuple[str, ...],
    response: str | None,
    status: int,
    response_header: tuple[str, ...],
    messages: tuple[str, ...],
    replies: tuple[str, ...],
    caller: str | None,
    claims: tuple[str, ...],
    binary: bool,
    with_keys: bool,
    as_json: bool,
) -> None:
    """Show what happens to a message: which rule matches, what it finds, what is sent.

    \b
    sealyard explain POST /api/messages -d @message.json
    sealyard explain WS /chat --message '{"text": "hello"}' --reply @event.json

    The message goes through the code that `serve` runs, to a backend that is played inside this
    process. Nothing leaves it, and values are masked. A body is application/json unless a header
    says otherwise. The rules are those of the configuration file, which a running process may have
    refused: `sealyard status` tells. Without --keys, no key is used: tokens are assumed to open,
    and keys of recipients to exist. Exits with 1 if Sealyard would refuse the message.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    settings = load_configuration(config).settings
    chosen = listener_named(settings, listener)
    body, answer = _body(data), None
    if response is not None:
        content = _body(response)
        headers = trial.with_json_type(_headers(response_header), content)
        answer = PlayedAnswer(status, headers, content)
    wanted = Wanted(
        method,
        target,
        trial.with_json_type(_headers(header), body),
        body,
        answer,
        (
            *(SocketMessage("request", _body(one), binary) for one in messages),
            *(SocketMessage("response", _body(one), binary) for one in replies),
        ),
        caller=_caller(chosen, caller, claims),
    )
    if wanted.messages and not wanted.websocket:
        raise click.UsageError("--message and --reply are for WebSockets; write WS for METHOD")
    if problem := trial.unsendable(wanted):
        raise click.UsageError(problem)
    explained = asyncio.run(_explain(settings, chosen, wanted, with_keys=with_keys))
    told = {"listener": chosen.name, **explained_document(explained)}
    console.answer(told, _shown(chosen, explained), as_json=as_json)
    sys.exit(ExitCode.NEGATIVE if explained.refused else ExitCode.OK)


async def _explain(
    settings: Settings, listener: ListenerSettings, wanted: Wanted, *, with_keys: bool
) -> Explained:
    kek_id = None if settings.keys.sessions.mode == "ephemeral" else ASSUMED_KEK_ID
    if not with_keys:
        keys = trial.TrialKeys(time.time, kek_id=kek_id)
        return await trial.explain(listener, wanted, keys)
    place = KeyringAt(settings.keys.keyring.file, configured(settings.keys, os.environ))
    async with at_store(place, settings.keys) as at:
        sessions = at.sessions
        kek_id = kek_id and sessions.keyring.primary.id
        return await trial.explain(listener, wanted, trial.TrialKeys(time.time, sessions, kek_id))


def _caller(
    listener: ListenerSettings, name: str | None, claims: tuple[str, ...]
) -> VerifiedCaller | None:
    if name is None:
        if claims:
            raise click.UsageError("--claim is of a caller; write --caller")
        return None
    known = {one.name for one in listener.callers}
    if name not in known:
        raise click.UsageError(f"--caller: {suggest(name, known) if known else 'there is none'}")
    pairs = [one.partition("=") for one in claims]
    return VerifiedCaller(name, claims={claim: text for claim, _, text in pairs})


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    content = Path(data[1:]).read_bytes()
    if len(content) > EXAMPLE_BYTES:
        raise click.UsageError(f"{data[1:]}: larger than {EXAMPLE_BYTES} bytes")
    return content


def _headers(given: tuple[str, ...]) -> Headers:
    headers: list[tuple[bytes, bytes]] = []
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise click.UsageError(
                f"--header: `{text}` is not `NAME: VALUE`; for example `X-Room: 7`"
            )
        headers.append((name.strip().encode(), value.strip().encode()))
    return tuple(headers)


def _shown(listener: ListenerSettings, explained: Explained) -> list[str]:
    lines = _lines("request", explained.request, listener)
    if explained.response is not None:
        lines += _lines("response", explained.response, listener)
    for number, (direction, one) in enumerate(explained.messages, 1):
        sender = "client" if direction == "request" else "backend"
        lines += _lines(f"message {number}, from the {sender}", one, listener)
    return lines


def _lines(which: str, one: Explanation, listener: ListenerSettings) -> list[str]:
    lines = [which]
    for rule in one.considered:
        because = "matches" if rule.because is None else f"does not match: {rule.because}"
        lines.append(f"  rule {rule.rule!r} {because}")
    if one.rule is None and one.refusal is None:
        verdict = "passes" if listener.pass_unmatched else "rejects"
        lines.append(f"  no rule matches: the listener {verdict} unmatched requests")
    elif not one.values and one.refusal is None:
        lines.append("  nothing changes")
    for value in one.values:
        size = f", {value.characters} characters" if value.characters is not None else ""
        note = f" ({value.note})" if value.note else ""
        lines.append(f"  {value.field}: {value.action}{size}{note}")
        where = "" if value.place == "body" else f" of the {value.place}"
        span = f"bytes {value.start} to {value.end}{where}"
        lines.append(f"    {span}, bound to {_bound(value.context)}")
    if one.refusal is not None:
        detail = f" {one.refusal.detail}" if one.refusal.detail else ""
        lines.append(f"  refused: {one.status} {one.refusal.code}")
        lines.append(f"    {one.refusal.title}{detail} (reason: {one.refusal.reason})")
        if (known := reasons.explained(one.refusal.code, one.refusal.reason)) is not None:
            lines.append(f"    {known.cause} {known.remedy}")
    elif one.values and one.outgoing is not None:
        lines += [f"  sent to: {one.target}"] if one.target else []
        lines += [
            f"  with {name.decode()}: {value.decode('latin-1')}" for name, value in one.headers
        ]
        lines.append(f"  sent as: {one.outgoing.decode('utf-8', 'replace')}")
    lines += [f"  observed: {name} {value}" for name, value in one.observed.items()]
    return lines


def _bound(context: Context) -> str:
    parts = bound_parts(context)
    shown = {
        part: repr(name) if isinstance(name, str) else json.dumps(name, ensure_ascii=False)
        for part, name in parts.items()
    }
    bound = ", ".join(f"{part} {name}" for part, name in shown.items()) or "nothing"
    return bound + _between(context.scope.parties)


def _between(parties: Parties | None) -> str:
    if parties is None:
        return ""
    if parties.reader is not None:
        return f"; by a key of {parties.reader!r}"
    recipients = ", ".join(map(repr, parties.recipients))
    return f"; for {recipients}, signed by {parties.sender!r}"

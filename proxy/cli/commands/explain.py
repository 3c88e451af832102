"""`sealyard explain`: which rule matches a message and what it does, with values masked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import click

from ...config.settings import ListenerSettings, Settings
from ...core.compiled.rule_table import RuleTable
from ...core.crypto.context import Context, Parties
from ...core.errors import SealyardError
from ...core.explain.explanation import (
    Explanation,
    bound_parts,
    document,
    explain_response,
    explain_target,
)
from ...core.http.message import Headers, ResponseHead
from ..support import console
from ..support.configuration import config_option, load_configuration

_MAX_BODY: Final = 64 << 20
_JSON_TYPE: Final = (b"Content-Type", b"application/json")


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
    as_json: bool,
) -> None:
    """Show what would happen to a message: which rule matches, what it finds, what is sent.

    \b
    sealyard explain POST /api/messages -d @message.json
    sealyard explain GET /api/conversations/c1/messages --response @answer.json

    Uses no key and sends nothing. Values are masked. A body is application/json unless a header
    says otherwise. Exits with 1 if Sealyard would refuse the message.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    chosen = _listener(load_configuration(config).settings, listener)
    rule_table = RuleTable(chosen.rules, pass_unmatched=chosen.pass_unmatched)
    body = _body(data)
    headers = _headers(header, with_type=bool(body))
    explained, exchange = explain_target(rule_table, method, target, headers, body)
    explanations = [("request", explained)]
    if response is not None and exchange is not None:
        answer = ResponseHead(status, b"", (_JSON_TYPE,))
        explanations.append(("response", explain_response(exchange, answer, _body(response))))
    _print(chosen, explanations, as_json=as_json)
    sys.exit(console.NEGATIVE if any(one.refusal for _, one in explanations) else console.OK)


def _listener(settings: Settings, name: str | None) -> ListenerSettings:
    names = [one.name for one in settings.listeners]
    if name is None and len(names) == 1:
        return settings.listeners[0]
    for one in settings.listeners:
        if one.name == name:
            return one
    raise click.UsageError(f"--listener must be one of: {', '.join(names)}")


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        content = Path(data[1:]).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{data[1:]}: {error.strerror}") from None
    if len(content) > _MAX_BODY:
        raise click.UsageError(f"{data[1:]}: larger than {_MAX_BODY} bytes")
    return content


def _headers(given: tuple[str, ...], *, with_type: bool) -> Headers:
    headers: list[tuple[bytes, bytes]] = []
    for text in given:
        name, colon, value = text.partition(":")
        if not colon:
            raise click.UsageError("--header must be `NAME: VALUE`")
        headers.append((name.strip().encode(), value.strip().encode()))
    if with_type and not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append(_JSON_TYPE)
    return tuple(headers)


def _print(
    listener: ListenerSettings, explanations: list[tuple[str, Explanation]], *, as_json: bool
) -> None:
    if as_json:
        documents = {which: document(one) for which, one in explanations}
        console.print_json({"listener": listener.name, **documents})
        return
    for which, one in explanations:
        for line in _lines(which, one, listener):
            click.echo(console.printable(line))


def _lines(which: str, one: Explanation, listener: ListenerSettings) -> list[str]:
    lines = [which]
    for rule in one.considered:
        because = "matches" if rule.because is None else f"does not match: {rule.because}"
        lines.append(f"  rule {rule.rule!r} {because}")
    if one.refusal is not None:
        detail = f" {one.refusal.detail}" if one.refusal.detail else ""
        lines.append(f"  refused: {_status(which, one.refusal)} {one.refusal.code}")
        lines.append(f"    {one.refusal.title}{detail} (reason: {one.refusal.reason})")
        return lines
    if one.rule is None:
        verdict = "passes" if listener.pass_unmatched else "rejects"
        lines.append(f"  no rule matches: the listener {verdict} unmatched requests")
    elif not one.values:
        lines.append("  nothing changes")
    for value in one.values:
        size = f", {value.characters} characters" if value.characters is not None else ""
        note = f" ({value.note})" if value.note else ""
        lines.append(f"  {value.field}: {value.action}{size}{note}")
        where = "" if value.place == "body" else f" of the {value.place}"
        span = f"bytes {value.start} to {value.end}{where}"
        lines.append(f"    {span}, bound to {_bound(value.context)}")
    if one.values and one.outgoing is not None:
        lines.append(f"  sent as: {one.outgoing.decode('utf-8', 'replace')}")
    return lines


def _status(which: str, error: SealyardError) -> int:
    if which == "response":
        return getattr(error, "response_status", error.status)
    return error.status


def _bound(context: Context) -> str:
    parts = bound_parts(context)
    shown = {
        part: repr(name) if isinstance(name, str) else json.dumps(name, ensure_ascii=False)
        for part, name in parts.items()
    }
    bound = ", ".join(f"{part} {name}" for part, name in shown.items()) or "nothing"
    if context.reads_as_joined:
        bound += " (reads as a joined name: see docs/how-to/upgrade.md)"
    return bound + _between(context.scope.parties)


def _between(parties: Parties | None) -> str:
    if parties is None:
        return ""
    if parties.reader is not None:
        return f"; by a key of {parties.reader!r}"
    recipients = ", ".join(map(repr, parties.recipients))
    return f"; for {recipients}, signed by {parties.sender!r}"

"""The `audit` commands: verify and show the audit log, its key, poison tokens and receipts."""

from __future__ import annotations

import json
import math
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from ...core.crypto import base64url
from ...core.crypto.context import Scope
from ...core.crypto.derivation import audit_key, caller_key, caller_name
from ...core.crypto.secret import AuditKey, RecordKey
from ...core.crypto.token import FORMS, Form
from ...core.errors import UnfitEnvironment
from ...keys import private_file
from ...keys.audit import head_record, verification
from ...keys.audit.head_record import Head
from ...keys.audit.opened import Question
from ...keys.audit.verification import AuditVerdict
from ...keys.keyring import poison
from ...keys.keyring.file import open_keyring
from ...keys.keyring.jwk_set import parse_object
from ...keys.keyring.poison import Looks
from ...keys.operations import erase_receipt
from ...migration.retirement import has_tags
from ..policy import AUDIT_KEY_BYTES, MOST_POISON, RECEIPT_BYTES, ExitCode
from ..support import console
from ..support.console import FILE, parse_time
from ..support.files import read_report
from ..support.keyring_options import KeyringPlace, keyring_options, scope_options

_DAY: Final = 86_400
_PLANTED: Final = [one for one in FORMS if one != "equal"]
"""Tokens in the equal form have no session to be told by."""

_files = click.argument("files", nargs=-1, type=FILE, metavar="[FILE]...")


@click.group()
def audit() -> None:
    """Verify and show the audit log, in which each line commits to all lines before it.

    \b
    sealyard audit verify
    sealyard audit show --last 20

    List rotated log FILEs first, then the log itself. Default: the configured log alone.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped


@audit.command()
@_files
@click.option("--anchor", metavar="SEQ:MAC", help="A line that `audit head` printed earlier.")
@click.option("--key", "key_file", type=FILE, help="The key of the log, instead of the keyring.")
@console.as_json
@keyring_options
def verify(
    place: KeyringPlace,
    *,
    files: tuple[Path, ...],
    anchor: str | None,
    key_file: Path | None,
    as_json: bool,
) -> None:
    """Verify that every line is as it was written; print the first ones that are not.

    \b
    sealyard audit verify
    sealyard audit verify audit.log.1 audit.log --anchor 812:Zm9v...

    Works offline. Exits with 1 if the log is broken. The head record beside the log, or the anchor,
    shows whether lines at the end are missing.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    known = None if anchor is None else head_record.parse_anchor(anchor)
    if anchor is not None and known is None:
        raise click.UsageError("--anchor is not SEQ:MAC; `sealyard audit head` prints one")
    key = _key(place, key_file)
    chosen = files or (place.audit.path,)
    verdict = verification.verify(
        chosen, key, head=head_record.load_beside(chosen[-1], key), anchor=known
    )
    console.answer(_as_json(verdict), _lines(verdict), as_json=as_json)
    sys.exit(ExitCode.NEGATIVE if verdict.broken else ExitCode.OK)


@audit.command()
@_files
@click.option(
    "--event", help="Only lines of this event, or of events that begin with it and a dot."
)
@click.option("--caller", default="", help="Only lines of this caller of the configuration.")
@click.option("--subject", metavar="SUB", help="Only lines of this subject of the --issuer.")
@click.option("--issuer", metavar="ISS", help="Whose --subject it is.")
@click.option("--since", metavar="TIME", help="Only lines from this time on.")
@click.option("--until", metavar="TIME", help="Only lines before this time.")
@click.option("--last", type=console.COUNT, metavar="N", help="Only the last N of them.")
@scope_options
@console.as_json
@keyring_options
def show(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    *,
    files: tuple[Path, ...],
    event: str | None,
    caller: str,
    subject: str | None,
    issuer: str | None,
    since: str | None,
    until: str | None,
    last: int | None,
    scope: Scope,
    as_json: bool,
) -> None:
    """Show the lines of the log; `!` marks those that are not as they were written.

    \b
    sealyard audit show --tenant clinic --conversation c1
    sealyard audit show --issuer https://id.clinic --subject anna --since 2026-11-24T18:00:00Z

    Without FILEs, its rotated files beside it are read first. The log names conversations and
    subjects by MACs, which only the keyring can compute. Names under adopted keyrings and former
    keys are found, too. All lines are verified meanwhile: exits with 1 if the log is broken.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if (subject is None) != (issuer is None):
        raise click.UsageError("--subject and --issuer belong together")
    keyring = open_keyring(place.path, place.roots)
    key = audit_key(keyring.record_key)
    known = caller_key(keyring.record_key).all if subject is not None else ()
    question = Question(
        event or "",
        keyring.names_of(scope) if scope != Scope() else (),
        caller,
        [caller_name(one, issuer or "", subject or "") for one in known],
        since=-math.inf if since is None else parse_time(since),
        until=math.inf if until is None else parse_time(until),
    )
    head = head_record.load_beside((files or (place.audit.path,))[-1], key)
    chosen = files or verification.with_rotated(place.audit.path, key)
    found, verdict = verification.select(chosen, key, question, last=last, head=head)
    if not found:
        console.say(f"no line of {', '.join(map(str, chosen))} is of what was asked for")
    for line in found:
        delivered = question.delivered(line)
        facts = {**line.members, **delivered, "authentic": line.authentic}
        console.answer(facts, (_row(line, delivered),), as_json=as_json)
    for row in _findings(verdict):
        console.say(row)
    sys.exit(ExitCode.NEGATIVE if verdict.broken else ExitCode.OK)


@audit.command()
@console.as_json
@keyring_options
def head(place: KeyringPlace, *, as_json: bool) -> None:
    """Print the last line of the log, to be kept where the writers of the log cannot write.

    \b
    sealyard audit head
    sealyard audit head --json

    `sealyard audit verify --anchor` later verifies that the log still has it.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    key = _key(place, None)
    found = head_record.load_beside(place.audit.path, key)
    if found is None:
        raise console.Failure(f"{place.audit.path}: no head record of this keyring")
    console.answer({"seq": found.seq, "mac": found.mac}, (found.anchor,), as_json=as_json)


@audit.command("key")
@click.argument("file", type=FILE)
@keyring_options
def export_key(place: KeyringPlace, file: Path) -> None:
    """Write the key of the log to FILE, for an auditor without the keyring.

    \b
    sealyard audit key audit.jwk
    sealyard audit verify --key audit.jwk audit.log

    It opens no message. Whoever has it can also forge lines.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if file.exists():
        raise console.Failure(f"{file} already exists", ExitCode.ENVIRONMENT)
    keyring = open_keyring(place.path, place.roots)
    place.write_down(keyring, "audit.key", file=str(file))
    k = base64url.encode(audit_key(keyring.record_key).reveal()).decode()
    jwk = {"kty": "oct", "use": "sig", "alg": "HS256", "kid": "sealyard:audit", "k": k}
    private_file.write(file, json.dumps(jwk).encode() + b"\n")
    console.say(f"wrote {file}; whoever has it can also forge lines of the log")


@audit.command()
@click.option("--form", type=click.Choice(_PLANTED), default="jwe", show_default=True)
@click.option("--ephemeral", is_flag=True, help="Like a token of an ephemeral session.")
@click.option("--json-value", is_flag=True, help="Like a token of a value that is not a string.")
@click.option(
    "--length",
    type=click.IntRange(0, MOST_POISON),
    default=48,
    show_default=True,
    help="The plaintext bytes that it appears to have.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="The start time of its session; default: a random time in the last day.",
)
@click.option("--label", default="", help="Where it will be planted, for the audit log.")
@console.as_json
@keyring_options
def plant(  # noqa: PLR0913 - each is one option
    place: KeyringPlace,
    *,
    form: Form,
    ephemeral: bool,
    json_value: bool,
    length: int,
    at: str | None,
    label: str,
    as_json: bool,
) -> None:
    """Create a poison token, to be planted where no legitimate reader opens anything.

    \b
    sealyard audit plant --label "patients, row 17"
    sealyard audit plant --form short --at 2026-11-24T18:00:00Z --json

    It looks like any other token and never opens. An attempt to open it raises an alert in every
    process with this keyring.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    if json_value and form == "base64":
        raise click.UsageError("--json-value does not apply to --form base64")
    keyring = open_keyring(place.path, place.roots)
    now = int(time.time())
    began = now - secrets.randbelow(_DAY) if at is None else int(parse_time(at))
    if not 0 <= began <= now:
        raise click.UsageError("--at is not between 1970 and now; give a time that has passed")
    looks = Looks(form, length, ephemeral=ephemeral, json_value=json_value)
    token, sid = poison.make(keyring, began, looks, random=os.urandom)
    place.write_down(keyring, "poison.planted", sid=sid, form=form, label=label)
    console.answer({"token": token, "sid": sid}, (token,), as_json=as_json)


@audit.command("receipt-key")
@keyring_options
def receipt_key(place: KeyringPlace) -> None:
    """Print the public JWK that verifies the erase receipts of this keyring.

    \b
    sealyard audit receipt-key
    sealyard audit receipt-key > receipts.jwk
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    console.print_json(erase_receipt.public_jwk(open_keyring(place.path, place.roots).record_key))


@audit.command("verify-receipt")
@click.argument("file", type=FILE)
@click.option("--key", "key_file", type=FILE, help="The public JWK, instead of the keyring.")
@scope_options
@console.as_json
@keyring_options
def verify_receipt(
    place: KeyringPlace,
    *,
    file: Path,
    key_file: Path | None,
    scope: Scope,
    as_json: bool,
) -> None:
    """Verify the signature of an erase receipt and print what was destroyed.

    \b
    sealyard audit verify-receipt c1.jws --tenant clinic --conversation c1
    sealyard audit verify-receipt k1.jws --key receipts.jwk --json

    Works offline. Exits with 1 if that key did not sign it, or the key has leaked since (`sealyard
    keys rotate-records`), or if it is about a conversation other than the one named.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    text, leaked = _read(file), list[RecordKey]()
    if key_file is None:
        keyring = open_keyring(place.path, place.roots)
        jwks = [erase_receipt.public_jwk(one) for one in keyring.record_key.all]
        leaked = [one.key for one in keyring.records if one.state == "leaked"]
    else:
        jwks = [parse_object(_read(key_file)) or {}]
    said = next(filter(None, (erase_receipt.verified(text, jwk) for jwk in jwks)), None)
    if any(erase_receipt.verified(text, erase_receipt.public_jwk(one)) for one in leaked):
        raise console.Failure(
            f"{file}: signed with a record key that has leaked, so it proves nothing by itself; it"
            " holds where the audit log has its line before an anchor from before the leak"
        )
    if said is None:
        raise console.Failure(
            f"{file}: not signed with this key; give the --key of that deployment"
        )
    if scope != Scope() and not erase_receipt.is_about(said, scope):
        raise console.Failure(f"{file}: this receipt is about another conversation")
    console.answer(said, (f"{key}: {value}" for key, value in said.items()), as_json=as_json)


@audit.command("renew-receipt")
@click.argument("file", type=FILE)
@click.option(
    "--report",
    "reports",
    type=FILE,
    multiple=True,
    required=True,
    help="A signed report of `migrate verify` by a job without `index`; several may be given.",
)
@keyring_options
def renew_receipt(place: KeyringPlace, *, file: Path, reports: tuple[Path, ...]) -> None:
    """Sign an erase receipt again, once no tags of what was destroyed are left.

    \b
    sealyard migrate verify c1-without-index.yaml --report gone.jws
    sealyard audit renew-receipt c1.jws --report gone.jws > c1-renewed.jws

    A receipt lists tags among what it does not cover. The job of the report has the columns that
    had tags, without `index`, and with a `where` only rows of the conversation. Exits with 1 if
    this keyring did not sign both, or if a report shows tags or is older than the receipt.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    keyring = open_keyring(place.path, place.roots)
    jwk = erase_receipt.public_jwk(keyring.record_key)
    said = erase_receipt.verified(_read(file), jwk)
    if said is None:
        raise console.Failure(f"{file}: not signed with this keyring")
    proofs = []
    for one in reports:
        report = read_report(one, keyring)
        reason = has_tags(keyring, report, said["iat"])
        if reason:
            raise console.Failure(f"{one}: {reason}")
        but = [*report.excluded, *report.not_covered]
        proofs.append({"job": report.job, "at": report.began, "not_covered": but})
    renewed = erase_receipt.without_tags(said, proofs)
    if renewed is None:
        raise console.Failure(f"{file}: it says nothing of tags")
    click.echo(erase_receipt.sign(renewed, keyring.record_key, now=int(time.time())))


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(RECEIPT_BYTES)


def _key(place: KeyringPlace, file: Path | None) -> AuditKey:
    if file is None:
        return audit_key(open_keyring(place.path, place.roots).record_key)
    try:
        return AuditKey(verification.key_material(private_file.read(file, AUDIT_KEY_BYTES)))
    except ValueError:
        raise UnfitEnvironment(f"{file}: not a key written by `sealyard audit key`") from None


def _as_json(verdict: AuditVerdict) -> dict[str, Any]:
    return {
        "intact": not verdict.broken,
        "lines": verdict.lines,
        "first": verdict.first,
        "last": _anchor(verdict.last),
        "broken": verdict.broken,
        "problems": [str(one) for one in verdict.problems],
        "notes": [str(one) for one in verdict.notes],
    }


def _lines(verdict: AuditVerdict) -> list[str]:
    state = "broken" if verdict.broken else "intact"
    last = f"{state}: {verdict.lines} lines, the last is {_anchor(verdict.last)}"
    return [*_findings(verdict), last]


def _findings(verdict: AuditVerdict) -> list[str]:
    rows = [f"note: {one}" for one in verdict.notes]
    rows += [f"BROKEN: {one}" for one in verdict.problems]
    if verdict.broken > len(verdict.problems):
        rows.append(f"BROKEN: and {verdict.broken - len(verdict.problems)} more")
    return rows


def _anchor(last: Head) -> str:
    return last.anchor if last.seq else "none"


def _row(line: verification.Read, more: Mapping[str, str]) -> str:
    mark = " " if line.authentic else "!"
    shown = {key: value for key, value in line.members.items() if key not in verification.FRAME}
    values = " ".join(f"{key}={_shown(value)}" for key, value in {**shown, **more}.items())
    at = line.members.get("at", "")
    row = f"{mark} {line.members.get('seq', '?')!s:>6} {at} {line.event} {values}"
    return row.replace("\n", "\\n")  # no text begins a row that looks authentic


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
